"""A program of PostgreSQL as a child process: started unprivileged, listened to, stopped in the end."""

import math
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio

from fuota.postgresql import launch
from fuota.postgresql.cluster import Account

log = structlog.get_logger("postgresql")

READY = "database system is ready to accept connections"
SERIOUS = {"WARNING", "FATAL", "PANIC"}  # an ERROR is told to the client whose statement it was
WAYS_TO_STOP = (
    (signal.SIGTERM, 2.0),  # waits for sessions to end, as ours do meanwhile
    (signal.SIGINT, 3.5),  # ends them
    (signal.SIGQUIT, 1.5),
    (signal.SIGKILL, math.inf),
)
"""And how many seconds each of them has: all together less than a server has for its end."""


class Child:
    """One child process.

    `lifetime` is a cancel scope that the end of the process cancels; `ready` is set when PostgreSQL takes
    connections; `last_lines` is the end of what it said.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: trio.lowlevel.FdStream) -> None:
        self.lifetime = trio.CancelScope()
        self.ready = trio.Event()
        self.last_lines: deque[str] = deque(maxlen=20)
        self._process = process
        self._output = output
        self._exited = trio.Event()

    @property
    def returncode(self) -> int:
        return self._process.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens to the child while the block runs and stops it afterwards: it is gone at the end."""
        raised: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                try:
                    yield
                finally:
                    with trio.CancelScope(shield=True):
                        await self._stop()
        except BaseExceptionGroup as group:
            [raised] = group.exceptions  # the block's: the watcher raises nothing
        if raised is not None:
            raise raised

    async def _stop(self) -> None:
        for way, patience in WAYS_TO_STOP:
            self._process.send_signal(way)
            with trio.move_on_after(patience):
                await self._exited.wait()
                return
            if way is not signal.SIGTERM:
                log.warning("PostgreSQL is slow to stop", signal=way.name, seconds=patience)

    async def _watch(self) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                await trio.to_thread.run_sync(self._process.wait, limiter=trio.CapacityLimiter(1))
                nursery.cancel_scope.deadline = trio.current_time() + 1  # for the last words
        self._exited.set()
        self.lifetime.cancel()

    async def _listen(self) -> None:
        rest = b""
        async with self._output as output:
            async for chunk in output:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._hear(line.decode(errors="replace"))
        self._hear(rest.decode(errors="replace"))

    def _hear(self, line: str) -> None:
        if not line.strip():
            return
        self.last_lines.append(line)
        severity, _, text = line.partition(":  ")
        if severity in SERIOUS:
            log.warning(text, severity=severity)
        else:
            log.debug(line)
        if READY in line:
            self.ready.set()


def spawn(program: Path, arguments: list[str], cluster: Path, family: int) -> Child:
    """Starts `program -D cluster ARGUMENTS`, which inherits the lock `family`.

    Not by `trio.run_process`: that forks in a worker thread, and the signal of a parent's death comes when
    the forking *thread* ends.
    """
    account = Account.to_run_as()
    directory = os.open(cluster, os.O_RDONLY)
    read, write = os.pipe()
    try:
        # For root the child is another user, who may be unable to walk to a directory below root's home.
        seen = str(cluster) if account.uid == os.geteuid() else f"/proc/self/fd/{directory}"
        command = [program, "-D", seen, *arguments]
        identity = [os.getpid(), account.uid, account.gid]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", launch.__file__, *map(str, identity), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # how initdb gets on; what goes wrong, both tell on the other
            stderr=write,
            pass_fds=(directory, family),
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C is for us: we stop PostgreSQL when we are done with it
        )
    except BaseException:  # raised on: without a child nobody else closes it
        os.close(read)
        raise
    finally:
        os.close(directory)
        os.close(write)
    return Child(process, trio.lowlevel.FdStream(read))
