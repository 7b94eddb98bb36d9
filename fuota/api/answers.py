"""What the messages of both generations of clients are made from in the same way."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from fuota.deployment.problem import Problem
from fuota.journal.port import LogRow, Milestone

M = TypeVar("M", bound=Message)

PIECE = 1000
"""Devices whose statuses are written in one go."""


class Span(Protocol):
    """A google.protobuf.Duration, of whichever pool."""

    @property
    def seconds(self) -> int: ...

    @property
    def nanos(self) -> int: ...


def duration(span: Span) -> timedelta:
    """Any 64 bits may stand in a Duration; what no timedelta holds is too long all the same."""
    seconds = max(-(10**9), min(span.seconds, 10**9))
    return timedelta(seconds=seconds, microseconds=span.nanos // 1000)


def timeout_problems(span: Span) -> Iterator[Problem]:
    """What keeps `unicast_timeout` from being a Duration, in which any two numbers may stand."""
    told = f"is {span.seconds} s and {span.nanos} ns"
    if abs(span.nanos) >= 10**9 or span.seconds * span.nanos < 0:
        yield Problem("unicast_timeout", f"{told}; both must have one sign, and the ns be less than 1 s")
    elif span.seconds == 0 < span.nanos < 1000:
        yield Problem("unicast_timeout", f"{told}; it must be 1000 ns or more")


def fill(status: M, milestones: Mapping[Milestone, datetime]) -> M:
    """The status, with the instants of what was completed."""
    for milestone, at in milestones.items():
        getattr(status, milestone.value).FromDatetime(at)
    return status


def rows_of(rows: Sequence[LogRow]) -> Iterable[dict[str, Any]]:
    """The fields of a DeploymentDeviceLog for each row."""
    for row in rows:
        yield {
            "created_at": row.created_at,
            "f_port": row.f_port,
            "command": row.command,
            "fields": row.fields,
        }
