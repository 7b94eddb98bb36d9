"""`fuota.v1.DeploymentService`: the server's own API, the same beside both generations of ChirpStack."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import attrs
import trio

from fuota.api import paging
from fuota.api.cancellations import Cancellations
from fuota.api.errors import check, no_deployment
from fuota.api.ordering import Terms, in_their_words, order
from fuota.api.orders import Orders
from fuota.api.running import Running
from fuota.api.showing import DEVICE_KINDS, FAILURE_REASONS, STATES, one_device, overview, summary
from fuota.api.spelling import uuid_problems
from fuota.deployment.order import InvalidOrder, Problem
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.generated.fuota_v1.deployment_grpc import DeploymentServiceBase
from fuota.journal.port import Journal, Summary
from fuota.lorawan.eui import EUI64
from fuota.rpc.methods import unary

T = TypeVar("T")


@attrs.frozen
class DeploymentService(DeploymentServiceBase):
    """Deployments are ordered, looked at and cancelled; nothing is answered that is not written."""

    orders: Orders
    journal: Journal
    running: Running
    terms: Terms

    @unary
    async def CreateDeployment(self, request: pb.CreateDeploymentRequest) -> pb.CreateDeploymentResponse:
        made, problems = await trio.to_thread.run_sync(order, request, self.terms)
        try:
            deployment_id = await self.orders.take(made, problems)
        except InvalidOrder as error:
            raise InvalidOrder([in_their_words(problem) for problem in error.problems]) from None
        return pb.CreateDeploymentResponse(id=str(deployment_id))

    @unary
    async def GetDeployment(self, request: pb.GetDeploymentRequest) -> pb.GetDeploymentResponse:
        check(uuid_problems("id", request.id))
        deployment_id = UUID(request.id)
        found = await self.journal.overview(deployment_id)
        if found is None:
            raise no_deployment(deployment_id)
        return overview(found, await self.running.trouble(deployment_id))

    @unary
    async def ListDeployments(self, request: pb.ListDeploymentsRequest) -> pb.ListDeploymentsResponse:
        check(_unknown("states", request.states, STATES, "DeploymentState"))
        size, of = paging.size(request.page_size), sorted(request.states)
        before = paging.place(request.page_token, of, read_place)
        deployments = await self.journal.summaries(
            states=_kinds(request.states, STATES), before=before, most=size + 1
        )
        found, more = paging.page(deployments, size)
        return pb.ListDeploymentsResponse(
            deployments=[summary(each) for each in found],
            next_page_token=paging.token(_place(found[-1]), of) if more else "",
        )

    @unary
    async def ListDevices(self, request: pb.ListDevicesRequest) -> pb.ListDevicesResponse:
        check(
            uuid_problems("deployment_id", request.deployment_id),
            _unknown("states", request.states, DEVICE_KINDS, "DeviceState"),
            _unknown("reasons", request.reasons, FAILURE_REASONS, "FailureReason"),
        )
        deployment_id, size = UUID(request.deployment_id), paging.size(request.page_size)
        of = (deployment_id, sorted(request.states), sorted(request.reasons))
        after = paging.place(request.page_token, of, EUI64.parse)
        devices = await self.journal.device_page(
            deployment_id,
            states=_kinds(request.states, DEVICE_KINDS),
            reasons=_kinds(request.reasons, FAILURE_REASONS),
            after=after,
            most=size + 1,
        )
        if devices is None:
            raise no_deployment(deployment_id)
        found, more = paging.page(devices, size)
        return pb.ListDevicesResponse(
            devices=[one_device(each) for each in found],
            next_page_token=paging.token(str(found[-1].dev_eui), of) if more else "",
        )

    @unary
    async def CancelDeployment(self, request: pb.CancelDeploymentRequest) -> pb.CancelDeploymentResponse:
        check(uuid_problems("id", request.id))
        await Cancellations(self.journal, self.running).take(UUID(request.id))
        return pb.CancelDeploymentResponse()


def _kinds(numbers: Iterable[int], of: Mapping[T, int]) -> Collection[T]:
    wanted = {*numbers}
    return [kind for kind, number in of.items() if number in wanted]


def _unknown(field: str, numbers: Iterable[int], of: Mapping[T, int], name: str) -> Iterator[Problem]:
    known = {*of.values()}
    for index, number in enumerate(numbers):
        if number not in known:
            yield Problem(f"{field}[{index}]", f"is {number}; it must be a {name} of this server, but not 0")


def _place(found: Summary) -> str:
    return f"{found.created_at.isoformat()} {found.id}"


def read_place(place: str) -> tuple[datetime, UUID]:
    created_at, _, deployment_id = place.partition(" ")
    return datetime.fromisoformat(created_at).astimezone(UTC), UUID(deployment_id)
