"""What ChirpStack is told of an uplink that is not taken, or not in time: it is never lost in silence."""

import pytest
import trio

from fuota.dispatcher import Outcome, Route
from fuota.fate import OnAir
from fuota.generated.chirpstack3.integration_pb2 import TxAckEvent
from fuota.integration import chirpstack3
from fuota.integration.endpoint import IMPATIENT, PATIENT
from fuota.lorawan.eui import EUI64
from fuota.places import CONNECTIONS
from tests.virtual.posted import DEV_EUI, PROTOBUF, event, opened


async def test_busy(autojump_clock: object) -> None:
    async with opened(lambda route: route.reply.give(Outcome.BUSY)) as post:
        assert await post(event().SerializeToString()) == (503, "too busy")


async def test_not_in_time(autojump_clock: object) -> None:
    async with opened(lambda route: None) as post:
        before = trio.current_time()
        assert await post(event().SerializeToString()) == (503, "kept, but not safe yet")
        assert trio.current_time() - before == pytest.approx(chirpstack3.WITHIN)
        assert post.late["late"] == 1


async def test_word_of_a_downlink_goes_past_the_uplinks(autojump_clock: object) -> None:
    """There may be as much of it as of these: none of them is to wait behind it."""
    async with opened() as post:
        said = TxAckEvent(dev_eui=DEV_EUI, f_cnt=7).SerializeToString()
        assert await post(said, path="/?event=txack") == (200, "taken")
        assert post.fates == [OnAir(dev_eui=EUI64(DEV_EUI), item="7")]
        assert post.uplinks == []


async def test_the_more_uplinks_wait_the_sooner_the_next_is_answered(autojump_clock: object) -> None:
    """It is kept all the same, and its connection is free for another."""
    took: list[float] = []
    body = event().SerializeToString()
    short = PROTOBUF | {"Content-Length": str(len(body))}
    async with opened(lambda route: None) as post:

        async def wait() -> None:
            before = trio.current_time()
            assert await post(body, short) == (503, "kept, but not safe yet")
            took.append(trio.current_time() - before)

        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(wait)
        assert len(post.uplinks) == CONNECTIONS
    half = int(CONNECTIONS * PATIENT / 2)
    assert min(took) == pytest.approx(IMPATIENT)
    assert max(took) == pytest.approx(chirpstack3.WITHIN)
    assert sorted(took)[-half] == pytest.approx(chirpstack3.WITHIN / 2, rel=0.1)
    assert sum(each > IMPATIENT * 1.01 for each in took) < CONNECTIONS * PATIENT


async def test_crashed(autojump_clock: object) -> None:
    def crash(route: Route) -> None:
        raise ArithmeticError

    async with opened(crash) as post:
        assert await post(event().SerializeToString()) == (503, "not taken")


async def test_stopped(autojump_clock: object) -> None:
    async with opened() as post:
        pass
    assert await post(event().SerializeToString()) == (503, "not taken")
