"""The soak's command line, and one seed from its beginning to its end."""

import gc
import random
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click
import hypothesis
import structlog
import trio

from tests.campaign import START
from tests.soak.campaign import campaign
from tests.soak.clock import LeapingClock
from tests.soak.invariants import Score


def soak(seed: int, deployments: int, devices: int) -> Score:
    """Run one campaign. Raises `AssertionError`."""
    assert (
        hypothesis.__version__
    )  # where it is imported, Trio's order of tasks comes from the generator below
    trio._core._run._r.seed(seed)
    random.seed(seed)

    wrong: list[str] = []
    clock = LeapingClock(START)

    async def run() -> Score:
        made = campaign(seed, deployments, devices, clock)
        made.witness.wrong = wrong
        with made.witness.overhearing():
            return await made.run()

    gc.disable()  # what is made lives to the end, and is not garbage however often one looks
    with structlog.testing.capture_logs() as logs:
        try:
            score = trio.run(run, clock=clock)
        finally:
            gc.enable()
            assert not wrong, wrong[0]
    crashed = [str(entry) for entry in logs if entry["event"] == "crashed"]
    assert not crashed, f"{len(crashed)} actors have crashed, first {crashed[0]}"
    return score


def attempt(deployments: int, devices: int, seed: int) -> Score | str:
    """The score of the seed, or what went wrong with it."""
    try:
        return soak(seed, deployments, devices)
    except (Exception, BaseExceptionGroup) as error:
        return "".join(traceback.format_exception(error))


@click.command()
@click.option("--seeds", default=10, show_default=True)
@click.option("--first", default=1, show_default=True)
@click.option("--deployments", default=50, show_default=True)
@click.option("--devices", default=200, show_default=True, help="For each deployment.")
@click.option("--jobs", default=1, show_default=True, help="Seeds at a time, each in a process.")
def main(seeds: int, first: int, deployments: int, devices: int, jobs: int) -> None:
    """Soak the server; the seed that fails is printed."""
    began, numbers, total = time.monotonic(), range(first, first + seeds), Score()
    with ProcessPoolExecutor(jobs) as pool:
        outcomes = pool.map(partial(attempt, deployments, devices), numbers)
        for seed, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, str):
                pool.shutdown(cancel_futures=True)
                raise click.ClickException(f"seed {seed} failed: {outcome}")
            total.add(outcome)
    click.echo(
        f"{seeds} seeds passed in {time.monotonic() - began:.0f} s: {total.deployments} deployments to "
        f"{total.devices} devices, {total.deaths} deaths of the process; "
        f"{total.owed} devices had to complete, and did"
    )


if __name__ == "__main__":
    main()
