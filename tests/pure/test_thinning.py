"""What peers bring about is told in a few lines, however much of it there is."""

import logging
from typing import Any

import pytest

from fuota import log, places
from fuota.config.settings import General
from fuota.device import actor as device_actor
from fuota.device import hearing
from fuota.integration import endpoint
from fuota.thinning import BURST, EVERY, Thinning


class Told:
    """A filter with a clock that is set by hand, and what passed it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.thinning = Thinning(now=lambda: self.time)

    def __call__(
        self, msg: Any, *args: object, name: str = "fuota.http", level: int = logging.WARNING
    ) -> logging.LogRecord | None:
        record = logging.LogRecord(name, level, "", 0, msg, args, None)
        return record if self.thinning.filter(record) else None


def test_a_flood_is_a_burst_and_then_a_line_now_and_then() -> None:
    told = Told()
    passed = 0
    for _ in range(100_000):
        told.time += 0.001
        passed += told({"event": "malformed event", "reason": told.time}) is not None
    assert BURST + 100 / EVERY - 1 <= passed <= BURST + 100 / EVERY


def test_the_next_line_says_how_many_were_left_out() -> None:
    told = Told()
    for _ in range(BURST + 7):
        told({"event": "malformed event"})
    told.time += EVERY
    record = told({"event": "malformed event"})
    assert record is not None
    assert record.msg == {"event": "malformed event", "left_out": 7}


def test_lines_of_libraries_too() -> None:
    told = Told()
    for number in range(BURST + 2):
        told("Request was cancelled: %s", number, name="grpclib.server", level=logging.INFO)
    told.time += EVERY
    record = told("Request was cancelled: %s", "last", name="grpclib.server", level=logging.INFO)
    assert record is not None
    assert record.getMessage() == "Request was cancelled: last (and 2 more)"


def test_kinds_do_not_keep_each_other_out() -> None:
    told = Told()
    for _ in range(BURST * 2):
        told({"event": "malformed event"})
    assert told({"event": "connection failed"})
    assert told({"event": "malformed event"}, name="fuota.integration.endpoint")


@pytest.mark.parametrize(
    ("name", "level"),
    [
        (hearing.__name__, logging.WARNING),
        (device_actor.__name__, logging.WARNING),
        (endpoint.__name__, logging.WARNING),
        (places.__name__, logging.WARNING),
    ],
)
def test_what_peers_bring_about_is_not_all_told(name: str, level: int) -> None:
    told = Told()
    assert sum(told({"event": "x"}, name=name, level=level) is not None for _ in range(BURST * 3)) == BURST


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("fuota.deployment.actor", logging.INFO),
        ("fuota.device.actor", logging.INFO),
        ("fuota.actor.cell", logging.ERROR),
        ("fuota.httpx", logging.WARNING),
        ("fuota.http", logging.DEBUG),
    ],
)
def test_what_no_peer_brings_about_is_all_told(name: str, level: int) -> None:
    told = Told()
    assert all(told({"event": "x"}, name=name, level=level) for _ in range(BURST * 3))


def test_the_log_is_thinned(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        log.set_up(General())
        for _ in range(BURST * 2):
            logging.getLogger("fuota.integration.endpoint").warning("malformed event")
        assert len(capsys.readouterr().err.splitlines()) == BURST
    finally:
        root.handlers, root.level = before, level
