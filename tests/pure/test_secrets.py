"""The search for secrets finds what is there: or it would prove nothing."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.secrets import traces

SECRET = bytes.fromhex("f0ff5b9e00fb0a7c11d29be53c8d6e01")


@pytest.mark.parametrize(
    "planted",
    [
        b"before" + SECRET + b"behind",
        b"key=" + SECRET.hex().encode(),
        b"KEY=" + SECRET.hex().upper().encode() + b";",
        SECRET.hex(":").encode(),
        f"mc_root_key={SECRET!r})".encode(),
        *(b64encode(b"x" * before + SECRET + b"y" * 5) for before in range(6)),
        *(urlsafe_b64encode(b"x" * before + SECRET + b"y" * 4) for before in range(6)),
        b'{"key": "' + b64encode(SECRET) + b'"}',
    ],
)
def test_a_planted_secret_is_found(planted: bytes) -> None:
    assert traces({"here": b"nothing", "there": planted}, {"McKey": SECRET})


def test_what_is_not_there_is_not_found(  # a part of it gives nothing away
) -> None:
    other = bytes(16) + SECRET[:8] + bytes(8)
    assert traces({"here": other + other.hex().encode() + b64encode(other)}, {"McKey": SECRET}) == []
