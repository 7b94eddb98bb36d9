"""What reads octets of others: each reads them, or raises its one error."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message

from fuota.api import chirpstack3 as dialect3
from fuota.api import chirpstack4 as dialect4
from fuota.deployment.order import InvalidOrder, Order, Problem, plan
from fuota.generated.chirpstack3 import fuota_pb2
from fuota.generated.chirpstack4 import fuota_pb2 as fuota4_pb2
from fuota.integration import chirpstack3, chirpstack4
from fuota.integration.event import Malformed
from fuota.integration.gateway_clocks import GatewayClocks
from fuota.lorawan import clocksync, firmware, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.package import Command
from fuota.lorawan.wire import Unwritable
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from fuota.simulation.frames import Payload
from fuota.simulation.webhook import event, event4
from fuota.uplink import Uplink
from tests.fuzz.mutate import mutated

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
PACKAGES = (clocksync.package, fragmentation.package, multicast.package, firmware.package)
ANSWERS = [
    bytes.fromhex(text)
    for text in ("0200", "020008", "0402a0860100", "0100320a00", "0281000300", "01a0b0c0d005", "0001ff")
]


UPLINK = Uplink(dev_eui=EUI64(bytes(range(8))), f_port=201, f_cnt=7, data=b"\x02\x01", received_at=NOW)
EVENT3 = event(UPLINK, "1").SerializeToString()
EVENT4 = event4(UPLINK, str(UUID(int=1))).SerializeToString()


ORDER: dict[str, Any] = {
    "multicast_group_type": fuota_pb2.CLASS_C,
    "multicast_dr": 5,
    "multicast_frequency": 869_525_000,
    "multicast_timeout": 6,
    "unicast_timeout": timedelta(seconds=15),
    "unicast_attempt_count": 3,
    "fragmentation_fragment_size": 50,
    "payload": bytes(400),
    "fragmentation_redundancy": 20,
    "fragmentation_descriptor": bytes(4),
}
DEVICE3 = fuota_pb2.DeploymentDevice(dev_eui=bytes(range(8)), mc_root_key=bytes(16))
DEVICE4 = fuota4_pb2.DeploymentDevice(dev_eui=bytes(range(8)).hex(), mc_root_key="00" * 16)
ORDER3 = fuota_pb2.Deployment(application_id=1, devices=[DEVICE3, DEVICE3], **ORDER).SerializeToString()
ORDER4 = fuota4_pb2.Deployment(
    application_id=str(UUID(int=1)), devices=[DEVICE4, DEVICE4], multicast_region=fuota4_pb2.EU868, **ORDER
).SerializeToString()


JSON3: dict[str, Any] = {
    "devEUI": "AAECAwQFBgc=",
    "fPort": 201,
    "fCnt": "7",
    "data": "AgE=",
    "rxInfo": [{"time": "2026-11-24T10:00:00.25Z", "timeSinceGPSEpoch": "1448013618.250s"}],
    "publishedAt": "2026-11-24T10:00:01Z",
}
JSON4: dict[str, Any] = json.loads(MessageToJson(event4(UPLINK, str(UUID(int=1)))))
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    1 << 64,
    "",
    "0",
    "x",
    "\ud800",
    "9" * 21,
    [],
    [[]],
    {},
    {"a": None},
    "=" * 9,
)


def commands(octets: bytes) -> None:
    """The packages of LoRaWAN: what was read is written as it was, as far as it was read."""
    for package in PACKAGES:
        for version in package.versions:
            for direction in ("up", "down"):
                reading = package.read(direction, octets, version)
                if not reading.commands:
                    assert reading.error is not None
                    continue
                if any(map(_ambiguous, reading.commands)):
                    continue
                try:
                    written = package.write(*reading.commands, version=version)
                except Unwritable:  # a DataFragment behind others, which is read but never sent
                    continue
                again = package.read(direction, written, version)
                assert again.commands == reading.commands
                assert again.error is None


def _ambiguous(command: Command) -> bool:
    """Numbers of a session that does not exist: whether they are there is guessed from what follows."""
    return (
        isinstance(command, fragmentation.FragSessionStatusAns)
        and command.session_does_not_exist
        and command.nb_frag_received is not None
    )


def _uplink(read: Callable[[bytes, datetime, GatewayClocks], Uplink], octets: bytes) -> None:
    try:
        uplink = read(octets, NOW, GatewayClocks())
    except Malformed as malformed:
        assert len(str(malformed)) < 500, "what is told of it is bounded"
    else:
        assert len(uplink.dev_eui.octets) == 8
        assert NOW - timedelta(days=2) < uplink.received_at < NOW + timedelta(minutes=1)


def _order(
    message: type[Message], dialect: Callable[[Any], tuple[Order, Sequence[Problem]]], octets: bytes
) -> None:
    try:
        deployment = message.FromString(octets)
    except DecodeError:
        return
    order, problems = dialect(deployment)
    try:
        made = plan(order, mc_addr=1, more=problems)
    except InvalidOrder as invalid:
        assert invalid.problems
    else:
        assert 1 <= made.fragments <= 16_383
        assert made.nb_frag * made.frag_size - made.padding == made.firmware_size


def device(octets: bytes) -> None:
    """Downlinks to a simulated device, one behind the other: FPort, length, octets."""
    one = Device(dev_eui=UPLINK.dev_eui, mc_root_key=bytes(16), behaviour=Behaviour(memory=5_000))
    at = 0
    while at + 2 <= len(octets):
        length = octets[at + 1]
        one.take(Payload(199 + octets[at] % 5, octets[at + 2 : at + 2 + length]), NOW, group_id=None)
        at += 2 + length
    while (due := one.next_uplink) is not None:
        sent = one.send(due)
        assert sent is None or 0 < len(sent.data) <= 255


def odd_json(random: Random, event: dict[str, Any]) -> bytes:
    """An event with other values in it; sometimes it is no JSON any more."""
    made = copy.deepcopy(event)
    for _ in range(random.randint(0, 3)):
        at: Any = made
        while isinstance(at, dict | list) and at:
            key = random.choice(list(at)) if isinstance(at, dict) else random.randrange(len(at))
            if random.random() < 0.5 or not isinstance(at[key], dict | list):
                at[key] = copy.deepcopy(random.choice(ODD))
                break
            at = at[key]
    octets = json.dumps(made).encode()
    return mutated(random, [octets], most=2) if random.random() < 0.4 else octets


def _downlinks() -> bytes:
    setup = fragmentation.FragSessionSetupReq(
        frag_index=0,
        mc_group_bit_mask=1,
        nb_frag=8,
        frag_size=4,
        frag_algo=0,
        block_ack_delay=0,
        padding=1,
        descriptor=bytes(4),
    )
    fragments = [
        fragmentation.DataFragment(frag_index=0, n=n, data=bytes(4)) for n in (1, 2, 4, 9, 10, 11, 12)
    ]
    status = fragmentation.FragSessionStatusReq(frag_index=0, participants=True)
    made = [fragmentation.package.write(each, version=1) for each in (setup, *fragments, status)]
    return b"".join(bytes((2, len(each))) + each for each in made)


Make = Callable[[Random], bytes]
TARGETS: Mapping[str, tuple[Callable[[bytes], None], Make]] = {
    "commands": (commands, partial(mutated, samples=ANSWERS)),
    "device": (device, partial(mutated, samples=[_downlinks()])),
    "protobuf events": (partial(_uplink, chirpstack3.from_protobuf), partial(mutated, samples=[EVENT3])),
    "protobuf events 4": (partial(_uplink, chirpstack4.from_protobuf), partial(mutated, samples=[EVENT4])),
    "JSON events": (partial(_uplink, chirpstack3.from_json), partial(odd_json, event=JSON3)),
    "JSON events 4": (partial(_uplink, chirpstack4.from_json), partial(odd_json, event=JSON4)),
    "orders": (partial(_order, fuota_pb2.Deployment, dialect3.order), partial(mutated, samples=[ORDER3])),
    "orders 4": (partial(_order, fuota4_pb2.Deployment, dialect4.order), partial(mutated, samples=[ORDER4])),
}


def fuzz(name: str, random: Random, inputs: int) -> None:
    read, make = TARGETS[name]
    for number in range(inputs):
        octets = make(random)
        try:
            read(octets)
        except Exception as error:
            error.add_note(f"{name}, input {number}: {octets.hex()}")
            raise
