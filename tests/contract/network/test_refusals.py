"""What the errors of every implementation of the network port mean."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import attrs
import pytest
import structlog

from fuota.clock import SystemClock
from fuota.health import Health
from fuota.network.port import (
    About,
    KnownGroup,
    NetworkError,
    NotActivated,
    NotFound,
    TokenRefused,
    Trouble,
    Unreachable,
)
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.fleet import fleet
from fuota.simulation.world import World
from tests.contract.network.opened import (
    GROUP,
    TOKEN,
    UNKNOWN_DEVICE,
    UUIDS,
    Opened,
    application_server_v3,
    chirpstack_v4,
)

Call = Callable[[Opened, KnownGroup], Awaitable[object]]

NOT_ACTIVATED = (
    "get next downlink fcnt for deveui error: rpc error: code = NotFound desc = object does not exist",
    "create device-queue item error: rpc error: code = InvalidArgument desc = "
    "device security-context out of sync",
)
"""What the Application Server v3 quotes."""


OF_A_STRANGER: dict[str, Call] = {
    "downlink": lambda opened, group: opened.network.downlink(
        UNKNOWN_DEVICE, 200, b"\x00", unless_pending=False, about=About(opened.application_id)
    ),
    "withdraw": lambda opened, group: opened.network.withdraw(
        UNKNOWN_DEVICE, lambda *_: True, about=About(opened.application_id)
    ),
    "add_device": lambda opened, group: opened.network.add_device(group, UNKNOWN_DEVICE),
}
"""About a device that is not the token's."""


@pytest.mark.parametrize("call", [*OF_A_STRANGER, "ensure_group", "delete_group"])
async def test_what_is_not_the_tokens_is_told_from_a_token_that_is_refused(wired: Opened, call: str) -> None:
    """Both are UNAUTHENTICATED; ChirpStack is asked for something else then.

    What any token of version 3 may be asked for is not known: there, only devices are told from the token.
    """
    wired.conditions.limited = True
    network, group = wired.network, attrs.evolve(wired.group, application_id=wired.other)
    calls: dict[str, Call] = {
        **OF_A_STRANGER,
        "ensure_group": lambda *_: network.ensure_group(group),
        "delete_group": lambda *_: network.delete_group(group),
    }
    made = await wired.make()
    with pytest.raises(TokenRefused) as caught:
        await calls[call](wired, made)
    assert caught.value.own is (call in OF_A_STRANGER or wired.generation == 4)
    wired.conditions.outage(timedelta(hours=1), "UNAUTHENTICATED")
    with pytest.raises(TokenRefused) as caught:
        await calls[call](wired, made)
    assert not caught.value.own


@pytest.mark.parametrize("call", OF_A_STRANGER.values(), ids=OF_A_STRANGER)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAVAILABLE", Unreachable),
        ("DEADLINE_EXCEEDED", Unreachable),
        ("RESOURCE_EXHAUSTED", Unreachable),
        ("INTERNAL", Trouble),
    ],
)
async def test_a_token_is_not_to_blame_while_nobody_says_whether_it_is_good(
    wired: Opened, call: Call, status: str, kind: type[NetworkError]
) -> None:
    """An outage begins after the device was refused, and before the token is asked about."""
    wired.conditions.limited = True
    made = await wired.make()
    wired.conditions.spared = 1
    wired.conditions.outage(timedelta(hours=1), status)
    with structlog.testing.capture_logs() as said, pytest.raises(NetworkError) as caught:
        await call(wired, made)
    assert type(caught.value) is kind
    assert not said
    wired.conditions.outages.clear()
    with pytest.raises(TokenRefused) as answered:
        await call(wired, made)
    assert answered.value.own


BEHIND_VERSION_3 = (
    ("rpc error: code = Unavailable desc = …", Unreachable),
    ("rpc error: code = DeadlineExceeded desc = …", Unreachable),
    ("rpc error: code = Unknown desc = dial tcp 10.0.0.6:6379: connect: connection refused", Unreachable),
    ("rpc error: code = Unknown desc = dial tcp: lookup redis: no such host", Unreachable),
    ("rpc error: code = Unknown desc = driver: bad connection", Unreachable),
    ("rpc error: code = Unknown desc = pq: the database system is starting up", Unreachable),
    ("dial network-server api error: context deadline exceeded", Unreachable),
    ("rpc error: code = Unknown desc = pq: deadlock detected", Trouble),
    ("object does not exist", Trouble),
)
"""What the Application Server quotes of its Network Server, which quotes its Redis and its PostgreSQL."""


async def test_a_network_server_that_is_away_is_an_outage_though_it_is_called_internal() -> None:
    clock = SystemClock()
    world, conditions = World(fleet(1), clock=clock), ApiConditions(clock=clock)
    async with application_server_v3(world, conditions, Health()) as network:
        for quoted, kind in BEHIND_VERSION_3:
            said = f"enqueue downlink payload error: {quoted}"
            conditions.outages = [(clock.now(), clock.now() + timedelta(hours=1), "INTERNAL", said)]
            with pytest.raises(NetworkError) as caught:
                await network.downlink(world.devices[0].dev_eui, 200, b"\x00", unless_pending=False)
            assert type(caught.value) is kind, said


WITHOUT_ITS_DATABASE = {
    3: (
        "UNAUTHENTICATED",
        "authentication failed: validator func error: select error: dial tcp: connect: connection refused",
    ),
    4: ("INTERNAL", ""),
}
"""What is answered to every call: the database is asked for the rights of the token."""


@pytest.mark.parametrize("call", ["downlink", "ensure_group", "add_device", "multicast"])
async def test_a_chirpstack_whose_database_is_away_is_an_outage_however_it_is_called(
    wired: Opened, call: str
) -> None:
    made = await wired.make()
    now, (status, said) = wired.conditions.clock.now(), WITHOUT_ITS_DATABASE[wired.generation or 0]
    wired.conditions.outages = [(now, now + timedelta(hours=1), status, said)]
    with structlog.testing.capture_logs() as logged, pytest.raises(Unreachable) as caught:
        await CALLS[call](wired, made)
    assert caught.value.detail
    assert not logged


@pytest.mark.parametrize("said", NOT_ACTIVATED)
async def test_the_same_words_about_a_group_do_not_say_that_a_device_has_to_join(said: str) -> None:
    clock = SystemClock()
    world, conditions = World(fleet(1), clock=clock), ApiConditions(clock=clock)
    device, text = world.devices[0].dev_eui, f"enqueue downlink payload error: {said}"
    async with application_server_v3(world, conditions, Health()) as network:
        group = KnownGroup(await network.ensure_group(GROUP), GROUP.name, GROUP.application_id)
        conditions.outages = [(clock.now(), clock.now() + timedelta(hours=1), "INTERNAL", text)]
        with pytest.raises(NotActivated, match="INTERNAL: enqueue"):
            await network.downlink(device, 200, b"\x00", unless_pending=False)
        with pytest.raises(Trouble):
            await network.multicast(group, 201, b"\x00")


async def test_what_chirpstack_4_quotes_of_its_database_is_understood_in_any_language() -> None:
    clock = SystemClock()
    world = World(fleet(1), clock=clock, application_id=UUIDS[0])
    conditions, device = ApiConditions(clock=clock), world.devices[0].dev_eui

    def says(text: str) -> None:
        conditions.outages = [(clock.now(), clock.now() + timedelta(hours=1), "INTERNAL", text)]

    async with chirpstack_v4(world, conditions, Health()) as network:
        group = KnownGroup("00000000-0000-4000-8000-000000000000", GROUP.name, UUIDS[0])
        for said in (
            "doppelter Schlüsselwert verletzt Unique-Constraint »multicast_group_device_pkey«",
            "UNIQUE constraint failed: multicast_group_device.dev_eui",
        ):
            says(said)
            await network.add_device(group, device)
        for said, kind in (
            ("… viola la contrainte de clé étrangère « device_queue_item_dev_eui_fkey »", NotFound),
            ("FOREIGN KEY constraint failed", NotFound),
            ("deadlock detected", Trouble),
        ):
            says(said)
            with pytest.raises(kind):
                await network.downlink(device, 200, b"\x00", unless_pending=False)


CALLS: dict[str, Call] = {
    "ensure_group": lambda opened, group: opened.network.ensure_group(opened.group),
    "has_group": lambda opened, group: opened.network.has_group(group),
    "add_device": lambda opened, group: opened.network.add_device(group, opened.device),
    "downlink": lambda opened, group: opened.network.downlink(
        opened.device, 200, b"\x00", unless_pending=True
    ),
    "withdraw": lambda opened, group: opened.network.withdraw(opened.device, lambda *_: True),
    "multicast": lambda opened, group: opened.network.multicast(group, 201, b"\x00"),
    "waiting": lambda opened, group: opened.network.waiting(group),
    "flush": lambda opened, group: opened.network.flush(group),
    "delete_group": lambda opened, group: opened.network.delete_group(opened.group),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_in_an_outage_the_network_is_unreachable_and_nothing_happens(
    opened: Opened, call: Call
) -> None:
    group = await opened.make()
    opened.conditions.outage(timedelta(hours=1))
    with pytest.raises(Unreachable) as caught:
        await call(opened, group)
    assert caught.value.status == "UNAVAILABLE"
    assert opened.group_ids == [group.id]
    assert not opened.world.chirpstack.group(group.id).members
    assert opened.waiting() == opened.waiting(group) == []

    opened.conditions.outages.clear()
    await call(opened, group)


async def test_a_token_that_is_quoted_is_not_told(wired: Opened) -> None:
    """By a proxy, say: what ChirpStack says goes into the log and onto pages."""
    now = wired.conditions.clock.now()
    quoted = f"who is Bearer {TOKEN}?"
    wired.conditions.outages.append((now, now + timedelta(hours=1), "UNAUTHENTICATED", quoted))
    with structlog.testing.capture_logs() as said, pytest.raises(TokenRefused) as refused:
        await wired.make()
    assert "who is Bearer (the token)?" in str(refused.value)
    assert said
    assert TOKEN not in f"{said} {wired.health.ailments()} {refused.value}"
