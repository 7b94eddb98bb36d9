"""A server as an actor: it listens for as long as the actor lives, and anew when it is restarted."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import combinations
from typing import Never, Protocol

import trio

from fuota.actor import Actor, Me
from fuota.config.mistake import ConfigError
from fuota.config.value import Bind


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


async def check(binds: Mapping[str, Bind]) -> None:
    """Find out whether all can be listened on at the same time, before anything is started in vain.

    `binds` have the names of their keys. Raises the OSError of one that can not be listened on, and
    ConfigError when two are in each other's way: who is meant by a host name, only the system knows.
    """
    for bind in binds.values():
        async with _listening(bind):
            pass
    for (name, bind), (other, second) in combinations(binds.items(), 2):
        if bind.port == second.port != 0:
            async with _listening(bind):
                try:
                    async with _listening(second):
                        pass
                except OSError as error:
                    why = f'{name} = "{bind}" is in its way: each needs an address or a port of its own'
                    raise ConfigError(f'{other} = "{second}": {why}') from error


@asynccontextmanager
async def _listening(bind: Bind) -> AsyncIterator[None]:
    try:
        listeners = await trio.open_tcp_listeners(bind.port, host=bind.host or None)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(error.errno, f"can not listen on {bind}: {reason}") from error
    try:
        yield
    finally:
        for listener in listeners:
            listener.socket.close()
