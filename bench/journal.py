"""The journal in PostgreSQL: transitions per second, a large deployment, and what it does to the event loop.

    python bench/journal.py [--quick]

A transition is what an answer of a device makes: a state, its history, and a row of the log. The large
deployment has 100 000 devices, with --quick 10 000.
"""

import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import random
from uuid import UUID, uuid4

import trio

from bench import kit
from bench.ordering import dev_euis, order
from fuota.deployment import states as deployment_states
from fuota.deployment.order import plan
from fuota.device import states as device_states
from fuota.journal.port import ActorId, LogRow, NewDeployment, NewDevice, Transition
from fuota.journal.postgres import PostgresJournal
from fuota.lorawan.eui import EUI64

SECONDS = 3.0
CONCURRENT = (1, 10, 100, 1000, 10_000)


def ordered(devices: Sequence[EUI64]) -> NewDeployment:
    asked = order(devices)
    return NewDeployment(
        id=uuid4(),
        plan=plan(asked, mc_addr=0x01020304),
        mc_key=secrets.token_bytes(16),
        firmware=asked.payload,
        devices=[
            NewDevice(dev_eui=EUI64(device.dev_eui), mc_root_key=device.mc_root_key)
            for device in asked.devices
        ],
        created_at=datetime.now(UTC),
        state=deployment_states.CreatingGroup(),
        device_state=device_states.Waiting(),
    )


def transition(deployment_id: UUID, dev_eui: EUI64, version: int) -> Transition:
    now = datetime.now(UTC)
    answer = LogRow(
        deployment_id=deployment_id,
        dev_eui=dev_eui,
        created_at=now,
        f_port=200,
        command="McGroupSetupAns",
        fields={"mc_group_id": "1", "id_error": "false"},
    )
    return Transition(
        actor=ActorId(deployment_id, dev_eui),
        version=version,
        at=now,
        cause="Answered",
        state=device_states.SettingUpFragments(1, now + timedelta(seconds=60)),
        logs=(answer,),
    )


async def commits(journal: PostgresJournal, devices: Sequence[EUI64]) -> tuple[str, str]:
    """Each of so many actors commits one transition after the other."""
    new = ordered(devices)
    await journal.create(new)
    written = 0

    async def live(dev_eui: EUI64) -> None:
        nonlocal written
        await trio.sleep(random() / 4)  # answers do not come all at once
        end = trio.current_time() + SECONDS
        version = 1
        while trio.current_time() < end:
            version += 1
            await journal.commit(transition(new.id, dev_eui, version))
            written += 1

    async with kit.watched() as watch, trio.open_nursery() as nursery:
        for dev_eui in devices:
            nursery.start_soon(live, dev_eui)
        await trio.sleep(0.5)
        watch.stall = 0.0  # but for the start of so many tasks
    wait = len(devices) * watch.seconds / written
    return (
        f"{len(devices)} actors",
        f"{written / watch.seconds:.0f} transitions/s, each {1e3 * wait:.1f} ms, "
        f"event loop late by {1e3 * watch.stall:.0f} ms at most",
    )


async def step(name: str, act: Callable[[], Awaitable[object]]) -> tuple[str, str]:
    async with kit.watched() as watch:
        result = await act()
    del result  # only now, for that takes a while as well
    return name, f"{watch.seconds:.3f} s, event loop late by {1e3 * watch.stall:.0f} ms at most"


async def main(large: int) -> None:
    kit.prepare()
    devices = iter(dev_euis(sum(CONCURRENT) + large))
    async with kit.postgres() as journal:
        speed = [
            await commits(journal, [next(devices) for _ in range(concurrent)]) for concurrent in CONCURRENT
        ]
        kit.show("actors that commit", speed)
        new = ordered(list(devices))
        steps = [
            await step("create", lambda: journal.create(new)),
            await step("read the devices, to resume", lambda: journal.devices(new.id)),
            await step("read the status", lambda: journal.status(new.id)),
        ]
        kit.show(f"a deployment with {large} devices", steps)


if __name__ == "__main__":
    trio.run(main, 10_000 if "--quick" in sys.argv else 100_000)
