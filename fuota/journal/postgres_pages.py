"""What the journal reads for those who look at deployments, each in one transaction."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fuota.deployment import states as deployment_states
from fuota.device import states as device_states
from fuota.journal.encoding import DEVICE_STATES, known, load_deployment_state, load_plan, tag
from fuota.journal.port import DeviceKind, DeviceStatus, Milestone, Overview, State, Summary
from fuota.journal.postgres_held import Connection
from fuota.journal.postgres_reading import device_status, earned
from fuota.journal.sql import queries
from fuota.lorawan.eui import EUI64

ENDS = (device_states.Complete, device_states.Unconfirmed, device_states.Released, device_states.Failed)
"""For these there is an index."""


def summary(connection: Connection, deployment_id: UUID) -> Summary | None:
    row = connection.execute(queries()["select_summary"], [deployment_id]).fetchone()
    return None if row is None else _summary(*row)


def overview(connection: Connection, deployment_id: UUID) -> Overview | None:
    row = connection.execute(queries()["select_overview"], [deployment_id]).fetchone()
    if row is None:
        return None
    *of_summary, since, counts = row
    devices = Counter[DeviceKind]()
    for state, reason, count in counts or ():
        devices[_kind(state, reason)] += count
    return Overview(summary=_summary(*of_summary), since=since, devices=devices)


def summaries(
    connection: Connection,
    states: Collection[type[deployment_states.State] | None],
    before: tuple[datetime, UUID] | None,
    most: int,
) -> Sequence[Summary]:
    created_at, id_ = before or (None, None)
    wanted = {"states": _tags(states), "created_at": created_at, "id": id_, "most": most}
    return [_summary(*row) for row in connection.execute(queries()["select_summaries"], wanted)]


def device_page(
    connection: Connection,
    deployment_id: UUID,
    states: Collection[type[device_states.State] | None],
    reasons: Collection[device_states.Reason],
    after: EUI64 | None,
    most: int,
) -> Sequence[DeviceStatus] | None:
    ended = bool(reasons) or (bool(states) and all(state in ENDS for state in states))
    wanted = {
        "deployment_id": deployment_id,
        "states": _tags(states if states or not reasons else [device_states.Failed]),
        "reasons": [reason.value for reason in reasons] or None,
        "after": b"" if after is None else after.octets,
        "most": most,
    }
    query = queries()["select_ended_device_page" if ended else "select_device_page"]
    rows = connection.execute(query, wanted).fetchall()
    if not rows and connection.execute(queries()["select_summary"], [deployment_id]).fetchone() is None:
        return None
    return [device_status(*row) for row in rows]


def _kind(state: str | None, reason: str | None) -> DeviceKind:
    try:
        return (
            None if state is None else DEVICE_STATES[state],
            None if reason is None else device_states.Reason(reason),
        )
    except (KeyError, ValueError):  # as `known` has it
        return None, None


def _tags(states: Collection[type[State] | None]) -> list[str] | None:
    return [tag(state) for state in states] or None


def _summary(
    id_: UUID,
    created_at: datetime,
    updated_at: datetime,
    plan: str | None,
    state: str | None,
    *completed: Any,
) -> Summary:
    return Summary(
        id=id_,
        created_at=created_at,
        updated_at=updated_at,
        milestones=earned(Milestone, completed),
        plan=known(load_plan, plan),
        state=known(load_deployment_state, state),
    )
