"""A short run of each fuzzer; `./dev fuzz` is the long one."""

from random import Random

import pytest

from tests.fuzz import codecs, configuration, coverage, crowd, floods, grpc, http, tls


@pytest.mark.parametrize("name", codecs.TARGETS)
def test_codecs(name: str) -> None:
    codecs.fuzz(name, Random(0), 3000)


def test_codecs_by_coverage() -> None:
    assert ("10000 runs" in coverage.fuzz(10_000)) == coverage.AVAILABLE


def test_the_configuration() -> None:
    configuration.fuzz(Random(0), 500)


@pytest.mark.parametrize("kind", http.KINDS)
async def test_http(kind: str) -> None:
    watch = await http.fuzz(kind, Random(0), 300)
    assert watch.inputs == 300


async def test_the_grpc_api() -> None:
    watch = await grpc.fuzz(Random(0), 300)
    assert watch.inputs == 300


async def test_the_grpc_api_with_tls() -> None:
    watch = await tls.fuzz(Random(0), 300)
    assert watch.inputs == 300


async def test_floods() -> None:
    watch = await floods.fuzz(Random(0), 60)
    assert watch.inputs == 60


async def test_three_times_as_many_strangers_as_there_are_places() -> None:
    watch = await crowd.fuzz(Random(0), 1500)
    assert watch.inputs == 6000
