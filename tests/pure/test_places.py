"""Who goes when there is no more room."""

import pytest

from fuota.places import Place, Places, Standing, share_of


class Server:
    """Places, and who was hung up on."""

    def __init__(self, room: int) -> None:
        self.places = Places("test", room)
        self.gone: list[str] = []

    def come(self, name: str, host: str = "10.0.0.1", standing: Standing = Standing.STRANGER) -> Place | None:
        place = self.places.take(host, lambda: self.gone.append(name))
        if place is not None:
            self.places.move(place, standing)
        return place


def test_with_room_nobody_goes() -> None:
    server = Server(2)
    assert server.come("first")
    assert server.come("second")
    assert server.gone == []


def test_who_has_asked_nothing_goes_first_and_of_these_the_oldest() -> None:
    server = Server(4)
    server.come("known", standing=Standing.KNOWN)
    server.come("served", standing=Standing.SERVED)
    server.come("old stranger")
    server.come("new stranger")
    for name in ("a", "b"):
        assert server.come(name, standing=Standing.SERVED)
    assert server.gone == ["old stranger", "new stranger"]
    assert server.come("c", standing=Standing.SERVED)
    assert server.gone == ["old stranger", "new stranger", "known"]


def test_who_was_answered_lately_stays_longer() -> None:
    server = Server(2)
    first = server.come("first", standing=Standing.KNOWN)
    server.come("second", standing=Standing.KNOWN)
    assert first is not None
    server.places.move(first, Standing.KNOWN)
    server.come("third")
    assert server.gone == ["second"]


def test_nobody_who_is_served_goes_for_another_of_the_same_address() -> None:
    server = Server(2)
    server.come("first", standing=Standing.SERVED)
    server.come("second", standing=Standing.SERVED)
    assert server.come("third") is None
    assert server.gone == []


def test_an_address_has_no_more_than_its_share_when_another_has_less() -> None:
    server = Server(4)
    for name in ("a", "b", "c", "d"):
        server.come(name, standing=Standing.SERVED)
    assert server.come("other 1", "10.0.0.2", Standing.SERVED)
    assert server.come("other 2", "10.0.0.2", Standing.SERVED)
    assert server.gone == ["a", "b"]
    assert server.come("other 3", "10.0.0.2") is None, "half is its share"
    assert server.come("a again") is None


def test_the_idle_of_the_crowd_go_before_the_idle_of_others() -> None:
    server = Server(3)
    server.come("lone", "10.0.0.2")
    server.come("first")
    server.come("second")
    server.come("third")
    assert server.gone == ["first"]


def test_a_place_that_was_left_is_free() -> None:
    server = Server(1)
    first = server.come("first", standing=Standing.SERVED)
    assert first is not None
    server.places.leave(first)
    server.places.leave(first)
    assert server.come("second")
    assert server.gone == []


@pytest.mark.parametrize(
    ("host", "share"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::"),
        ("2001:db8::ffff:0:0:1", "2001:db8::"),
        ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_what_counts_as_one_peer(host: str, share: str) -> None:
    assert share_of(host) == share
