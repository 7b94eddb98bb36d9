"""The health of the server in gRPC's words (grpc.health.v1)."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from fuota.rpc.methods import Send, streaming, unary

if TYPE_CHECKING:
    from grpclib._typing import IServable

LOOK = 1.0
"""Seconds between two looks of a Watch."""


class HealthService(HealthBase):
    """Health of these services and, under the name "", of all: SERVING for as long as `serving()` is true."""

    def __init__(self, services: Collection["IServable"], serving: Callable[[], bool]) -> None:
        self._names = {""} | {path.split("/")[1] for each in services for path in each.__mapping__()}
        self._serving = serving

    @unary
    async def Check(self, request: HealthCheckRequest) -> HealthCheckResponse:
        if request.service not in self._names:
            raise GRPCError(Status.NOT_FOUND, f"no service {request.service!r}")
        return HealthCheckResponse(status=self._status(request.service))

    @streaming
    async def Watch(self, request: HealthCheckRequest, send: Send[HealthCheckResponse]) -> None:
        told = None
        while True:
            status = self._status(request.service)
            if status != told:
                await send(HealthCheckResponse(status=status))
                told = status
            await trio.sleep(LOOK)

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus.ValueType:
        if service not in self._names:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving() else HealthCheckResponse.NOT_SERVING
