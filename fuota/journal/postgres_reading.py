"""What the journal reads, each in one transaction; `Journal` says what it means."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import TupleRow

from fuota.journal.encoding import known, load_deployment_state, load_device_state, load_plan
from fuota.journal.port import (
    DeploymentStatus,
    DeviceStatus,
    JournalError,
    LogRow,
    Milestone,
    StoredDeployment,
    StoredDevice,
)
from fuota.journal.postgres_held import Connection
from fuota.journal.sealing import Keyring, Kind
from fuota.journal.sql import queries
from fuota.lorawan.eui import EUI64

DEVICE_MILESTONES = tuple(milestone for milestone in Milestone if milestone is not Milestone.ENQUEUE)
"""In the order of the columns that are selected, as `Milestone` is."""

PIECE = 1000
"""Rows that become Python objects at once: the driver does not let other threads run meanwhile. And the most
devices that are read in one transaction."""


def unfinished(connection: Connection) -> Sequence[UUID]:
    return [id_ for (id_,) in connection.execute(queries()["select_unfinished"]).fetchall()]


def deployment(connection: Connection, keyring: Keyring, deployment_id: UUID) -> StoredDeployment:
    row = connection.execute(queries()["select_deployment"], [deployment_id]).fetchone()
    if row is None:
        raise JournalError(f"there is no deployment {deployment_id} to resume")
    created_at, plan, sealed, state, version = row
    return StoredDeployment(
        id=deployment_id,
        created_at=created_at,
        plan=load_plan(plan),
        mc_key=keyring.open(sealed, Kind.MC_KEY, deployment_id),
        state=load_deployment_state(state),
        version=version,
    )


def devices(
    connection: Connection, keyring: Keyring, deployment_id: UUID, after: EUI64 | None
) -> Sequence[StoredDevice]:
    """A piece of them."""
    found = []
    for octets, sealed, state, version, before in _piece(connection, "select_devices", deployment_id, after):
        dev_eui = EUI64(octets)
        found.append(
            StoredDevice(
                dev_eui=dev_eui,
                mc_root_key=keyring.open(sealed, Kind.MC_ROOT_KEY, deployment_id, dev_eui),
                state=load_device_state(state),
                version=version,
                nb_frag_before=before,
            )
        )
    return found


def firmware(connection: Connection, sha256: bytes) -> bytes:
    row = connection.execute(queries()["select_firmware"], [sha256], binary=True).fetchone()
    if row is None:
        raise JournalError(f"there is no firmware {sha256.hex()}")
    image: bytes = row[0]
    return image


def status(connection: Connection, deployment_id: UUID) -> DeploymentStatus | None:
    """Without its devices."""
    row = connection.execute(queries()["select_status"], [deployment_id]).fetchone()
    if row is None:
        return None
    created_at, updated_at, *completed, state = row
    return DeploymentStatus(
        id=deployment_id,
        created_at=created_at,
        updated_at=updated_at,
        milestones=earned(Milestone, completed),
        state=known(load_deployment_state, state),
        devices=(),
    )


def device_statuses(
    connection: Connection, deployment_id: UUID, after: EUI64 | None
) -> Sequence[DeviceStatus]:
    """A piece of them."""
    return [device_status(*row) for row in _piece(connection, "select_device_status", deployment_id, after)]


def logs(connection: Connection, deployment_id: UUID, dev_eui: EUI64) -> Sequence[LogRow] | None:
    of_device = [deployment_id, dev_eui.octets]
    if connection.execute(queries()["select_device"], of_device).fetchone() is None:
        return None
    return [
        LogRow(
            deployment_id=deployment_id,
            dev_eui=dev_eui,
            created_at=created_at,
            f_port=f_port,
            command=command,
            fields={name: text or "" for name, text in json.loads(fields or "{}").items()},
        )
        for created_at, f_port, command, fields in _rows(connection, "select_logs", *of_device)
    ]


def device_status(octets: bytes, created_at: Any, updated_at: Any, *rest: Any) -> DeviceStatus:
    *completed, state = rest
    return DeviceStatus(
        dev_eui=EUI64(octets),
        created_at=created_at,
        updated_at=updated_at,
        milestones=earned(DEVICE_MILESTONES, completed),
        state=known(load_device_state, state),
    )


def earned(
    milestones: Iterable[Milestone], completed: Sequence[datetime | None]
) -> dict[Milestone, datetime]:
    return {milestone: at for milestone, at in zip(milestones, completed, strict=True) if at is not None}


def _piece(
    connection: Connection, query: str, deployment_id: UUID, after: EUI64 | None
) -> Sequence[TupleRow]:
    octets = b"" if after is None else after.octets
    wanted = {"deployment_id": deployment_id, "after": octets, "most": PIECE}
    return connection.execute(queries()[query], wanted).fetchall()


def _rows(connection: Connection, query: str, *of: object) -> Iterator[TupleRow]:
    cursor = connection.execute(queries()[query], of)
    while piece := cursor.fetchmany(PIECE):
        yield from piece
