"""A server as an actor: it listens for as long as the actor lives, and anew when it is restarted."""

import os
from collections.abc import Awaitable, Callable
from typing import Never, Protocol

import trio

from fuota.actor import Actor, Me
from fuota.config import Bind


class Serve(Protocol):
    """Serves until cancelled, and says where once it listens."""

    def __call__(self, *, task_status: trio.TaskStatus[str]) -> Awaitable[None]: ...


class Endpoint(Actor[Never]):
    """Takes no messages; what comes in goes to the actors it was made for."""

    def __init__(self, serve: Serve, listening: Callable[[str], None]) -> None:
        self._serve = serve
        self._listening = listening
        self._address = ""

    async def started(self, me: Me[Never]) -> None:
        self._address = await me.nursery.start(self._serve)
        self._listening(self._address)

    def describe(self) -> object:
        return {"listening on": self._address}


async def check(*binds: Bind) -> None:
    """Raise the OSError of an address that can not be listened on, before anything is started in vain."""
    for bind in binds:
        try:
            listeners = await trio.open_tcp_listeners(bind.port, host=bind.host or None)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise OSError(error.errno, f"can not listen on {bind}: {reason}") from error
        for listener in listeners:
            await listener.aclose()
