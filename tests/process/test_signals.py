"""What a signal does before the command has begun with its work."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

both = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@contextmanager
def reading(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, while it waits for what is written to `path`."""
    os.mkfifo(path)
    process = subprocess.Popen(
        [sys.executable, "-m", "fuota", *arguments],
        cwd=path.parent,
        env={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "HOME": str(path.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            with path.open("w"):  # when it reads
                yield process
        finally:
            process.kill()


def importing(module: str, folder: Path) -> Path:
    """What the command reads when it imports a module."""
    fifo = folder / "fifo"
    (folder / f"{module}.py").write_text(f"open({str(fifo)!r}).read()\n")
    return fifo


@both
@pytest.mark.parametrize("module", ["click", "attrs", "trio", "quart"])
def test_a_server_that_is_told_to_stop_before_it_has_begun_ends_at_once(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    with reading(importing(module, tmp_path), "serve") as process:
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


@both
def test_so_does_one_that_reads_its_configuration(number: signal.Signals, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    with reading(fifo, "serve", "-c", str(fifo)) as process:
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


@pytest.mark.parametrize("command", ["configfile", "rotate-master-key"])
def test_another_command_that_is_told_to_stop_has_not_done_its_work(command: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    with reading(fifo, command, "-c", str(fifo)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == -signal.SIGTERM
