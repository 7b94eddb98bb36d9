"""What reads octets of others: each reads them, or raises its one error."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random

from google.protobuf.message import DecodeError

from fuota.api import chirpstack3 as dialect
from fuota.deployment.order import InvalidOrder, plan
from fuota.generated.chirpstack3 import fuota_pb2
from fuota.integration import chirpstack3
from fuota.integration.event import Malformed
from fuota.lorawan import clocksync, firmware, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.package import Command
from fuota.lorawan.wire import Unwritable
from fuota.simulation.webhook import event
from fuota.uplink import Uplink
from tests.fuzz.mutate import mutated

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
PACKAGES = (clocksync.package, fragmentation.package, multicast.package, firmware.package)
ANSWERS = [
    bytes.fromhex(text)
    for text in ("0200", "020008", "0402a0860100", "0100320a00", "0281000300", "01a0b0c0d005", "0001ff")
]


def _event() -> bytes:
    uplink = Uplink(dev_eui=EUI64(bytes(range(8))), f_port=201, f_cnt=7, data=b"\x02\x01", received_at=NOW)
    return event(uplink, "1").SerializeToString()


def _order() -> bytes:
    device = fuota_pb2.DeploymentDevice(dev_eui=bytes(range(8)), mc_root_key=bytes(16))
    made = fuota_pb2.Deployment(
        application_id=1,
        devices=[device, device],
        multicast_group_type=fuota_pb2.CLASS_C,
        multicast_dr=5,
        multicast_frequency=869_525_000,
        multicast_timeout=6,
        unicast_timeout=timedelta(seconds=15),
        unicast_attempt_count=3,
        fragmentation_fragment_size=50,
        payload=bytes(400),
        fragmentation_redundancy=20,
        fragmentation_descriptor=bytes(4),
    )
    return made.SerializeToString()


JSON = json.dumps(
    {
        "devEUI": "AAECAwQFBgc=",
        "fPort": 201,
        "fCnt": "7",
        "data": "AgE=",
        "rxInfo": [{"time": "2026-11-24T10:00:00.25Z", "timeSinceGPSEpoch": "1448013618.250s"}],
        "publishedAt": "2026-11-24T10:00:01Z",
    }
).encode()


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


def protobuf_events(octets: bytes) -> None:
    _uplink(chirpstack3.from_protobuf, octets)


def json_events(octets: bytes) -> None:
    _uplink(chirpstack3.from_json, octets)


def _uplink(read: Callable[[bytes, datetime], Uplink], octets: bytes) -> None:
    try:
        uplink = read(octets, NOW)
    except Malformed as malformed:
        assert len(str(malformed)) < 500, "what is told of it is bounded"
    else:
        assert len(uplink.dev_eui.octets) == 8
        assert NOW - timedelta(days=2) < uplink.received_at < NOW + timedelta(minutes=1)


def orders(octets: bytes) -> None:
    try:
        deployment = fuota_pb2.Deployment.FromString(octets)
    except DecodeError:
        return
    order, problems = dialect.order(deployment)
    try:
        made = plan(order, mc_addr=1, more=problems)
    except InvalidOrder as invalid:
        assert invalid.problems
    else:
        assert 1 <= made.fragments <= 16_383
        assert made.nb_frag * made.frag_size - made.padding == made.firmware_size


TARGETS: Mapping[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "commands": (commands, ANSWERS),
    "protobuf events": (protobuf_events, [_event()]),
    "JSON events": (json_events, [JSON]),
    "orders": (orders, [_order()]),
}


def fuzz(name: str, random: Random, inputs: int) -> None:
    read, samples = TARGETS[name]
    for number in range(inputs):
        octets = mutated(random, samples)
        try:
            read(octets)
        except Exception as error:
            error.add_note(f"{name}, input {number}: {octets.hex()}")
            raise
