"""The API of a simulated ChirpStack, whichever generation: a token, conditions, errors, real sockets."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

import trio
from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from fuota.config.value import Bind
from fuota.rpc.methods import Method, unary
from fuota.rpc.server import serve
from fuota.simulation.chirpstack import ApiError, ChirpStack
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.world import World

S = TypeVar("S", bound="Service")
Req = TypeVar("Req")
Res = TypeVar("Res")


def api(method: Callable[[S, Req], Res]) -> Method[S, Req, Res]:
    """A method of the API, of a function that does what is asked for and returns the response."""

    async def body(self: S, request: Req) -> Res:
        await self.conditions.meet()
        try:
            response = method(self, request)
            self.conditions.part()
            return response
        except ApiError as error:
            if self.conditions.limited and error.status == "NOT_FOUND":
                raise ApiError("UNAUTHENTICATED", "authentication failed: not authorized") from error
            raise

    call = unary(body)

    @wraps(method)
    async def checked(self: S, stream: Stream[Req, Res]) -> None:
        assert stream.metadata is not None
        if stream.metadata.get("authorization") != f"Bearer {self.token}":
            raise GRPCError(Status.UNAUTHENTICATED, "authentication failed: not authorized")
        await call(self, stream)

    return checked


class Service:
    """A gRPC service on the ChirpStack; its methods are made by `api`."""

    def __init__(self, chirpstack: ChirpStack, conditions: ApiConditions, token: str) -> None:
        self.chirpstack = chirpstack
        self.conditions = conditions
        self.token = token

    def __mapping__(self) -> dict[str, Handler]:
        raise NotImplementedError


async def serve_services(
    kinds: Sequence[type[Service]],
    world: World,
    bind: Bind,
    *,
    token: str,
    conditions: ApiConditions,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API of the world's ChirpStack until cancelled, inside `bridge.open_loop`.

    `task_status` is given the address in use. Calls need `token` as their bearer token.
    """
    services = [kind(world.chirpstack, conditions, token) for kind in kinds]
    await serve(services, bind, answer=_status, task_status=task_status)


def _status(error: Exception) -> GRPCError | None:
    return GRPCError(Status[error.status], error.detail) if isinstance(error, ApiError) else None
