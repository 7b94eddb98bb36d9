"""`fuota.FuotaServerService`, as the ChirpStack FUOTA Server v4 serves it."""

from uuid import UUID

import attrs
import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.api import chirpstack4 as dialect
from fuota.api.errors import check, invalid, no_deployment
from fuota.api.orders import Orders
from fuota.api.spelling import eui_problems, octets, uuid_problems
from fuota.deployment.order import Problem
from fuota.generated.chirpstack4 import fuota_pb2 as pb
from fuota.generated.chirpstack4.fuota_grpc import FuotaServerServiceBase
from fuota.journal.port import Journal
from fuota.lorawan.eui import EUI64
from fuota.rpc.methods import unary, unary_in_octets
from fuota.rpc.serialized import Serialized


@attrs.frozen
class FuotaServerService(FuotaServerServiceBase):
    """Deployments are ordered and looked at; nothing is answered that is not written."""

    orders: Orders
    journal: Journal

    @unary
    async def CreateDeployment(self, request: pb.CreateDeploymentRequest) -> pb.CreateDeploymentResponse:
        if not request.HasField("deployment"):
            raise invalid([Problem("deployment", "is missing")])
        order, problems = await trio.to_thread.run_sync(dialect.order, request.deployment)
        return pb.CreateDeploymentResponse(id=str(await self.orders.take(order, problems)))

    @unary_in_octets
    async def GetDeploymentStatus(
        self, request: pb.GetDeploymentStatusRequest
    ) -> Serialized[pb.GetDeploymentStatusResponse]:
        check(uuid_problems("id", request.id))
        deployment_id = UUID(request.id)
        status = await self.journal.status(deployment_id)
        if status is None:
            raise no_deployment(deployment_id)
        pieces = dialect.status_pieces(status)
        del status  # it is freed in the thread, which takes a while
        return await trio.to_thread.run_sync(Serialized.merged, pieces)

    @unary
    async def GetDeploymentDeviceLogs(
        self, request: pb.GetDeploymentDeviceLogsRequest
    ) -> pb.GetDeploymentDeviceLogsResponse:
        check(uuid_problems("deployment_id", request.deployment_id), eui_problems("dev_eui", request.dev_eui))
        deployment_id, dev_eui = UUID(request.deployment_id), EUI64(octets(request.dev_eui))
        rows = await self.journal.logs(deployment_id, dev_eui)
        if rows is None:
            raise GRPCError(Status.NOT_FOUND, f"there is no deployment {deployment_id} with device {dev_eui}")
        return dialect.logs_response(rows)
