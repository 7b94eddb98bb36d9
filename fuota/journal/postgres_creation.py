"""A new deployment in one transaction, however many devices it has; and how it is taken back."""

from uuid import UUID

import attrs
import psycopg

from fuota.journal.encoding import dump_plan, dump_state
from fuota.journal.port import Conflict, NewDeployment
from fuota.journal.postgres_held import Connection
from fuota.journal.postgres_reading import PIECE
from fuota.journal.postgres_writing import begin_writing, wait_for_end
from fuota.journal.sealing import Keyring, Kind
from fuota.journal.sql import queries
from fuota.lorawan.eui import EUI64
from fuota.ownership import Tenure

WITHIN = 10.0
"""Seconds that the transaction may take, as any other that writes."""
FOR_EACH_DEVICE = 0.001
FOR_EACH_OCTET = 1e-6
"""More seconds: at least ten times what it takes on a disk of today."""

LIVE_CLAIMS = ("deployment_device_mc_group", "deployment_device_frag_index")
"""The indexes that let a device be in one live deployment for each McGroupID and each FragIndex."""


@attrs.frozen
class Withdrawal:
    """Of a deployment that was created, perhaps, although its customer was told that it could not be."""

    deployment_id: UUID
    within: float
    """Seconds that it may take."""
    _tenure: Tenure
    _xid: int

    def write(self, connection: Connection) -> None:
        """In a transaction of its own. Raises `Unavailable` while the creation may still be committed.

        Raises `Fenced` if there was another owner since, who has begun it if it was there.
        """
        wait_for_end(connection, self._xid)  # what is under way can not be seen yet
        begin_writing(connection, self._tenure)
        connection.execute(queries()["delete_deployment"], [self.deployment_id])


class Creation:
    """The writing of one deployment, tried until its outcome is known."""

    def __init__(self, new: NewDeployment, keyring: Keyring, tenure: Tenure) -> None:
        self._new = new
        self._keyring = keyring
        self._tenure = tenure
        self._xid: int | None = None

    @property
    def withdrawal(self) -> Withdrawal | None:
        """If a transaction was begun: when its outcome was never heard, it may be committed."""
        if self._xid is None:
            return None
        return Withdrawal(self._new.id, self.within, self._tenure, self._xid)

    @property
    def within(self) -> float:
        """Seconds that it may take. Who has ordered little soon hears that the database hangs."""
        return WITHIN + FOR_EACH_DEVICE * len(self._new.devices) + FOR_EACH_OCTET * len(self._new.firmware)

    def write(self, connection: Connection) -> None:
        """In a transaction of its own; once it was committed, again does nothing."""
        if self._xid is not None:
            wait_for_end(connection, self._xid)
            if connection.execute(queries()["select_existing"], [[self._new.id]]).fetchone() is not None:
                return
        self._xid = begin_writing(connection, self._tenure)
        self._insert(connection)

    def _insert(self, connection: Connection) -> None:
        new, seal = self._new, self._keyring.seal
        firmware = {
            "sha256": new.plan.firmware_sha256,
            "created_at": new.created_at,
            "image": new.firmware,
        }
        deployment = {
            "id": new.id,
            "created_at": new.created_at,
            "plan": dump_plan(new.plan),
            "mc_key": seal(new.mc_key, Kind.MC_KEY, new.id),
            "sha256": new.plan.firmware_sha256,
            "state": dump_state(new.state),
        }
        connection.execute(queries()["insert_firmware"], firmware)
        connection.execute(queries()["insert_deployment"], deployment)
        numbers = (new.plan.mc_group_id, new.plan.frag_index)
        latest = (dump_state(new.device_state), 1, True)
        before = self._nb_frag_before(connection)
        with connection.cursor() as cursor, cursor.copy(queries()["copy_devices"]) as copy:
            for device in sorted(new.devices, key=lambda device: device.dev_eui.octets):
                sealed = seal(device.mc_root_key, Kind.MC_ROOT_KEY, new.id, device.dev_eui)
                times, octets = (new.created_at, new.created_at), device.dev_eui.octets
                copy.write_row((new.id, octets, *times, before.get(octets), sealed, *numbers, *latest))
        connection.execute(queries()["insert_first_transitions"], {"id": new.id})

    def _nb_frag_before(self, connection: Connection) -> dict[bytes, int]:
        """By DevEUI; see `StoredDevice`."""
        asked = {"dev_eui": [device.dev_eui.octets for device in self._new.devices]}
        cursor = connection.execute(queries()["select_nb_frag_before"], asked)
        found: dict[bytes, int] = {}
        while piece := cursor.fetchmany(PIECE):
            found.update(piece)
        return found

    def conflict(self, connection: Connection) -> Conflict | None:
        """With a deployment that lives; None if there is none, or it has ended without the device."""
        plan = self._new.plan
        wanted = {
            "dev_eui": [device.dev_eui.octets for device in self._new.devices],
            "mc_group_id": plan.mc_group_id,
            "frag_index": plan.frag_index,
        }
        begin_writing(connection, self._tenure)
        connection.execute(queries()["release_claims"], wanted)
        row = connection.execute(queries()["select_claims"], wanted).fetchone()
        if row is None:
            return None
        octets, same_group, deployment_id = row
        if same_group:
            return Conflict(EUI64(octets), "McGroupID", plan.mc_group_id, deployment_id)
        return Conflict(EUI64(octets), "FragIndex", plan.frag_index, deployment_id)


def is_conflict(error: psycopg.Error) -> bool:
    """Whether it is for a live deployment that the new one was not written."""
    return error.diag.constraint_name in LIVE_CLAIMS
