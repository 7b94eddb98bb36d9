"""What the machines' tests start from."""

from datetime import UTC, datetime, timedelta

import pytest

from fuota.deployment.plan import MulticastClass, Plan, StatusRequest
from fuota.deployment.states import Session


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def plan() -> Plan:
    """41 uncoded and 10 coded fragments in a class C window of 64 s."""
    return Plan(
        application_id="1",
        mc_class=MulticastClass.C,
        mc_group_id=1,
        mc_addr=0x01020304,
        frequency=869_525_000,
        dr=5,
        time_out=6,
        periodicity=0,
        unicast_timeout=timedelta(seconds=10),
        unicast_attempts=3,
        frag_index=2,
        frag_size=50,
        redundancy=10,
        frag_algo=0,
        block_ack_delay=0,
        descriptor=bytes(4),
        status_request=StatusRequest.AFTER_SESSION_TIMEOUT,
        firmware_size=2_010,
        firmware_sha256=bytes(32),
    )


@pytest.fixture(scope="session")
def session(now: datetime) -> Session:
    """Begins 100 s from now."""
    start = now + timedelta(seconds=100)
    return Session(1, start, start + timedelta(seconds=64))
