"""Whole deployments by a real server, as its users see them."""

from pathlib import Path
from typing import Any

import pytest
import trio

from fuota.lorawan.fragmentation import (
    FragSessionSetupAns,
    FragSessionSetupReq,
    FragSessionStatusAns,
    FragSessionStatusReq,
)
from fuota.lorawan.multicast import McClassCSessionAns, McClassCSessionReq, McGroupSetupAns, McGroupSetupReq
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.webhook import Marshaler
from tests.process.generations import Generation
from tests.process.live import (
    LOOK,
    Installation,
    chirpstack,
    complete,
    hold_the_image,
    instant,
    quick,
    site,
)

STEPS = (
    "createdAt",
    "mcGroupSetupCompletedAt",
    "fragSessionSetupCompletedAt",
    "mcSessionCompletedAt",
    "fragStatusCompletedAt",
)
REQUESTS = {
    "McGroupSetupReq": {"mc_group_id", "mc_addr", "mc_key_encrypted", "min_mc_fcnt", "max_mc_fcnt"},
    "FragSessionSetupReq": {
        "frag_index",
        "nb_frag",
        "frag_size",
        "fragmentation_matrix",
        "block_ack_delay",
        "padding",
        "descriptor",
    },
    "McClassCSessionReq": {"mc_group_id", "session_time", "session_time_out", "dl_frequency", "dr"},
    "FragSessionStatusReq": {"frag_index", "participants"},
}
ANSWERS = {
    "McGroupSetupAns": {"mc_group_id", "id_error"},
    "FragSessionSetupAns": {
        "frag_index",
        "wrong_descriptor",
        "frag_session_index_not_supported",
        "not_enough_memory",
        "encoding_unsupported",
    },
    "McClassCSessionAns": {"mc_group_undefined", "freq_error", "dr_error", "mc_group_id"},
    "FragSessionStatusAns": {"frag_index", "nb_frag_received", "missing_frag", "not_enough_matrix_memory"},
}


@pytest.mark.parametrize(("marshaler", "times"), [("protobuf", 1), ("json", 3)])
async def test_from_the_order_to_the_image(
    marshaler: Marshaler, times: int, tmp_path: Path, dsn: str, generation: Generation
) -> None:
    """With bearer tokens on both sides, readings of the devices, and uplinks posted three times at once."""
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation, chatty=True) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field, marshaler=marshaler, times=times) as running:
            deployment_id = await running.create(devices)
            status = await running.end(deployment_id)
            await field.until(lambda: not field.groups)
            logs = [await running.logs(deployment_id, device) for device in devices]
            assert running.webhook is not None
            assert running.webhook.lost == 0
            assert await running.server.stop() == 0
    assert hold_the_image(devices)
    assert complete(status) == {str(device.dev_eui) for device in devices}
    first, *_, ended, stopping, last = installation.stderr.splitlines()
    assert "[info] started [fuota.server]" in first
    assert ended.endswith(" state=Ended why=done devices=5 complete=5")
    assert "signal=SIGTERM" in stopping
    assert "[info] stopped [fuota.server]" in last
    check_times(status)
    for rows in logs:
        check_log(rows)
    assert "Traceback" not in installation.stderr


def check_times(status: dict[str, Any]) -> None:
    for each in (status, *status["deviceStatus"]):
        reached = [instant(each[step]) for step in STEPS]
        assert reached == sorted(reached)
        assert reached[-1] <= instant(each["updatedAt"])
    assert instant(status["mcSessionCompletedAt"]) <= instant(status["enqueueCompletedAt"])
    assert instant(status["enqueueCompletedAt"]) <= instant(status["fragStatusCompletedAt"])
    for each in status["deviceStatus"]:
        for step in STEPS[1:]:
            assert instant(each[step]) <= instant(status[step])


def check_log(rows: list[dict[str, Any]]) -> None:
    """A row for each command each time it was sent or received, the request's before the answer's."""
    commands = [row["command"] for row in rows]
    once_each = list(dict.fromkeys(commands))
    assert once_each == [command for pair in zip(REQUESTS, ANSWERS, strict=True) for command in pair]
    for request, answer in zip(REQUESTS, ANSWERS, strict=True):
        # on a busy machine a request may be sent again before its answer is there
        assert commands.count(answer) <= commands.count(request)
    for row in rows:
        assert row["fields"].keys() >= (REQUESTS | ANSWERS)[row["command"]]
        assert row["fPort"] == (200 if row["command"].startswith("Mc") else 201)
    fields = {row["command"]: row["fields"] for row in rows}
    setup = fields["FragSessionSetupReq"]
    assert (setup["nb_frag"], setup["frag_size"], setup["padding"]) == ("20", "50", "10")
    assert setup["descriptor"] == "00000000"
    assert len(bytes.fromhex(fields["McGroupSetupReq"]["mc_key_encrypted"])) == 16
    assert len(bytes.fromhex(fields["McGroupSetupReq"]["mc_addr"])) == 4
    assert fields["McGroupSetupAns"] == {"mc_group_id": "0", "id_error": "false"}
    assert fields["McClassCSessionReq"]["dl_frequency"] == "869525000"
    assert fields["FragSessionStatusAns"]["missing_frag"] == "0"


async def test_bad_air_and_a_network_that_fails_now_and_then(
    tmp_path: Path, dsn: str, generation: Generation
) -> None:
    """Two deployments at once: one loses 30 % of all frames, the other 20 % of its uplinks.

    Meanwhile every tenth call to ChirpStack fails.
    """
    lossy, mute = Behaviour(uplink_loss=0.3, downlink_loss=0.3), Behaviour(uplink_loss=0.2)
    devices = quick([lossy] * 3 + [mute] * 5)
    async with chirpstack(devices, generation) as field:
        field.conditions.failing = 0.1
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            in_bad_air = await running.create(
                devices[:3], fragmentationRedundancy=45, unicastTimeout="0.3s", unicastAttemptCount=20
            )
            in_better_air = await running.create(devices[3:], unicastAttemptCount=10)
            for deployment_id, count in ((in_better_air, 5), (in_bad_air, 3)):
                assert len(complete(await running.end(deployment_id))) == count
            await field.until(lambda: not field.groups)
    assert hold_the_image(devices)
    assert len(field.groups.ever) == 2
    assert "Traceback" not in installation.stderr


REFUSALS: dict[str, tuple[str, Behaviour]] = {
    "silent": ("to McGroupSetupReq", Behaviour(silent=True)),
    "no such McGroupID": (
        "the device has no McGroupID 0",
        Behaviour(refuses={McGroupSetupReq: McGroupSetupAns(mc_group_id=0, id_error=True)}),
    ),
    **{
        text: (
            text,
            Behaviour(refuses={FragSessionSetupReq: FragSessionSetupAns(frag_index=0, **{bit: True})}),
        )
        for bit, text in {
            "encoding_unsupported": "encoding unsupported",
            "not_enough_memory": "not enough memory",
            "frag_session_index_not_supported": "FragIndex unsupported",
            "wrong_descriptor": "wrong Descriptor",
        }.items()
    },
    **{
        text: (
            text,
            Behaviour(refuses={McClassCSessionReq: McClassCSessionAns(mc_group_id=0, **{bit: True})}),
        )
        for bit, text in {
            "dr_error": "data rate",
            "freq_error": "frequency",
            "mc_group_undefined": "group undefined",
        }.items()
    },
    "no room to repair": (
        "to rebuild what was lost",
        Behaviour(
            refuses={
                FragSessionStatusReq: FragSessionStatusAns(
                    frag_index=0, nb_frag_received=18, missing_frag=2, not_enough_matrix_memory=True
                )
            }
        ),
    ),
    "other key": ("0 fragments received of at least 20", Behaviour(wrong_root_key=True)),
}


async def test_devices_that_refuse_fail_alone_and_say_why(
    tmp_path: Path, dsn: str, generation: Generation
) -> None:
    """On the debug endpoint while the deployment runs, and in the log."""
    devices = quick([*(behaviour for _, behaviour in REFUSALS.values()), Behaviour(), Behaviour()])
    why = {
        str(device.dev_eui): detail for device, (detail, _) in zip(devices, REFUSALS.values(), strict=False)
    }
    last, good = {str(device.dev_eui) for device in devices[-5:-2]}, devices[-2:]  # when a round ends
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(
                devices, unicastAttemptCount=3, multicastTimeout=2, fragmentationRedundancy=5
            )
            with trio.fail_after(20):
                seen: dict[str, str] = {}
                while len(seen) < len(why) - len(last):
                    seen |= failed(await running.server.look("debug/actors?depth=5"))
                    await trio.sleep(LOOK)
            status = await running.end(deployment_id)
    assert complete(status) == {str(device.dev_eui) for device in good}
    assert hold_the_image(good)
    logged = [line for line in installation.stderr.splitlines() if "device failed" in line]
    for dev_eui, detail in why.items():
        assert detail in seen.get(dev_eui, detail)
        assert [dev_eui in line and detail in line for line in logged].count(True) == 1
    assert set(seen) >= set(why) - last


def failed(actor: dict[str, Any]) -> dict[str, str]:
    """DevEUI -> detail of the failed devices in a tree of actors."""
    below = {dev_eui: detail for child in actor["children"] for dev_eui, detail in failed(child).items()}
    match actor["description"]:
        case {"state": {"is": "Failed", "detail": detail}}:
            return {actor["path"].rpartition("/")[2]: detail}
    return below


async def test_when_nobody_is_left_nothing_is_sent(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """The status ends all the same, and says how far it went."""
    devices = quick([Behaviour(silent=True)] * 2)
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            status = await running.end(await running.create(devices, unicastAttemptCount=2))
            await field.until(lambda: not field.groups)
    assert complete(status) == set()
    assert {"mcGroupSetupCompletedAt", "fragStatusCompletedAt"} <= status.keys()
    assert not {"mcSessionCompletedAt", "enqueueCompletedAt"} & status.keys()


async def test_chirpstack_is_away_twice(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """For 5 s in the middle of the set-up, and for 5 s in the middle of the transmission."""
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(devices, multicastTimeout=4)
            await field.until(lambda: field.groups)
            field.away()
            await field.until_sent(5)
            field.away()
            status = await running.end(deployment_id)
            await field.until(lambda: not field.groups)
            assert await running.server.look("healthz") == {"ailments": {}}
    assert len(complete(status)) == 5
    assert hold_the_image(devices)
    assert len(field.groups.ever) == 1
    assert "Traceback" not in installation.stderr
    assert installation.stderr.count("ailing") == installation.stderr.count("recovered") == 2
