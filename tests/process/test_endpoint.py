"""Whether the server's addresses can be had is known before anything is started."""

import socket

import pytest

from fuota.config.mistake import ConfigError
from fuota.config.value import Bind
from fuota.endpoint import check


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("", "127.0.0.1"),
        ("", ""),
        ("localhost", "127.0.0.1"),
    ],
)
async def test_two_that_are_in_each_others_way_are_named(one: str, other: str, free_port: int) -> None:
    with pytest.raises(ConfigError) as raised:
        await check(
            {"a.bind": Bind(one, free_port), "b.bind": Bind(other, free_port), "c.bind": Bind("127.0.0.1", 0)}
        )
    assert str(raised.value) == (
        f'b.bind = "{other}:{free_port}": a.bind = "{one}:{free_port}" is in its way: '
        "each needs an address or a port of its own"
    )


@pytest.mark.parametrize(
    ("one", "other"), [("127.0.0.1", "127.0.0.2"), ("0.0.0.0", "::"), ("127.0.0.1", "::1")]
)
async def test_one_port_on_addresses_that_differ_is_fine(one: str, other: str, free_port: int) -> None:
    if ":" in other:
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError:
                pytest.skip("this machine has no IPv6")
    await check({"a": Bind(one, free_port), "b": Bind(other, free_port)})


async def test_any_free_port_is_fine_any_number_of_times() -> None:
    await check({name: Bind("127.0.0.1", 0) for name in "abc"})
