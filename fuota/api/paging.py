"""The tokens by which clients come back for the next page of a list."""

import base64
import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

from fuota.api.errors import invalid
from fuota.deployment.problem import Problem

P = TypeVar("P")
T = TypeVar("T")

DEFAULT, MOST = 100, 1000
"""Entries of a page if the client does not say, and at the most."""


def size(asked: int) -> int:
    """How many entries the page is to have."""
    return min(asked or DEFAULT, MOST)


def token(place: str, of: object) -> str:
    """Names the place in the list at which a page ends. `of`: what the list is of, as it was asked for."""
    return base64.urlsafe_b64encode(json.dumps([place, _mark(of)]).encode()).decode().rstrip("=")


def place(token: str, of: object, read: Callable[[str], P]) -> P | None:
    """What `read` makes of the place that `token` names; None for the first page. Raises INVALID_ARGUMENT."""
    if not token:
        return None
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        named, mark = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        found = read(named)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise invalid([Problem("page_token", "was not issued by this server")]) from None
    if mark != _mark(of):
        raise invalid([Problem("page_token", "belongs to another query: repeat the same filter")])
    return found


def page(found: Sequence[T], size: int) -> tuple[Sequence[T], bool]:
    """Of one entry more than the page has: the page, and whether there is another."""
    return found[:size], len(found) > size


def _mark(of: object) -> str:
    return sha256(repr(of).encode()).hexdigest()[:8]
