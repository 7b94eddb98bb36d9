"""A ChirpStack whose devices take every downlink at once and answer it at once, as a process of its own.

    python bench/prompt.py DEVICES

It prints the address of its API, where each call takes 5 ms, and reads a line with the address of the
FUOTA server's endpoint, to which the answers are posted from then on.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count

import attrs
import trio

from fuota import bridge
from fuota.clock import SystemClock
from fuota.config.value import Bind
from fuota.lorawan.eui import EUI64
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.chirpstack import ChirpStack, Item, Queue
from fuota.simulation.chirpstack3 import serve_api
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.frames import Payload
from fuota.simulation.webhook import Webhook, open_webhook
from fuota.simulation.world import World
from fuota.uplink import Uplink

LATENCY = 0.005
"""Seconds that each call takes."""
TOKEN = "bench"


@attrs.define
class Prompt(Queue):
    """The queue of a device that takes what comes at once."""

    take: Callable[[int, bytes], None] = attrs.field(kw_only=True)

    def push(self, f_port: int, data: bytes, confirmed: bool = False) -> Item:
        item = super().push(f_port, data, confirmed)
        self.take(f_port, self.items.popleft().data)
        return item


@attrs.define
class PromptChirpStack(ChirpStack):
    """All of whose devices are so."""

    prompt: dict[EUI64, Prompt] = attrs.field(factory=dict)

    def queue(self, dev_eui: EUI64) -> Queue:
        return self.prompt[dev_eui]


async def main(devices: int) -> None:
    members = fleet(devices, behaviour=lambda _: Behaviour(answer_delay=timedelta(0)))
    clock = SystemClock()
    world = World(members, clock=clock)
    webhook: Webhook | None = None
    f_cnts = count()

    def take(device: Device, f_port: int, data: bytes) -> None:
        now = clock.now()
        device.take(Payload(f_port, data), now)
        answer = device.send(now)
        if webhook is not None and answer is not None:
            uplink = Uplink(
                dev_eui=device.dev_eui,
                f_port=answer.f_port,
                f_cnt=next(f_cnts),
                data=answer.data,
                received_at=now,
            )
            nursery.start_soon(webhook.deliver, uplink)

    queues = {device.dev_eui: Prompt(take=partial(take, device)) for device in members}
    world.chirpstack = PromptChirpStack(
        dict.fromkeys(queues, "1"),
        on_multicast=lambda group: None,
        on_unicast=lambda dev_eui: None,
        prompt=queues,
    )
    conditions = ApiConditions(clock=clock, latency=LATENCY)
    async with bridge.open_loop(), trio.open_nursery() as nursery:
        api = partial(serve_api, world, Bind("127.0.0.1", 0), token=TOKEN, conditions=conditions)
        print(await nursery.start(api), flush=True)
        if endpoint := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            async with open_webhook(f"http://{endpoint.strip()}/") as webhook:
                await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
