"""Who gives what when the memory for clients' messages is short."""

import pytest
from grpclib.exceptions import GRPCError

from fuota.rpc.memory import Memory, Share


class Server:
    def __init__(self, room: int) -> None:
        self.memory = Memory(room)
        self.gone: list[str] = []

    def join(self, name: str, octets: int = 0, host: str = "192.0.2.1") -> Share:
        share = self.memory.join(host, lambda: self.gone.append(name))
        self.memory.take(share, octets)
        return share


def test_whoever_has_the_most_goes() -> None:
    server = Server(100)
    server.join("most", 60)
    server.join("less", 40)
    server.join("new", 10)
    assert server.gone == ["most"]
    assert server.memory.room == 50


def test_who_would_have_the_most_is_refused() -> None:
    server = Server(100)
    first, second = server.join("first", 50), server.join("second", 50)
    for share in (first, second):
        with pytest.raises(GRPCError, match="try again"):
            server.memory.take(share, 1)
    assert server.gone == []
    with pytest.raises(GRPCError):
        server.join("more than there is", 101)


def test_many_small_ones_of_an_address_make_room_for_a_large_one_of_another() -> None:
    server = Server(100)
    for number in range(10):
        server.join(f"small {number}", 10)
    large = server.join("large", 35, host="192.0.2.2")
    assert server.gone == [f"small {number}" for number in range(4)]
    with pytest.raises(GRPCError):
        server.memory.take(large, 40)
    assert len(server.gone) == 4, "theirs would be less then"


def test_what_is_given_back_can_be_taken() -> None:
    server = Server(100)
    share = server.join("first", 100)
    server.memory.give(share, 70)
    server.join("second", 70)
    assert server.gone == []


def test_who_has_gone_gives_back_all_and_only_once() -> None:
    server = Server(100)
    share = server.join("first", 60)
    server.memory.leave(share)
    server.memory.give(share, 60)
    server.memory.leave(share)
    server.memory.take(share, 5)
    assert server.memory.room == 100
