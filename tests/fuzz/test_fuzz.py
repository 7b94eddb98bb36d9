"""A short run of each fuzzer; `just fuzz` is the long one."""

from random import Random

import pytest

from tests.fuzz import codecs, configuration, coverage, grpc, http


@pytest.mark.parametrize("name", codecs.TARGETS)
def test_codecs(name: str) -> None:
    codecs.fuzz(name, Random(0), 4000)


def test_codecs_by_coverage() -> None:
    assert "20000 runs" in coverage.fuzz(20_000)


def test_the_configuration() -> None:
    configuration.fuzz(Random(0), 1000)


@pytest.mark.parametrize("two", [False, True], ids=["HTTP/1.1", "h2c"])
async def test_the_endpoint_for_events(two: bool) -> None:
    watch = await http.fuzz(Random(0), 600 if two else 1500, two=two)
    assert watch.served > 1


async def test_the_grpc_api() -> None:
    watch = await grpc.fuzz(Random(0), 1500)
    assert watch.served > 1
