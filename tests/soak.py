"""Deployments under random faults in virtual time; one number decides everything that happens.

    python -m tests.soak --seeds 10 [--first 1] [--deployments 50] [--devices 200] [--jobs 1]

Devices are deaf, mute, slow, wrong or lucky; frames, calls and events get lost, delayed or doubled; the
network goes away, and so does the database; somebody deletes a group; another server takes over and gives
back; the process dies and comes back. Whatever happened: every deployment ends, no actor
crashes, nothing is left behind, and what the journal says is so.
"""

import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from random import Random
from uuid import UUID

import attrs
import click
import structlog
import trio
from trio.testing import MockClock

from fuota.deployment.order import Order
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import ArrangingSession, AwaitingStart, Ended, Transmitting
from fuota.device.states import Complete
from fuota.journal.port import DeploymentStatus, Fenced, Milestone, Unavailable
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.lorawan.fragmentation import FragSessionSetupReq, FragSessionStatusReq
from fuota.lorawan.multicast import McClassBSessionReq, McClassCSessionReq, McGroupSetupReq
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import Surroundings, order, serving, surroundings
from tests.mischief import AbsentJournal, mischief

LONGEST = timedelta(days=14)
"""That a campaign may take, outages and restarts included."""

REQUESTS = (
    McGroupSetupReq,
    FragSessionSetupReq,
    McClassBSessionReq,
    McClassCSessionReq,
    FragSessionStatusReq,
)


def behaviour(random: Random) -> Behaviour:
    """Half of all devices do everything right."""
    if random.random() < 0.5:
        return Behaviour()
    return random.choice(
        [
            Behaviour(silent=True),
            Behaviour(ignores=frozenset(random.sample(REQUESTS, 2))),
            Behaviour(uplink_loss=0.4),
            Behaviour(downlink_loss=0.4),
            Behaviour(clock_offset=timedelta(seconds=random.choice([-90, -8, -2, 2, 8, 90]))),
            Behaviour(clock_offset=timedelta(hours=1), ignores=frozenset({ForceDeviceResyncReq})),
            Behaviour(answer_delay=timedelta(seconds=random.uniform(1, 60))),
            Behaviour(wrong_root_key=True),
            Behaviour(memory=1000),
            Behaviour(max_lost=2),
            Behaviour(stack=Stack.SWL2001),
        ]
    )


def campaign(random: Random, devices: Sequence[Device], image: bytes, index: int) -> Order:
    """An order that can be carried out; `index` keeps those of one device apart."""
    in_b = random.random() < 0.3
    return order(
        devices,
        multicast_group_type=MulticastClass.B if in_b else MulticastClass.C,
        multicast_timeout=random.randint(2, 4) if in_b else random.randint(6, 10),
        multicast_periodicity=random.randint(0, 2) if in_b else 0,
        multicast_group_id=index % 4,
        fragmentation_session_index=index % 4,
        unicast_timeout=timedelta(seconds=random.choice([5, 20, 60])),
        unicast_attempt_count=random.randint(1, 6),
        payload=image,
        fragmentation_redundancy=random.randint(0, 60),
        fragmentation_block_ack_delay=random.randint(0, 2),
        request_fragmentation_session_status=random.choice(list(StatusRequest)),
    )


async def soak(seed: int, deployments: int, devices: int) -> None:
    """One campaign; `AssertionError` says what did not hold."""
    random = Random(seed)
    fleets = fleet(deployments * devices, seed=seed, behaviour=lambda _: behaviour(random))
    radio = Radio(
        uplink_interval=timedelta(seconds=random.choice([5, 60])), loss=random.choice([0, 0.05, 0.2])
    )
    journal = AbsentJournal()
    around = surroundings(fleets, radio=radio, journal=journal)
    around.network.conditions.failing = random.choice([0, 0.1])
    orders: dict[UUID, tuple[Sequence[Device], bytes]] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        nursery.start_soon(mischief, Random(f"{seed} mischief"), around, journal)
        asked: list[tuple[Sequence[Device], bytes, Order]] = []
        for index in range(deployments):
            part = fleets[index * devices : (index + 1) * devices]
            image = random.randbytes(random.randint(1, 3000))
            asked.append((part, image, campaign(random, part, image, index)))
        with trio.fail_after(LONGEST.total_seconds()):
            while asked or not await ended(journal, orders):
                await live(around, journal, random, asked, orders)
                await trio.sleep(random.choice([0.1, 30, 4000]))
        await check(around, journal, orders)
        nursery.cancel_scope.cancel()


async def live(
    around: Surroundings,
    journal: AbsentJournal,
    random: Random,
    asked: list[tuple[Sequence[Device], bytes, Order]],
    orders: dict[UUID, tuple[Sequence[Device], bytes]],
) -> None:
    """One life of the process: it takes orders, works, and dies or ends."""
    with trio.move_on_after(random.choice([20, 300, 100_000])):
        async with serving(around, partial(mangled, random)) as running:
            while asked:
                part, image, each = asked[-1]
                try:
                    with trio.CancelScope(shield=True):  # an order is taken or not
                        orders[await running.orders.take(each)] = (part, image)
                except (Unavailable, Fenced):
                    await trio.sleep(10)
                    continue
                asked.pop()
            while not await ended(journal, orders):  # noqa: ASYNC110  # it is told by the journal alone
                await trio.sleep(10)


def mangled(random: Random, uplink: Uplink) -> Sequence[Uplink]:
    """What becomes of an event on its way: lost, doubled, or with something unreadable behind it."""
    fate = random.random()
    if fate < 0.1:
        return ()
    if fate < 0.3:
        return (uplink,) * 3
    if fate < 0.4:
        return (attrs.evolve(uplink, data=uplink.data + random.randbytes(3)[:1]),)
    return (uplink,)


async def ended(journal: AbsentJournal, orders: dict[UUID, tuple[Sequence[Device], bytes]]) -> bool:
    found = [await journal.seen(deployment_id) for deployment_id in orders]
    return all(status is not None and isinstance(status.state, Ended) for status in found)


async def check(
    around: Surroundings, journal: AbsentJournal, orders: dict[UUID, tuple[Sequence[Device], bytes]]
) -> None:
    assert not around.world.chirpstack.groups, "a group is left behind"
    versions: dict[object, list[int]] = defaultdict(list)
    for transition in around.journal.history:
        versions[transition.actor].append(transition.version)
    check_sent(journal)
    for actor, numbers in versions.items():
        assert numbers == list(range(2, len(numbers) + 2)), f"{actor} has the versions {numbers}"
    for deployment_id, (devices, image) in orders.items():
        status = await journal.seen(deployment_id)
        assert status is not None
        check_deployment(status, {device.dev_eui: device for device in devices}, image)


def check_sent(journal: AbsentJournal) -> None:
    """The cursor of a deployment never goes back, but after a group was lost."""
    last: dict[object, tuple[int, int]] = {}
    for transition in journal.history:
        state = transition.state
        if isinstance(state, ArrangingSession | AwaitingStart | Transmitting):
            now = (state.lost, state.sent)
            assert now >= last.get(transition.actor, now), f"{transition.actor}: {state}"
            last[transition.actor] = now


def check_deployment(status: DeploymentStatus, devices: dict[object, Device], image: bytes) -> None:
    for each in status.devices:
        device = devices[each.dev_eui]
        if isinstance(each.state, Complete):
            assert device.image == image, f"{each.dev_eui} is said to be complete"
        assert isinstance(each.state, Complete) == (Milestone.FRAG_STATUS in each.milestones)
        order_of = [Milestone.MC_GROUP_SETUP, Milestone.FRAG_SESSION_SETUP, Milestone.MC_SESSION]
        reached = [each.milestones[milestone] for milestone in order_of if milestone in each.milestones]
        assert reached == sorted(reached), f"{each.dev_eui}: milestones out of order"


def crashes(seed: int, deployments: int, devices: int) -> list[str]:
    """Run one campaign; the actors' crashes, of which there must be none."""
    with structlog.testing.capture_logs() as logs:
        trio.run(soak, seed, deployments, devices, clock=MockClock(autojump_threshold=0))
    return [str(entry) for entry in logs if entry["event"] == "crashed"]


def attempt(deployments: int, devices: int, seed: int) -> str:
    """What went wrong with the seed; nothing if it passed."""
    try:
        crashed = crashes(seed, deployments, devices)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error))
    return crashed[0] if crashed else ""


@click.command()
@click.option("--seeds", default=10, show_default=True)
@click.option("--first", default=1, show_default=True)
@click.option("--deployments", default=50, show_default=True)
@click.option("--devices", default=200, show_default=True, help="For each deployment.")
@click.option("--jobs", default=1, show_default=True, help="Seeds at a time, each in a process.")
def main(seeds: int, first: int, deployments: int, devices: int, jobs: int) -> None:
    """Soak the server; the seed that fails is printed."""
    began, numbers = time.monotonic(), range(first, first + seeds)
    with ProcessPoolExecutor(jobs) as pool:
        for seed, wrong in zip(
            numbers, pool.map(partial(attempt, deployments, devices), numbers), strict=True
        ):
            if wrong:
                pool.shutdown(cancel_futures=True)
                raise click.ClickException(f"seed {seed} failed: {wrong}")
    took = time.monotonic() - began
    click.echo(f"{seeds} seeds passed: {deployments} deployments to {devices} devices each, in {took:.0f} s")


if __name__ == "__main__":
    main()
