"""Reading from a journal that may be away for a while."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import trio

from fuota.journal.encoding import Unreadable
from fuota.journal.port import Journal, Unavailable

T = TypeVar("T")

PAUSE = 1.0
"""Seconds between two attempts."""

LOOK = 60.0
"""Seconds between two looks of a server that stands by at what it would have to open."""


async def patiently(query: Callable[[], Awaitable[T]]) -> T:
    """What the journal says, however long the database is away."""
    while True:
        try:
            return await query()
        except Unavailable:
            await trio.sleep(PAUSE)


async def try_keys(journal: Journal) -> None:
    """Raise `NotOpened` now if a deployment to resume is sealed with another master key.

    Later it would be the crash of an actor, and a traceback. What can not be read for another reason stands
    still alone.
    """
    for deployment_id in await patiently(journal.unfinished):
        with suppress(Unreadable):
            await patiently(partial(journal.load, deployment_id))


async def keep_trying_keys(journal: Journal) -> None:
    """`try_keys` while another server runs the deployments: by now it may have begun its first."""
    while True:
        await trio.sleep(LOOK)
        if journal.ownership.epoch is None:
            await try_keys(journal)
