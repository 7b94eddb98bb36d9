"""The command line as a user meets it: output, exit codes, and mistakes told without a traceback."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import pytest


def fuota(
    *arguments: str, cwd: Path, stdout: int | TextIO = subprocess.PIPE, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command in a clean environment with `cwd` as home directory."""
    return subprocess.run(
        [sys.executable, "-m", "fuota", *arguments],
        cwd=cwd,
        env={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "HOME": str(cwd), **environ},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )


def test_help_names_the_commands(tmp_path: Path) -> None:
    answer = fuota("--help", cwd=tmp_path)
    assert answer.returncode == 0
    for command in ("serve", "configfile", "rotate-master-key", "demo", "version"):
        assert f"  {command} " in answer.stdout
    assert "...\n" not in answer.stdout.partition("Commands:")[2]


def test_no_mistake_has_what_a_terminal_would_obey(tmp_path: Path) -> None:
    key = tmp_path / "\x1b[31mkey"
    key.write_text("ab" * 32)
    key.chmod(0o644)
    (tmp_path / "bad.toml").write_text('secrets.key_file = "\\u001b[31mkey"\n')
    answer = fuota("rotate-master-key", "-c", "bad.toml", cwd=tmp_path)
    assert answer.returncode == 1
    assert "\\x1b[31mkey (mode 0644)" in answer.stderr
    assert answer.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize("command", ["serve", "configfile", "rotate-master-key", "demo", "version"])
def test_each_command_has_help(tmp_path: Path, command: str) -> None:
    answer = fuota(command, "--help", cwd=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout.startswith(f"Usage: fuota {command} ")


def test_version(tmp_path: Path) -> None:
    answer = fuota("version", cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (0, f"fuota {version('fuota')}\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("version",), ("configfile",), ("--help",), ("serve", "--help")])
def test_an_output_that_can_not_be_written_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], unbuffered: str
) -> None:
    with Path("/dev/full").open("w") as full:
        answer = fuota(*arguments, cwd=tmp_path, stdout=full, PYTHONUNBUFFERED=unbuffered)
    assert (answer.returncode, answer.stderr) == (1, "fuota: No space left on device\n")


def test_configfile_prints_the_current_values(tmp_path: Path) -> None:
    (tmp_path / "my config.toml").write_text("[general]\nlog_level = 5\n[debug]\ntoken = 'abc'\n")
    answer = fuota("configfile", "-c", "my config.toml", cwd=tmp_path, DEBUG__BIND="[::1]:9000")
    assert answer.returncode == 0
    printed = tomllib.loads(answer.stdout)
    assert printed["general"]["log_level"] == 5
    assert printed["debug"] == {"bind": "[::1]:9000", "token": "abc"}
    assert printed["postgresql"]["data_dir"] == printed["secrets"]["key_file"] == ""  # of whoever reads it


def test_configfile_finds_the_file_in_the_home_directory(tmp_path: Path) -> None:
    folder = tmp_path / ".config/chirpstack-fuota-server"
    folder.mkdir(parents=True)
    (folder / "chirpstack-fuota-server.toml").write_text("[general]\nlog_level = 3\n")
    answer = fuota("configfile", cwd=tmp_path)
    assert tomllib.loads(answer.stdout)["general"]["log_level"] == 3


@pytest.mark.parametrize("command", ["serve", "configfile"])
def test_a_wrong_configuration_is_one_line_and_exit_code_2(tmp_path: Path, command: str) -> None:
    (tmp_path / "chirpstack-fuota-server.toml").write_text("[debug]\nbind = 'nowhere'\n")
    answer = fuota(command, cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == (
        'fuota: chirpstack-fuota-server.toml: debug.bind = "nowhere": '
        "must be HOST:PORT, such as 0.0.0.0:8070, [::]:8070 or :8070\n"
    )


@pytest.mark.parametrize("command", ["serve", "configfile"])
def test_a_file_that_is_not_there_is_exit_code_2(tmp_path: Path, command: str) -> None:
    answer = fuota(command, "--config", "absent.toml", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "fuota: absent.toml: can not be read: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--devices", "0"),
        ("demo", "--class", "A"),
        ("demo", "--loss", "1"),
        ("demo", "--loss", "nan"),
        ("sevre",),
    ],
)
def test_wrong_arguments_are_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    answer = fuota(*arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert "Error: " in answer.stderr
    assert "Traceback" not in answer.stderr
