"""Reading from a journal that may be away for a while."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from fuota.journal.port import Unavailable

T = TypeVar("T")

PAUSE = 1.0
"""Seconds between two attempts."""


async def patiently(query: Callable[[], Awaitable[T]]) -> T:
    """What the journal says, however long the database is away."""
    while True:
        try:
            return await query()
        except Unavailable:
            await trio.sleep(PAUSE)
