"""What our errors mean to a client of the gRPC API."""

from collections.abc import Iterable, Sequence
from itertools import chain
from uuid import UUID

from google.rpc.error_details_pb2 import BadRequest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.deployment.order import InvalidOrder, Problem
from fuota.journal.port import Conflict, Fenced, Unavailable

SAID = 20
"""Problems that are spelled out: a fleet may have thousands, but a status travels in headers, which clients
bound at 8 kB."""


def answer(error: Exception) -> GRPCError | None:
    """The status of a call that ended with `error`; None for what no client can have caused."""
    match error:
        case InvalidOrder(problems=problems):
            return invalid(problems)
        case Conflict():
            return GRPCError(Status.FAILED_PRECONDITION, str(error))
        case Fenced():
            return GRPCError(Status.UNAVAILABLE, str(error))
        case Unavailable():
            return GRPCError(Status.UNAVAILABLE, f"the database: {error}")
    return None


def check(*problems: Iterable[Problem]) -> None:
    """Raise INVALID_ARGUMENT that names the fields which are wrong, if one is."""
    if found := [*chain(*problems)]:
        raise invalid(found)


def invalid(problems: Sequence[Problem]) -> GRPCError:
    """INVALID_ARGUMENT that names the fields, in words and as google.rpc.BadRequest."""
    texts = [f"{problem.field} {problem.text}" for problem in problems[:SAID]]
    if len(problems) > SAID:
        texts.append(f"and {len(problems) - SAID} more")
    violations = [
        BadRequest.FieldViolation(field=problem.field, description=problem.text)
        for problem in problems[:SAID]
    ]
    return GRPCError(
        Status.INVALID_ARGUMENT, "; ".join(texts), details=[BadRequest(field_violations=violations)]
    )


def no_deployment(deployment_id: UUID) -> GRPCError:
    return GRPCError(Status.NOT_FOUND, f"there is no deployment {deployment_id}")
