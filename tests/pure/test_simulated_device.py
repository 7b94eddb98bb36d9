"""The simulated device against transcripts of the packages of two real device stacks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fuota.lorawan.eui import EUI64
from fuota.lorawan.gpstime import utc
from fuota.lorawan.keys import mc_root_key_from_gen_app_key
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.device import Device
from fuota.simulation.frames import Payload

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "devices.json").read_text())
STACKS = {"LoRaMac-node": Stack.LORAMAC_NODE, "SWL2001 (v1 packages)": Stack.SWL2001}
TRANSCRIPTS = [transcript for transcript in VECTORS["transcripts"] if transcript["device"] in STACKS]

NO_STATUS = "does not implement McGroupStatusReq, and executes its mask as a command"
NO_MASK = "ignores McGroupBitMask"
OLD_NUMBERS = "goes on telling of a session that was deleted"
RADIO = "there is no radio that refuses anything; a test of its own does so"
EARLY = "asks for the time five seconds ahead"

UNLIKE = {
    ("LoRaMac-node", "status with no group defined"): NO_STATUS,
    ("LoRaMac-node", "status with one group"): NO_STATUS,
    ("LoRaMac-node", "status of groups 0 and 1"): NO_STATUS,
    ("LoRaMac-node", "group deleted"): NO_STATUS,
    (
        "LoRaMac-node",
        "class C session more than 2^24 seconds ahead",
    ): "sends the lower 24 bits of TimeToStart",
    ("LoRaMac-node", "package command on the multicast address: to be dropped"): "answers it",
    ("LoRaMac-node", "status: 1 and 3 (and 2 if it was taken)"): NO_MASK,
    ("LoRaMac-node", "status of those still missing fragments"): NO_MASK,
    ("LoRaMac-node", "status after the block is complete"): NO_MASK,
    ("LoRaMac-node", "status of those still missing, after completion"): NO_MASK,
    ("LoRaMac-node", "status after delete"): OLD_NUMBERS,
    (
        "LoRaMac-node",
        "forced resync (no answer command; AppTimeReq follow later)",
    ): "asks a random time later",
    ("SWL2001 (v1 packages)", "status after delete"): OLD_NUMBERS,
    ("SWL2001 (v1 packages)", "periodicity"): "supports DeviceAppTimePeriodicityReq",
    ("SWL2001 (v1 packages)", "forced resync (no answer command; AppTimeReq follow later)"): EARLY,
    **{(device, "frequency the device cannot use"): RADIO for device in STACKS},
    **{(device, "data-rate the device cannot use"): RADIO for device in STACKS},
}
"""Where this device does not do as the stack does, and what the stack does there."""


def uplinks(device: Device, now: datetime) -> Iterator[str]:
    while (payload := device.send(now)) is not None:
        yield payload.data.hex()


def replay(transcript: dict[str, Any]) -> None:
    device = Device(dev_eui=EUI64(bytes(8)), mc_root_key=bytes(16))
    now = datetime(2025, 7, 14, tzinfo=UTC)
    name = transcript["device"]
    behaviour = Behaviour(answer_delay=timedelta(0), memory=1 << 16, stack=STACKS[name])
    for step in transcript["steps"]:
        match step:
            case {"op": "set_gen_app_key", "key": key}:
                root_key = mc_root_key_from_gen_app_key(bytes.fromhex(key))
                device = Device(dev_eui=EUI64(bytes(8)), mc_root_key=root_key, behaviour=behaviour)
            case {"op": "set_gps_time", "gps": gps}:
                now = utc(gps)
            case {"op": "clock_request", "answers": answers} if name == "LoRaMac-node":
                device.take(Payload(202, bytes.fromhex("0301")), now)
                assert list(uplinks(device, now)) == answers
            case {"op": "downlink", "f_port": f_port, "received_on": by, "hex": octets}:
                group_id = None if by == "unicast" else int(by[-1])
                device.take(Payload(f_port, bytes.fromhex(octets)), now, group_id=group_id)
                answers = list(uplinks(device, now))
                if (name, step["why"]) not in UNLIKE:
                    assert answers == step["answers"], step
            case {"op": "read_block", "length": length}:
                assert device.image == bytes((7 * i + 3) % 256 for i in range(length))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: f"{t['device']}: {t['scenario']}")
def test_it_answers_as_the_stack_does(transcript: dict[str, Any]) -> None:
    replay(transcript)
