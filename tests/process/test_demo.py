"""`fuota demo` as somebody runs it who has seen enough."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.test_signals import both, importing, reading


@contextmanager
def showing(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "fuota", "demo", "--devices", "1", "--size", "100", *arguments],
        env={name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        | {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], said: str) -> None:
    assert process.stdout is not None
    assert any(line.startswith(said) for line in process.stdout)


def processes_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it is not ours, or has ended
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """For what is temporary; not so deep as `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@both
def test_a_demonstration_that_is_cut_short_leaves_nothing_behind(
    number: signal.Signals, folder: Path
) -> None:
    with showing(folder) as process:
        until(process, "deployment ")
        assert processes_in(folder)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (128 + number, f"fuota: stopped by {number.name}\n")
    assert list(folder.iterdir()) == []
    assert processes_in(folder) == []


@both
def test_so_does_one_that_has_not_begun(number: signal.Signals, tmp_path: Path) -> None:
    with reading(importing("rich", tmp_path), "demo") as process:
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", f"fuota: stopped by {number.name}\n")
        assert process.returncode == 128 + number


def test_one_that_is_kept_has_shown_what_it_was_to_show(folder: Path) -> None:
    with showing(folder, "--keep") as process:
        until(process, "still running")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (0, "")
    assert list(folder.iterdir()) == []
