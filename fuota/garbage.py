"""The garbage collector, with a hundred thousand long-lived actors: it looks at little at a time."""

import gc

import trio

THRESHOLDS = (1_000, 4, 200_000)
"""The first two are small, for what is young is looked at in one go. The third is large, for so is all that
there is, and actors keep the collector busy for nothing: hours of sweeps lie between two looks at all."""

EVERY = 0.05
"""Seconds between two looks at what is young."""


def set_up() -> None:
    gc.set_threshold(*THRESHOLDS)


def rest() -> None:
    """Look at nothing any more: the process ends, and all that there is becomes garbage at once."""
    gc.disable()


async def sweep() -> None:
    """Look at what is young before that is much.

    By itself, CPython begins when more has been made than was freed. Where every actor that wakes frees one
    wait and makes another, that does not come, until all the actors are young and are looked at in one go.
    """
    while True:
        await trio.sleep(EVERY)
        gc.collect(1)
