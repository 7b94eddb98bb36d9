"""Calls to one ChirpStack of either generation: past the gate, in a limited time, with one kind of error."""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Self, TypeVar

import attrs
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Status

from fuota.network.gate import Always, Gate, Lane, Permit
from fuota.network.port import (
    About,
    NetworkError,
    NotActivated,
    NotFound,
    Refused,
    TokenRefused,
    Trouble,
    Unreachable,
)
from fuota.rpc.calling import NotPermitted
from fuota.rpc.client import call, only_if
from fuota.rpc.errors import RpcError

Req = TypeVar("Req")
Res = TypeVar("Res")

CALL_TIMEOUT = 5.0
"""Seconds that one call may take."""

QUOTED: Mapping[Status, re.Pattern[str]] = {
    Status.UNAVAILABLE: re.compile(
        r"code = (Unavailable|DeadlineExceeded)\b|dial tcp\b|[Cc]onnection refused"
        r"|context deadline exceeded|driver: bad connection|the database system is "
    ),
    Status.ALREADY_EXISTS: re.compile(r"_pkey\b|UNIQUE constraint failed"),
    Status.NOT_FOUND: re.compile(r"_fkey\b|FOREIGN KEY constraint failed"),
}
"""What it is in truth when ChirpStack says INTERNAL or UNKNOWN and quotes another: its Network Server (v3),
which is away, or whose Redis or PostgreSQL is; or its database (v4), that a row is there already or that what
it points to is not. PostgreSQL says so in any language, but with the constraint's own name; SQLite in these
words."""

VALIDATING = "validator func error"
"""Part of what version 3 says, as UNAUTHENTICATED, when its own database is away: that is asked first of all,
for the rights of the token. Version 4 says INTERNAL then, and gives no reason."""

ERRORS: Mapping[Status, type[NetworkError]] = {
    Status.UNAVAILABLE: Unreachable,
    Status.DEADLINE_EXCEEDED: Unreachable,
    Status.RESOURCE_EXHAUSTED: Unreachable,
    Status.ABORTED: Unreachable,
    Status.CANCELLED: Unreachable,
    Status.NOT_FOUND: NotFound,
    Status.INTERNAL: Trouble,
    Status.UNKNOWN: Trouble,
    Status.DATA_LOSS: Trouble,
    # a wrong token; or with one of an organization or a tenant, a device that it has not
    Status.UNAUTHENTICATED: TokenRefused,
    Status.PERMISSION_DENIED: TokenRefused,
}
"""What a status means for whoever would ask again; all others are `Refused`."""


@attrs.frozen
class Calls:
    """How to call; what is called is the generation's business."""

    _token: str = attrs.field(repr=False)
    _gate: Gate
    _permit: Permit = attrs.field(factory=Always)

    def if_permitted(self, permit: Permit) -> Self:
        """The same for those who may call only while `permit` says so; their calls wait meanwhile."""
        return attrs.evolve(self, permit=permit)

    async def __call__(
        self,
        method: UnaryUnaryMethod[Req, Res],
        request: Req,
        *,
        about: About,
        fine: tuple[Status, ...] = (),
        good: Callable[[], Awaitable[bool]],
        lane: Lane = Lane.DEVICES,
        proves: bool = True,
        inactive: re.Pattern[str] | None = None,
    ) -> Res:
        """`about`, `lane`, `proves`: see `Gate.passage`; what only reads a database proves nothing.

        `fine`: statuses that say that what is asked for is so already. `good` finds out whether a token
        that is refused is known to be good for something else; it may raise `RpcError`, or `TokenRefused` if
        it knows why. `inactive`: what INTERNAL says where it means `NotActivated`. Raises `NetworkError`.
        """
        async with self._gate.passage(self._permit, lane, about=about, proves=proves):
            try:
                return await self._if_permitted(method, request)
            except RpcError as said:
                error = _in_truth(said)
                if error.status in fine:
                    return method.reply_type()
                kind = ERRORS.get(error.status, Refused)
                if kind is Trouble and inactive is not None and inactive.search(error.detail):
                    kind = NotActivated
                own = kind is TokenRefused and await _found_good(good, error)
                raise _own(error) if own else kind(error.status.name, error.detail) from said

    async def _if_permitted(self, method: UnaryUnaryMethod[Req, Res], request: Req) -> Res:
        """The gate has asked the permit; it is asked again when the call is sent. Raises `RpcError`."""
        while True:
            await self._permit.assured()
            with suppress(NotPermitted), only_if(lambda: self._permit.certain):
                return await self.bare(method, request)

    async def allowed(self, method: UnaryUnaryMethod[Req, Res], request: Req) -> bool:
        """Whether the token may make the call, without the gate. Raises `RpcError` if nothing says so."""
        try:
            await self.bare(method, request)
        except RpcError as error:
            if issubclass(ERRORS.get(_in_truth(error).status, Refused), TokenRefused | Refused):
                return False
            raise
        return True

    async def bare(self, method: UnaryUnaryMethod[Req, Res], request: Req) -> Res:
        """Without the gate. Raises `RpcError`."""
        metadata = {"authorization": f"Bearer {self._token}"}
        try:
            return await call(method, request, timeout=CALL_TIMEOUT, metadata=metadata)
        except RpcError as error:  # what is said of it goes into the log and onto pages
            if not self._token:
                raise
            raise RpcError(error.status, error.detail.replace(self._token, "(the token)")) from None


async def _found_good(good: Callable[[], Awaitable[bool]], refusal: RpcError) -> bool:
    """Raises `Unreachable` or `Trouble` if nothing is found out: that is no word about the token."""
    try:
        return await good()
    except RpcError as said:
        error = _in_truth(said)
        kind = ERRORS.get(error.status, Refused)
        if kind is TokenRefused:
            return False
        undecided = f"{error.detail} (asked whether the token is good, after {refusal.status.name})"
        raise (kind if kind is Unreachable else Trouble)(error.status.name, undecided) from said


def _own(error: RpcError) -> TokenRefused:
    said = f" ({error.detail})" if error.detail else ""
    refused = TokenRefused(
        error.status.name, f"what is asked for does not exist for this token, which is good otherwise{said}"
    )
    refused.own = True
    return refused


def _in_truth(error: RpcError) -> RpcError:
    """The error with the status that it has in truth, as `QUOTED` has it, or `VALIDATING`."""
    if error.status is Status.UNAUTHENTICATED and VALIDATING in error.detail:
        return RpcError(Status.UNAVAILABLE, error.detail)
    if error.status is Status.INTERNAL and not error.detail:
        return RpcError(Status.UNAVAILABLE, "INTERNAL, and no reason: its database may be away")
    if ERRORS.get(error.status) is not Trouble:
        return error
    status = next((status for status, said in QUOTED.items() if said.search(error.detail)), error.status)
    return RpcError(status, error.detail)
