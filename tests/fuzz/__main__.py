"""`./dev fuzz`: a million inputs in all; it says what was tried, or the seed and the input that failed."""

import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import click
import trio

from tests.fuzz import codecs, configuration, coverage, crowd, floods, grpc, http, tls
from tests.fuzz.watch import Watch

Fuzz = Callable[[Random, int], str]


def _codec(name: str, random: Random, inputs: int) -> str:
    codecs.fuzz(name, random, inputs)
    return f"{inputs} inputs"


def by_coverage(random: Random, inputs: int) -> str:
    """Without atheris they are made as all others for the codecs are: none is left out."""
    if coverage.AVAILABLE:
        return coverage.fuzz(inputs)
    each = -(-inputs // len(codecs.TARGETS))
    for name in codecs.TARGETS:
        codecs.fuzz(name, random, each)
    return f"{each * len(codecs.TARGETS)} inputs by mutation, for there is no atheris for this Python"


def _configuration(random: Random, inputs: int) -> str:
    configuration.fuzz(random, inputs)
    return f"{inputs} inputs"


def _server(fuzz: Callable[[Random, int], Awaitable[Watch]], random: Random, inputs: int) -> str:
    return trio.run(fuzz, random, inputs).summary()


TARGETS: dict[str, tuple[Fuzz, float]] = {
    **{name: (partial(_codec, name), 0.08) for name in codecs.TARGETS},
    "configuration": (_configuration, 0.03),
    "events over HTTP/1.1": (partial(_server, partial(http.fuzz, "events over HTTP/1.1")), 0.07),
    "pages over HTTP/1.1": (partial(_server, partial(http.fuzz, "pages over HTTP/1.1")), 0.03),
    "HTTP/2 without TLS": (partial(_server, partial(http.fuzz, "HTTP/2 without TLS")), 0.03),
    "gRPC": (partial(_server, grpc.fuzz), 0.06),
    "gRPC with TLS": (partial(_server, tls.fuzz), 0.02),
    "floods": (partial(_server, floods.fuzz), 0.005),
    "crowd": (partial(_server, crowd.fuzz), 0.01),  # twice to each of two ports
    "coverage": (by_coverage, 0.095),
}
"""Each with its part of all inputs."""


@click.command()
@click.option("--inputs", default=1_000_000, show_default=True, help="Of all targets together.")
@click.option("--seed", default=1, show_default=True)
@click.option("--target", type=click.Choice(list(TARGETS)), help="This one alone, with all the inputs.")
def main(inputs: int, seed: int, target: str | None) -> None:
    """Hostile input for everything that reads what others have sent."""
    for name, (fuzz, part) in TARGETS.items():
        if target in (None, name):
            began = time.monotonic()
            try:
                said = fuzz(Random(f"{name} {seed}"), inputs if target else round(inputs * part))
            except BaseException:
                click.echo(f"{name}: seed {seed} failed", err=True)
                raise
            click.echo(f"{name}: {said}, in {time.monotonic() - began:.0f} s")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
