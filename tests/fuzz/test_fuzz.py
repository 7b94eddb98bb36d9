"""A short run of each fuzzer; `./dev fuzz` is the long one."""

from random import Random

import pytest

from tests.fuzz import codecs, configuration, coverage, crowd, floods, grpc, http, tls
from tests.fuzz.__main__ import by_coverage


@pytest.mark.parametrize("name", codecs.TARGETS)
def test_codecs(name: str) -> None:
    codecs.fuzz(name, Random(0), 3000)


@pytest.mark.skipif(not coverage.AVAILABLE, reason="there is no atheris for this Python")
def test_codecs_by_coverage() -> None:
    assert "10000 runs" in by_coverage(Random(0), 10_000)


def test_without_atheris_no_input_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "AVAILABLE", False)
    assert by_coverage(Random(0), 800).startswith("800 inputs by mutation")


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
