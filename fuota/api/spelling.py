"""Ids and octets as clients spell them in texts, and what is wrong with those that can not be read."""

from collections.abc import Iterable, Iterator
from string import hexdigits
from uuid import UUID

from fuota.deployment.order import Problem


def octets(text: str) -> bytes:
    """Of hexadecimal digits; of anything else none, which no EUI and no key has."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def uuid(text: str) -> str | None:
    """In its usual spelling; None if it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def number(text: str) -> str | None:
    """An id that is a positive number of 63 bits, in its usual spelling; None if it is none."""
    if len(text) > 19 or not (text.isascii() and text.isdecimal()):
        return None
    return str(int(text)) if 0 < int(text) < 2**63 else None


def either(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


def uuid_problems(field: str, text: str) -> Iterator[Problem]:
    if uuid(text) is None:
        yield Problem(field, f"is {text[:64]!r}; it must be a UUID")


def eui_problems(field: str, text: str) -> Iterator[Problem]:
    if len(octets(text)) != 8:
        yield Problem(field, f"is {text[:64]!r}; it must be 16 hexadecimal digits")


def key_problems(field: str, text: str) -> Iterator[Problem]:
    """Of a key of 16 octets. The text stays out of it: most of it may be right."""
    if len(octets(text)) != 16:
        wrong = f"has {len(text)} digits" if set(text) <= set(hexdigits) else "is not hexadecimal"
        yield Problem(field, f"{wrong}; it must be 32 hexadecimal digits")
