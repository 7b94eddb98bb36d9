"""Addresses in the settings: how they are written, and whom they are open to."""

import pytest

from fuota.config.settings import Settings
from fuota.config.value import Bind


@pytest.mark.parametrize(
    ("written", "bind"),
    [
        ("0.0.0.0:8070", Bind("0.0.0.0", 8070)),
        (":0", Bind("", 0)),
        ("[::1]:65535", Bind("::1", 65535)),
        ("fuota.example.com:80", Bind("fuota.example.com", 80)),
    ],
)
def test_a_bind_is_read_and_written(written: str, bind: Bind) -> None:
    assert Bind.parse(written) == bind
    assert str(bind) == written


@pytest.mark.parametrize(
    "written", ["", "8070", "::1:8070", "[]:1", "a:65536", "a:-1", "a b:1", "http://a:1", "user@a:1"]
)
def test_what_is_no_bind_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        Bind.parse(written)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")]
    + [(host, False) for host in ("", "0.0.0.0", "::", "192.0.2.1", "localhost.example")],
)
def test_whom_an_address_is_open_to(host: str, loopback: bool) -> None:
    assert Bind(host, 8071).loopback is loopback


def test_the_debug_endpoint_is_for_this_machine_unless_it_is_told_otherwise() -> None:
    assert Settings().debug.bind.loopback
