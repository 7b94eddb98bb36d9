"""What is between the server and the devices of a soak: how good it is, and what it does to uplinks."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

import attrs
import trio

from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import (
    FragSessionSetupAns,
    FragSessionSetupReq,
    FragSessionStatusAns,
    FragSessionStatusReq,
)
from fuota.lorawan.multicast import (
    McClassBSessionAns,
    McClassBSessionReq,
    McClassCSessionAns,
    McClassCSessionReq,
    McGroupSetupAns,
    McGroupSetupReq,
)
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink

REQUESTS = (
    McGroupSetupReq,
    FragSessionSetupReq,
    McClassBSessionReq,
    McClassCSessionReq,
    FragSessionStatusReq,
)

ANSWERS = (
    McGroupSetupAns,
    FragSessionSetupAns,
    McClassBSessionAns,
    McClassCSessionAns,
    FragSessionStatusAns,
)

RIGHT = (
    *(Behaviour(clock_offset=timedelta(seconds=offset)) for offset in (-2, 0, 2)),
    Behaviour(answer_delay=timedelta(seconds=3)),
    Behaviour(early_time_to_start=True),
)
"""Devices that do everything right: a clock is never better than that."""

ASTRAY = tuple(Behaviour(clock_offset=timedelta(seconds=offset)) for offset in (-90, -8, 8, 90, 3600))
"""Those that do, too, once their clock has been put right."""


@attrs.frozen
class Air:
    """How good the air and the way behind the gateways are, during one campaign."""

    clear: bool
    """Nothing is lost, but when the process dies."""
    radio: Radio
    lost: float
    """Share of events that never come."""
    told: bool
    """The network says what became of unicast downlinks."""
    latency: float
    """Seconds that each call to ChirpStack takes."""
    late: set[EUI64] = attrs.field(factory=set)
    """Devices of which an uplink came late."""

    @classmethod
    def drawn(cls, random: Random) -> "Air":
        clear, told = random.random() < 0.5, random.random() < 0.5
        pace = random.choice([None, None, *(timedelta(seconds=seconds) for seconds in (1, 2.9, 5))])
        radio = Radio(
            uplink_interval=timedelta(seconds=random.choice([5, 60])),
            loss=0 if clear else random.choice([0, 0.05, 0.2]),
            fragment_interval=pace,
        )
        latency = random.choice([0.0, 0.0, random.uniform(0.1, 1.0), random.uniform(0.5, 4.9)])
        return cls(clear, radio, 0 if clear else 0.1, told, latency)

    @property
    def turn(self) -> timedelta:
        """Long enough for any device to hear a request and answer it."""
        return self.radio.uplink_interval * 1.2 + timedelta(seconds=10)

    async def carry(
        self, random: Random, deliver: Callable[[Uplink], Awaitable[None]], uplink: Uplink
    ) -> None:
        """Deliver the uplink: lost, late, doubled, or with something unreadable behind it."""
        fate = random.random()
        if fate < self.lost:
            return
        if fate > 0.98:
            self.late.add(uplink.dev_eui)
            await trio.sleep(random.choice([2, 20, 7000]))  # others overtake it
        elif fate > 0.9:
            uplink = attrs.evolve(uplink, data=uplink.data + random.randbytes(1))
        for _ in range(random.choice([1, 1, 1, 3])):
            await deliver(uplink)


def behaviour(random: Random) -> Behaviour:
    """Half of all devices do everything right."""
    if random.random() < 0.5:
        return random.choice(RIGHT)
    return random.choice(
        [
            Behaviour(silent=True),
            Behaviour(ignores=frozenset(random.sample(REQUESTS, 2))),
            Behaviour(uplink_loss=0.4),
            Behaviour(downlink_loss=0.4),
            random.choice(ASTRAY),
            random.choice(ASTRAY),
            Behaviour(clock_offset=timedelta(hours=1), ignores=frozenset({ForceDeviceResyncReq})),
            Behaviour(answer_delay=timedelta(seconds=random.uniform(1, 60))),
            Behaviour(wrong_root_key=True),
            Behaviour(memory=1000),
            Behaviour(max_lost=2),
            Behaviour(stack=random.choice([Stack.SWL2001, Stack.LORAMAC_NODE])),
            Behaviour(dropped=random.choice([1, 3, 1000])),
            Behaviour(loses=frozenset({random.choice(ANSWERS)})),
            Behaviour(early_time_to_start=True, answer_delay=timedelta(seconds=random.uniform(1, 60))),
        ]
    )
