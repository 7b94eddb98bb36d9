"""The demonstration as a client of the gRPC API, in the words of either generation of ChirpStack."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import attrs
from grpclib.client import Channel

from fuota.generated.chirpstack3 import fuota_pb2 as pb3
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceStub
from fuota.generated.chirpstack4 import fuota_pb2 as pb4
from fuota.generated.chirpstack4.fuota_grpc import FuotaServerServiceStub
from fuota.lorawan.eui import EUI64
from fuota.rpc.client import call
from fuota.simulation.device import Device

Step = Literal[
    "mc_group_setup_completed_at",
    "frag_session_setup_completed_at",
    "mc_session_completed_at",
    "frag_status_completed_at",
]
STEPS: tuple[Step, ...] = (
    "mc_group_setup_completed_at",
    "frag_session_setup_completed_at",
    "mc_session_completed_at",
    "frag_status_completed_at",
)
WITHIN = 10.0
"""Seconds that a call may take."""


@attrs.frozen
class Progress:
    """How far a deployment is."""

    created_at: datetime
    ended: bool
    devices: Mapping[EUI64, Mapping[Step, datetime]]
    """Of each, the instants of the steps that it has made."""


@attrs.frozen
class Customer3:
    """A client of the ChirpStack FUOTA Server v3."""

    application_id = "1"
    _channel: Channel

    async def create(self, devices: Sequence[Device], in_b: bool, **fields: Any) -> UUID:
        """Order a deployment in class B or C; `fields` are those of `Deployment` in both generations."""
        deployment = pb3.Deployment(
            application_id=int(self.application_id),
            devices=[
                pb3.DeploymentDevice(dev_eui=each.dev_eui.octets, mc_root_key=each.mc_root_key)
                for each in devices
            ],
            multicast_group_type=pb3.CLASS_B if in_b else pb3.CLASS_C,
            multicast_ping_slot_period=32 if in_b else 0,
            **fields,
        )
        request = pb3.CreateDeploymentRequest(deployment=deployment)
        stub = FUOTAServerServiceStub(self._channel)
        return UUID(bytes=(await call(stub.CreateDeployment, request, timeout=WITHIN)).id)

    async def progress(self, deployment_id: UUID) -> Progress:
        stub = FUOTAServerServiceStub(self._channel)
        request = pb3.GetDeploymentStatusRequest(id=deployment_id.bytes)
        status = await call(stub.GetDeploymentStatus, request, timeout=WITHIN)
        return _progress(status, {EUI64(each.dev_eui): each for each in status.device_status})


@attrs.frozen
class Customer4:
    """A client of the ChirpStack FUOTA Server v4."""

    application_id = "5f0c2b1e-0000-4000-8000-000000000001"
    _channel: Channel

    async def create(self, devices: Sequence[Device], in_b: bool, **fields: Any) -> UUID:
        """Order a deployment in class B or C; `fields` are those of `Deployment` in both generations."""
        deployment = pb4.Deployment(
            application_id=self.application_id,
            devices=[
                pb4.DeploymentDevice(dev_eui=str(each.dev_eui), mc_root_key=each.mc_root_key.hex())
                for each in devices
            ],
            multicast_group_type=pb4.CLASS_B if in_b else pb4.CLASS_C,
            multicast_region=pb4.EU868,
            **fields,
        )
        request = pb4.CreateDeploymentRequest(deployment=deployment)
        stub = FuotaServerServiceStub(self._channel)
        return UUID((await call(stub.CreateDeployment, request, timeout=WITHIN)).id)

    async def progress(self, deployment_id: UUID) -> Progress:
        stub = FuotaServerServiceStub(self._channel)
        request = pb4.GetDeploymentStatusRequest(id=str(deployment_id))
        status = await call(stub.GetDeploymentStatus, request, timeout=WITHIN)
        return _progress(status, {EUI64.parse(each.dev_eui): each for each in status.device_status})


def _progress(status: Any, devices: Mapping[EUI64, Any]) -> Progress:
    return Progress(
        created_at=status.created_at.ToDatetime(),
        ended=status.HasField("frag_status_completed_at"),
        devices={
            dev_eui: {step: getattr(each, step).ToDatetime() for step in STEPS if each.HasField(step)}
            for dev_eui, each in devices.items()
        },
    )


Customer = Customer3 | Customer4
CUSTOMERS: Mapping[int, type[Customer]] = {3: Customer3, 4: Customer4}
