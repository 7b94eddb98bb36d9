"""A client of `fuota.v1.DeploymentService`, as an operator's program would be."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from google.protobuf.message import Message
from grpclib.const import Status

from fuota.config.value import Bind
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.generated.fuota_v1.deployment_grpc import DeploymentServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.simulation.device import Device
from tests.process.generations import FOUR, IMAGE, Generation

GATEWAYS = ("0016c001f1500001", "0016c001f1500002")


@attrs.frozen
class Operator:
    """A client of the service."""

    stub: DeploymentServiceStub
    generation: Generation

    async def __call__(self, method: str, request: Message) -> Any:
        return await call(getattr(self.stub, method), request, timeout=15)

    async def create(self, devices: Sequence[Device], silent: bool = False) -> str:
        multicast = pb.Multicast(group_class=pb.GROUP_CLASS_C, frequency=869_525_000, dr=5, session_timeout=3)
        if self.generation is FOUR:
            multicast.region = pb.REGION_EU868
            multicast.class_c_scheduling_type = pb.CLASS_C_SCHEDULING_TYPE_GPS_TIME
            multicast.gateway_ids[:] = GATEWAYS
        plan = pb.Plan(
            application_id=self.generation.application_id,
            multicast=multicast,
            unicast=pb.Unicast(timeout=timedelta(seconds=60 if silent else 0.5), attempts=4),
            fragmentation=pb.Fragmentation(fragment_size=50, redundancy=15),
            status_request=pb.STATUS_REQUEST_AFTER_FRAGMENT_ENQUEUE,
        )
        request = pb.CreateDeploymentRequest(
            plan=plan,
            firmware=IMAGE,
            devices=[
                pb.NewDevice(dev_eui=str(each.dev_eui), mc_root_key=each.mc_root_key) for each in devices
            ],
        )
        created = await self("CreateDeployment", request)
        return str(created.id)

    async def get(self, deployment_id: str) -> pb.GetDeploymentResponse:
        found: pb.GetDeploymentResponse = await self(
            "GetDeployment", pb.GetDeploymentRequest(id=deployment_id)
        )
        return found

    async def until(
        self, deployment_id: str, state: "pb.DeploymentState.ValueType"
    ) -> pb.GetDeploymentResponse:
        with trio.fail_after(40):
            while (found := await self.get(deployment_id)).deployment.state != state:  # noqa: ASYNC110
                await trio.sleep(0.05)
        return found

    async def cancelled(self, deployment_id: str) -> bool:
        """False: the server could not say."""
        try:
            await self("CancelDeployment", pb.CancelDeploymentRequest(id=deployment_id))
        except RpcError as error:
            if error.status is not Status.UNAVAILABLE:
                raise
            return False
        return True

    async def refusal(self, method: str, request: Message) -> tuple[Status, str]:
        with pytest.raises(RpcError) as raised:
            await self(method, request)
        return raised.value.status, raised.value.detail


@asynccontextmanager
async def operator(api: str, generation: Generation) -> AsyncIterator[Operator]:
    async with connect(Bind.parse(api)) as channel:
        yield Operator(DeploymentServiceStub(channel), generation)
