"""The log: levels by the configuration's numbers, libraries included, secrets not."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fuota import log
from fuota.config.mistake import ConfigError
from fuota.config.settings import General


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was logged since, without the time."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [line.partition(" ")[2] for line in captured.err.splitlines()]


def test_one_readable_line_per_event(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(General())
    structlog.get_logger("fuota.device").info("answered", dev_eui=b"\x70\xb3", command="McGroupSetupAns")
    [line] = capsys.readouterr().err.splitlines()
    time, _, rest = line.partition(" ")
    assert time.endswith("Z")
    assert len(time) == len("2026-01-01T00:00:00Z")
    assert rest == "[info] answered [fuota.device] dev_eui=70b3 command=McGroupSetupAns"


@pytest.mark.parametrize(
    ("number", "logged"),
    [
        (5, ["debug", "info", "warning", "error", "critical"]),
        (4, ["info", "warning", "error", "critical"]),
        (3, ["warning", "error", "critical"]),
        (2, ["error", "critical"]),
        (1, ["critical"]),
        (0, ["critical"]),
    ],
)
def test_levels_are_those_of_the_reference_server(
    capsys: pytest.CaptureFixture[str], number: int, logged: list[str]
) -> None:
    log.set_up(General(log_level=number))
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(structlog.get_logger("ours"), level)("event")
        getattr(logging.getLogger("theirs"), level)("an %s", "event")
    assert lines(capsys) == [
        line for level in logged for line in (f"[{level}] event [ours]", f"[{level}] an event [theirs]")
    ]


def test_secrets_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(General())
    structlog.get_logger("x").info("e", mc_root_key=bytes(16), token="hush", dsn="hush", authorization="hush")
    assert lines(capsys) == [
        "[info] e [x] mc_root_key=(hidden) token=(hidden) dsn=(hidden) authorization=(hidden)"
    ]


def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(General())
    mc_key = "hush" * 4
    try:
        mc_key.index("x")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    shown = capsys.readouterr().err
    assert 'mc_key.index("x")' in shown
    assert "hushhush" not in shown


def test_syslog_gets_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        monkeypatch.setattr(log, "SYSLOG_SOCKETS", (tmp_path / "absent", tmp_path / "log"))
        log.set_up(General(log_to_syslog=True))
        structlog.get_logger("fuota").warning("slow", seconds=3)
        daemon_warning = 3 * 8 + 4
        assert syslog.recv(1000) == f"<{daemon_warning}>fuota: [warning] slow [fuota] seconds=3\0".encode()
    assert capsys.readouterr().err == ""


def test_without_syslog_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SYSLOG_SOCKETS", (tmp_path / "absent",))
    with pytest.raises(ConfigError) as raised:
        log.set_up(General(log_to_syslog=True))
    assert str(raised.value) == (
        f"general.log_to_syslog = true: there is no syslog at {tmp_path}/absent; set it to false"
    )
