"""What must hold while a server is fuzzed: memory stays, nothing is logged as an error, others are served."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
from structlog.testing import capture_logs

GROWTH = 64 << 20
"""Octets that the process may grow by after the first tenth of the inputs."""
PATIENCE = 5.0
"""Seconds in which a well-behaved client has to be served."""
PAUSE = 0.05
LINES = 2.0
"""Lines of log for each input, at most: a hostile peer must not fill the disk either."""


@attrs.define
class Watch:
    """What was seen so far."""

    inputs: int = 0
    served: int = 0
    """Requests of the well-behaved client."""
    longest: float = 0.0
    """Seconds that one of them took."""
    resident: int = 0
    """Octets, when a tenth was done."""
    growth: int = 0

    def mark(self) -> None:
        self.resident = resident()

    def summary(self) -> str:
        return (
            f"{self.inputs} inputs; beside them {self.served} requests of a well-behaved client, "
            f"the slowest in {self.longest:.1f} s; memory {self.growth / 2**20:+.0f} MiB"
        )


class _Tracebacks(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(self.format(record))


@asynccontextmanager
async def watched(request: Callable[[], Awaitable[None]]) -> AsyncIterator[Watch]:
    """Make `request` all the time while the block fuzzes; check everything at its end."""
    watch, handler, over = Watch(), _Tracebacks(), trio.Event()

    async def behave() -> None:
        while not over.is_set():
            began = trio.current_time()
            with trio.fail_after(PATIENCE):
                await request()
            watch.served += 1
            watch.longest = max(watch.longest, trio.current_time() - began)
            await trio.sleep(PAUSE)

    logging.getLogger().addHandler(handler)
    try:
        with capture_logs() as logs:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(behave)
                    yield watch
                    over.set()
            except BaseException as error:
                error.add_note(f"after {watch.inputs} inputs; last in the log: {logs[-5:]}")
                raise
    finally:
        logging.getLogger().removeHandler(handler)
    watch.growth = resident() - watch.resident
    bad = [line for line in logs if line["log_level"] in ("error", "critical") or line.get("exc_info")]
    bad = [line for line in bad if line["log_level"] != "debug"]
    assert not bad, bad[0]
    assert not handler.found, handler.found[0]
    said = [line for line in logs if line["log_level"] != "debug"]
    assert len(said) <= LINES * watch.inputs + 20, f"{len(said)} lines of log"
    assert watch.growth < GROWTH, watch.summary()
    assert watch.served > 0


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
