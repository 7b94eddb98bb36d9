"""Fixtures for tests with other processes."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests.process.clients import PURE_PYTHON, SCRIPT, Client, official
from tests.process.cluster import Cluster, open_cluster
from tests.process.generations import FOUR, THREE, Generation


@pytest.fixture(params=[THREE, FOUR], ids=["v3", "v4"])
def generation(request: pytest.FixtureRequest) -> Generation:
    """Of ChirpStack: what a server as a whole does, it does beside both."""
    found: Generation = request.param
    return found


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A PostgreSQL of the test's own, which may be stopped, killed and started again."""
    async with open_cluster() as cluster:
        yield cluster


@pytest.fixture
def free_port() -> int:
    """That nobody has, on any address of IPv4."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def official_client() -> Client:
    return official


@pytest.fixture(scope="session")
def official_descriptors() -> str:
    """The official .proto files' FileDescriptorSet, in base64."""
    run = subprocess.run(
        [sys.executable, SCRIPT, "--descriptors"], env=PURE_PYTHON, capture_output=True, text=True, check=True
    )
    return run.stdout
