"""What group commit writes: transitions and log rows, many at a time, each of them once."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import attrs
import psycopg

from fuota.journal.encoding import storable, storable_fields
from fuota.journal.fencing import Fences
from fuota.journal.group_commit import Pending
from fuota.journal.port import ActorId, Fenced, JournalError, LogRow, Milestone, Transition, Unavailable
from fuota.journal.postgres_connections import REFUSALS, Connections
from fuota.journal.postgres_held import Connection
from fuota.journal.sql import queries
from fuota.ownership import Ownership, Tenure

WITHIN = 10.0
"""Seconds that one transaction may take."""


@attrs.frozen
class Step:
    """A transition, and its state as it is stored."""

    transition: Transition
    state: str


Entry = Step | tuple[LogRow, ...]
Version = tuple[UUID, bytes, int]
"""The primary key of a transition."""


def weight(entry: Entry) -> int:
    """Rows that it writes."""
    match entry:
        case Step(transition=transition):
            return 1 + len(transition.logs)
        case rows:
            return len(rows)


def actor(entry: Entry) -> ActorId | None:
    return entry.transition.actor if isinstance(entry, Step) else None


class Writer:
    """Puts entries into the database; there is one for each journal."""

    def __init__(self, connections: Connections, ownership: Ownership) -> None:
        self._connections = connections
        self._ownership = ownership
        self._fences = Fences()
        self._doubtful: _Batch | None = None

    async def write(self, batch: Sequence[Pending[Entry]]) -> None:
        """Settles every entry: it is written, it is fenced, or it alone can not be written.

        All of them are fenced when another server runs the deployments.

        Raises `Unavailable`; those that are not settled may be given again, alone or with others.
        """
        await self._resolve()
        unsettled = [pending for pending in batch if not pending.settled]
        if unsettled:
            await self._write(unsettled)

    async def _write(self, batch: Sequence[Pending[Entry]]) -> None:
        attempt = self._doubtful = _Batch(batch, self._ownership.tenure, self._fences)
        try:
            await self._connections.transact(attempt.write, within=WITHIN, writing=True)
        except Fenced as fenced:
            self._doubtful = None
            for pending in batch:
                pending.settle(fenced)
            return
        except REFUSALS as error:
            self._doubtful = None
            if len(batch) == 1:
                batch[0].settle(JournalError(f"PostgreSQL refuses it: {error}"))
                return
            # One of them can not be written. The others can.
            half = len(batch) // 2
            await self._write(batch[:half])
            await self._write(batch[half:])
            return
        self._doubtful = None
        attempt.settle()

    async def _resolve(self) -> None:
        """If the connection was lost during the last COMMIT: find out what has become of it."""
        last = self._doubtful
        if last is None or last.xid is None:
            return
        if await self._connections.transact(last.committed, within=WITHIN, writing=True):
            last.settle()
        self._doubtful = None


class _Batch:
    """One transaction: which it was, and what it has done to each entry."""

    def __init__(self, batch: Sequence[Pending[Entry]], tenure: Tenure, fences: Fences) -> None:
        self._batch = batch
        self._tenure = tenure
        self._fences = fences
        self._fenced: set[Version] = set()
        self._deleted: set[UUID] = set()
        """Deployments of those that are fenced."""
        self._written: dict[Version, Step] = {}
        """One of them that was not written before, if there is one."""
        self._log: int | None = None
        """The id of one log row."""
        self.xid: int | None = None
        """From when on it may be committed."""

    def committed(self, connection: Connection) -> bool:
        """Whether it was. A batch that has written nothing was not, for that makes no difference.

        Raises `Unavailable` while that is not decided.
        """
        assert self.xid is not None
        wait_for_end(connection, self.xid)
        if self._log is not None:
            return connection.execute(queries()["select_log"], [self._log]).fetchone() is not None
        return bool(_same(connection, self._written))

    def settle(self) -> None:
        for pending in self._batch:
            if isinstance(pending.entry, Step) and _version(pending.entry) in self._fenced:
                refused = pending.entry.transition
                deleted = refused.actor.deployment_id in self._deleted
                pending.settle(self._fences.fenced(refused, deleted=deleted))
            else:
                pending.settle()

    def write(self, connection: Connection) -> None:
        xid = begin_writing(connection, self._tenure)
        entries = [pending.entry for pending in self._batch]
        given = {_version(entry): entry for entry in entries if isinstance(entry, Step)}
        written = _insert(connection, given)
        left = {version: entry for version, entry in given.items() if version not in written}
        self._written = {version: given[version] for version in [*written][:1]}
        self._fenced = left.keys() - _same(connection, left)
        self._deleted = _deleted(connection, {deployment_id for deployment_id, _, _ in self._fenced})
        logs = [row for entry in entries for row in _logs(entry, written)]
        if logs:
            inserted = connection.execute(queries()["insert_logs"], _columns(logs, LOG_COLUMNS)).fetchone()
            self._log = None if inserted is None else inserted[0]
        self.xid = xid


def begin_writing(connection: Connection, tenure: Tenure) -> int:
    """Keep the owner from changing until the transaction has ended; its id, for `wait_for_end`.

    Raises `Fenced` if the owner has changed already.
    """
    row = connection.execute(queries()["begin_writing"], attrs.asdict(tenure)).fetchone()
    if row is None:
        raise Fenced("this server does not run the deployments of this database any more")
    return cast(int, row[0])


def wait_for_end(connection: Connection, xid: int) -> None:
    """Raise `Unavailable` while the transaction may still be committed.

    Whether it was, only what it has written can say: a database that has taken over without it, or that was
    restored, gives its id to another.
    """
    try:
        with connection.transaction():
            row = connection.execute(queries()["transaction_status"], [xid]).fetchone()
    except psycopg.DataError:
        return  # of the future, to this database
    if row is not None and row[0] == "in progress":
        raise Unavailable("PostgreSQL: the last transaction is still under way")


def _insert(connection: Connection, given: Mapping[Version, Step]) -> set[Version]:
    if not given:
        return set()
    columns = _columns(list(given.values()), {**TRANSITION_COLUMNS, **MILESTONE_COLUMNS})
    return set(connection.execute(queries()["insert_transitions"], columns).fetchall())


def _same(connection: Connection, given: Mapping[Version, Step]) -> set[Version]:
    if not given:
        return set()
    columns = _columns(list(given.values()), TRANSITION_COLUMNS)
    return set(connection.execute(queries()["same_transitions"], columns).fetchall())


def _deleted(connection: Connection, of: set[UUID]) -> set[UUID]:
    if not of:
        return set()
    return of - {id_ for (id_,) in connection.execute(queries()["select_existing"], [list(of)]).fetchall()}


def _logs(entry: Entry, written: set[Version]) -> Sequence[LogRow]:
    match entry:
        case Step(transition=transition):
            return transition.logs if _version(entry) in written else ()
        case rows:
            return rows


def _dev_eui(actor: ActorId) -> bytes:
    return actor.dev_eui.octets if actor.dev_eui else b""


def _version(step: Step) -> Version:
    return step.transition.actor.deployment_id, _dev_eui(step.transition.actor), step.transition.version


def _earned(milestone: Milestone) -> Callable[[Step], Any]:
    return lambda step: step.transition.at if milestone in step.transition.milestones else None


def _columns(rows: Sequence[Any], columns: Mapping[str, Callable[[Any], Any]]) -> dict[str, list[Any]]:
    return {name: [value(row) for row in rows] for name, value in columns.items()}


TRANSITION_COLUMNS: Mapping[str, Callable[[Step], Any]] = {
    "deployment_id": lambda step: step.transition.actor.deployment_id,
    "dev_eui": lambda step: _dev_eui(step.transition.actor),
    "version": lambda step: step.transition.version,
    "at": lambda step: step.transition.at,
    "cause": lambda step: storable(step.transition.cause),
    "live": lambda step: step.transition.live,
    "state": lambda step: step.state,
}

MILESTONE_COLUMNS: Mapping[str, Callable[[Step], Any]] = {
    milestone.name.lower(): _earned(milestone) for milestone in Milestone
}

LOG_COLUMNS: Mapping[str, Callable[[LogRow], Any]] = {
    "created_at": lambda row: row.created_at,
    "deployment_id": lambda row: row.deployment_id,
    "dev_eui": lambda row: row.dev_eui.octets,
    "f_port": lambda row: row.f_port,
    "command": lambda row: storable(row.command),
    "fields": lambda row: json.dumps(storable_fields(row.fields), ensure_ascii=False),
}
