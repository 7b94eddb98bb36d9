"""Both generations of ChirpStack, as far as a test of the whole server has to tell them apart."""

import base64
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal
from uuid import UUID

import attrs

from fuota.simulation import chirpstack3, chirpstack4
from fuota.simulation.device import Device
from tests.process.clients import Client, official, stubs

IMAGE = Random(0).randbytes(990)


def in_base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


@attrs.frozen
class Generation:
    """One of them, in protobuf's JSON."""

    number: Literal[3, 4]
    table: str
    """Of the configuration."""
    application_id: str
    serve_api: Any
    """Serves the API of the simulated ChirpStack."""
    client: Client
    """A client of our API."""
    octets: Callable[[bytes], str]
    """How a client spells an EUI or a key."""
    uuid: Callable[[str], UUID]
    """The id of a deployment, as it is told to a client."""
    told: Callable[[UUID], str]
    """The other way round."""
    more: dict[str, object] = attrs.Factory(dict)
    """Fields of a deployment that the other has not."""

    @property
    def api(self) -> str:
        """The table that says where ChirpStack is."""
        return f"{self.table}.api"

    def deployment(self, devices: Sequence[Device], **changes: object) -> dict[str, object]:
        """20 uncoded and 15 coded fragments in a class C window of 8 s."""
        return {
            "applicationId": self.application_id,
            "devices": [
                {
                    "devEui": self.octets(device.dev_eui.octets),
                    "mcRootKey": self.octets(device.mc_root_key),
                }
                for device in devices
            ],
            "multicastGroupType": "CLASS_C",
            "multicastDr": 5,
            "multicastFrequency": 869_525_000,
            "multicastTimeout": 3,
            "unicastTimeout": "0.5s",
            "unicastAttemptCount": 4,
            "fragmentationFragmentSize": 50,
            "payload": in_base64(IMAGE),
            "fragmentationRedundancy": 15,
            "requestFragmentationSessionStatus": "AFTER_FRAGMENT_ENQUEUE",
            **self.more,
            **changes,
        }


THREE = Generation(
    number=3,
    table="application_server",
    application_id="1",
    serve_api=chirpstack3.serve_api,
    client=official,
    octets=in_base64,
    uuid=lambda told: UUID(bytes=base64.b64decode(told)),
    told=lambda uuid: in_base64(uuid.bytes),
)
FOUR = Generation(
    number=4,
    table="chirpstack",
    application_id="5f0c2b1e-0000-4000-8000-000000000001",
    serve_api=chirpstack4.serve_api,
    client=stubs,
    octets=bytes.hex,
    uuid=UUID,
    told=str,
    more={"multicastRegion": "EU868"},
)
