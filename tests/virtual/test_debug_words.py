"""States, spans of time and other values in few words, and as plain data whose size is bounded."""

from datetime import datetime

import attrs
import pytest

from fuota.debug.page import span
from fuota.debug.plain import plain, words
from fuota.deployment.states import Session
from fuota.lorawan.eui import EUI64
from tests.virtual.debugged import AT, WaitingForGroup


@attrs.frozen
class Window:
    """Part of a state."""

    number: int
    start: datetime


@attrs.frozen
class AwaitingStart:
    """A state with a part of its own."""

    group_id: str
    window: Window
    lost: int = 0


def test_words_for_people() -> None:
    assert words(None) == ""
    assert words("at work") == "at work"
    assert words(WaitingForGroup(2, AT, b"")) == "waiting for group · attempt 2 · deadline 01 Mar 12:30:00"
    assert words({"state": None, "open": True, "dev_eui": EUI64(bytes(8))}) == (
        "open yes · dev eui 0000000000000000"
    )
    assert words({"few": [1, 2], "many": [1] * 50, "none": []}) == "few 1, 2 · many 50"
    assert words({"devices": {"prepared": 2, "ready": 48}}) == "devices prepared 2, ready 48"
    assert words({"state": AwaitingStart("a1", Window(1, AT))}) == (
        "awaiting start (group id a1, window (number 1, start 01 Mar 12:30:00))"
    )
    assert words(AwaitingStart("a1", Window(1, AT), lost=2)).endswith(" · lost 2")


def test_plain_data_is_bounded() -> None:
    assert plain(list(range(100)))[-2:] == [19, "and 80 more"]
    assert len(plain({n: n for n in range(100)})) == 21
    assert plain([[[[[["deep"]]]]]]) == [[[[["…"]]]]]
    assert len(plain("x" * 10_000)) == 201
    assert plain(Session) == str(Session)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (3.21, "3.2 s"),
        (59.9, "59 s"),
        (300, "5 min"),
        (18_600, "5 h 10 min"),
        (183_600, "2 d 3 h"),
    ],
)
def test_spans_of_time(seconds: float, said: str) -> None:
    assert span(seconds) == said
