"""The end of the process, in time: what is not written by then is resumed, as after any death."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread, Timer
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)

AT_MOST = 8.5
"""Seconds that stopping may take. Of the 10 that are promised, the rest is for a machine with much to do."""
SAYING = 0.5
"""Seconds to say so: nobody may be reading the log."""


@contextmanager
def cut_off_in_time() -> Iterator[None]:
    """If the block takes longer than `AT_MOST`, the process ends there and then, with exit code 0.

    Seen to by a thread, for it is the event loop that may be too busy. An embedded PostgreSQL is told to
    stop by the system then, as by any death of this process.
    """
    timer = Timer(AT_MOST, _cut_off)
    timer.daemon = True
    with suppress(RuntimeError):  # no more threads are to be had: then it stops as fast as it can
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def leave(code: int) -> NoReturn:
    """End the process and free nothing: a million objects, one by one, take longer than all else."""
    logging.shutdown()
    os._exit(code)


def _cut_off() -> None:
    saying = Thread(target=log.warning, args=["stopping is cut off"], kwargs={"after": AT_MOST}, daemon=True)
    with suppress(RuntimeError):
        saying.start()
        saying.join(SAYING)
    os._exit(0)
