"""Looks for secrets where none may be: as octets, in hexadecimal, in base64."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping


def traces(places: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Where which secret stands, and how it is written."""
    return [
        f"{secret} in {place}, {how}"
        for secret, octets in secrets.items()
        for how, form in forms(octets)
        for place, content in places.items()
        if form in content
    ]


def forms(octets: bytes) -> Iterator[tuple[str, bytes]]:
    yield "as it is", octets
    yield "in hexadecimal", octets.hex().encode()
    yield "in capital hexadecimal", octets.hex().upper().encode()
    yield "in hexadecimal with colons", octets.hex(":").encode()
    yield "as Python shows it", repr(octets)[2:-1].encode()
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):
            yield (
                f"in base64, {before} octets on",
                _inner(encode(bytes(before) + octets), before, len(octets)),
            )


def _inner(encoded: bytes, before: int, length: int) -> bytes:
    """The characters that do not depend on what stands before and behind."""
    first = -(-before * 8 // 6)
    last = (before + length) * 8 // 6
    return encoded[first:last]
