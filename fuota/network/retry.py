"""How often a call to the network is made again, and after how long."""

import math
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import attrs
import trio

from fuota.network.port import NetworkError, Refused, TokenRefused, Trouble, Unreachable

T = TypeVar("T")

TROUBLES = 10
"""How often the network may fail in itself over one call while it answers others: then that is its answer."""

TROUBLED = 900.0
"""Seconds for which it may do so while it answers nobody. (For a token that is refused there is no limit:
somebody has to mend it, and the deployment goes on then.)"""

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 2.0
"""Seconds."""


async def never() -> bool:
    return False


async def persistently(
    call: Callable[[], Awaitable[T]],
    *,
    trouble: Callable[[NetworkError], None],
    hopeless: Callable[[], Awaitable[bool]] = never,
) -> T:
    """Make `call` until it is answered: through an outage for ever, through trouble of its own not so long.

    `trouble` is told of every failure but what is raised: `Refused`, `GroupGone` and `NotActivated`.
    `hopeless` is asked after every call that was not answered, and may say that none ever will be.
    """
    troubles, since = 0, math.inf
    for pause in pauses():
        try:
            return await call()
        except Unreachable as error:
            trouble(error)
            troubles, since = 0, math.inf
            if await hopeless():
                raise Refused(
                    error.status, f"{error.detail} (given up: the network works otherwise)"
                ) from error
        except Trouble as error:
            trouble(error)
            troubles += error.alone
            endless = isinstance(error, TokenRefused) and not error.own
            since = math.inf if endless else min(since, trio.current_time())
            if troubles == TROUBLES or trio.current_time() > since + TROUBLED:
                raise Refused(error.status, error.detail) from error
        await trio.sleep(pause)
    raise AssertionError("pauses never end")


@attrs.define
class Caller:
    """Who calls the network for one deployment or device."""

    trouble: str = attrs.field(default="", init=False)
    """What the network says, if it does not do what it is asked."""

    async def persistently(
        self, call: Callable[[], Awaitable[T]], *, hopeless: Callable[[], Awaitable[bool]] = never
    ) -> T:
        """Make `call` until it is answered; see the function."""
        answer = await persistently(call, trouble=self.troubled, hopeless=hopeless)
        self.trouble = ""
        return answer

    def troubled(self, error: NetworkError) -> None:
        self.trouble = str(error)


def pauses() -> Iterator[float]:
    """Seconds: twice as long each time up to `LONGEST_PAUSE`, and somewhere in the upper half of that.

    The jitter keeps a thousand devices from coming back at the same moment.
    """
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(2 * pause, LONGEST_PAUSE)
