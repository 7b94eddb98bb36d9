"""What is known of what ails, and for how long."""

import structlog
import trio
from trio.testing import MockClock

from fuota.health import Health


async def test_what_ails_does_so_until_it_is_well(autojump_clock: MockClock) -> None:
    health = Health()
    health.ill("postgresql", "out of reach")
    await trio.sleep(80_000)
    assert health.ailments() == {"postgresql": "out of reach"}
    health.well("postgresql")
    assert health.ailments() == {}


async def test_what_nobody_says_again_is_forgotten(autojump_clock: MockClock) -> None:
    health = Health()
    health.ill("postgresql", "out of reach")
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            health.ill("chirpstack", "UNAVAILABLE", lasts=30)
            await trio.sleep(29)
        assert health.ailments().keys() == {"postgresql", "chirpstack"}
        await trio.sleep(1)
        assert health.ailments().keys() == {"postgresql"}
        health.well("chirpstack")
    forgotten = "not known to ail any more: nobody has called it since"
    assert [line["event"] for line in said] == ["ailing", forgotten]


async def test_what_is_forgotten_has_disturbed_until_then(autojump_clock: MockClock) -> None:
    """However much later it is asked."""
    health = Health()
    began = trio.current_time()
    health.ill("chirpstack", "UNAVAILABLE", lasts=30)
    assert health.ailed(began + 29)
    await trio.sleep(1000)
    assert health.ailed(began)
    assert health.ailed(began + 30)
    assert not health.ailed(began + 31)


async def test_what_ails_in_many_ways_is_not_said_at_every_call(autojump_clock: MockClock) -> None:
    health = Health()
    with structlog.testing.capture_logs() as said:
        for number in range(100):
            health.ill("chirpstack", f"{number}", lasts=30)
            assert health.ailments() == {"chirpstack": f"{number}"}
            await trio.sleep(1)
    assert [line["ailment"] for line in said] == [f"{10 * number}" for number in range(10)]
