"""The networks that have to pass the suites."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.network.opened import (
    GENERATION,
    Opened,
    application_server_v3,
    chirpstack_v4,
    open_one,
    simulated,
)


@pytest.fixture(
    params=[simulated, application_server_v3, chirpstack_v4], ids=lambda opening: opening.__name__
)
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    async with open_one(request.param) as it:
        yield it


@pytest.fixture(params=GENERATION, ids=lambda opening: opening.__name__)
async def wired(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """The same, where a token is asked for."""
    async with open_one(request.param) as it:
        yield it
