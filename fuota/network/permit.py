"""Who may call the network, and how many may at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import attrs
import trio


class Permit(Protocol):
    """Whether calls may be made; `fuota.ownership.Ownership` is one."""

    @property
    def certain(self) -> bool: ...

    async def assured(self) -> None:
        """Return when they may."""


@attrs.frozen
class Always:
    """No condition."""

    certain: bool = True

    async def assured(self) -> None:
        pass


@asynccontextmanager
async def place(limiter: trio.CapacityLimiter, permit: Permit) -> AsyncIterator[None]:
    """One of the limiter's places, if the permit still says so when one is free."""
    while True:
        await permit.assured()
        async with limiter:
            if permit.certain:
                yield
                return
