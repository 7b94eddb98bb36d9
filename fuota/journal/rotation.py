"""Changes the master key: everything that is sealed is sealed again, with another.

The key file has both keys from before the first row is written until after the last, so it may end at any
moment: the next run goes on where it stopped, and a server that is started in between works.

It owns the deployments meanwhile, as a server does, so whoever was the owner before writes nothing any more,
and the number of its epoch tells every server that has begun before that the key is another now.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import attrs
import psycopg
from psycopg.rows import TupleRow

from fuota.journal import postgres_ownership as ownership
from fuota.journal.holder import shown, this_process
from fuota.journal.migrations import migrate
from fuota.journal.port import JournalError, Unavailable
from fuota.journal.postgres_connections import configure, one_line
from fuota.journal.postgres_dsn import conninfo
from fuota.journal.sealing import Keyring, Kind
from fuota.journal.silence import look
from fuota.journal.sql import migrations, queries
from fuota.lorawan.eui import EUI64
from fuota.ownership import Tenure

BATCH = 1000
"""Keys that are sealed again in one transaction."""

LEAVING = 2.0
"""Seconds in which the session of a server ends that has stopped, and with it its lock."""

BEFORE_ALL: TupleRow = (UUID(int=0), b"", b"")
"""What no row of either table comes before."""

Connection = psycopg.Connection[TupleRow]


class InUse(JournalError):
    """A server runs the deployments of this database"""


def reseal(dsn: str, keyring: Keyring, told: Callable[[int], None]) -> int:
    """Seal with the current master key what is sealed with another; how many keys that were.

    `told` hears of every batch. Raises `InUse` while a server runs, `NotOpened`, `Unavailable` and
    `JournalError`; what was done until then is done.
    """
    done = 0
    try:
        with psycopg.connect(conninfo(dsn)) as connection:
            configure(connection)
            migrate(connection, migrations(), automigrate=False)
            with _owned(connection) as tenure:
                for query, sealed in (("mc_keys", _mc_keys), ("mc_root_keys", _mc_root_keys)):
                    last = BEFORE_ALL
                    while changed := _batch(connection, tenure, query, last, keyring, sealed):
                        last = changed[-1]
                        done += len(changed)
                        told(len(changed))
    except psycopg.OperationalError as error:
        raise Unavailable(f"PostgreSQL: {one_line(error)}") from error
    except psycopg.Error as error:
        raise JournalError(f"PostgreSQL: {one_line(error)}") from error
    return done


@contextmanager
def _owned(connection: Connection) -> Iterator[Tenure]:
    """Be the owner while the block runs. Raises `InUse`."""
    tenure = _claim(connection)
    try:
        yield tenure
    finally:
        with suppress(psycopg.Error):  # we end, which others see of a process beside them, or wait for
            connection.execute(queries()["release_ownership"], attrs.asdict(tenure))
            connection.commit()


def _claim(connection: Connection) -> Tenure:
    """Take the lock, which no server can have meanwhile, and an epoch. Raises `InUse`.

    That the lock is free is no proof that its owner has stopped: the owner may be cut off, and come back.
    """
    if not _lock(connection):
        raise InUse(f"{InUse.__doc__}: stop it first")
    epoch, holder, seen_at, silent = look(connection, ownership.CERTAIN)
    if ownership.may_act(holder, silent):
        wait = math.ceil(ownership.CERTAIN - silent) + 1
        raise InUse(
            f"{InUse.__doc__}: stop it first; it is {shown(holder)}, "
            f"and if that has ended, try again in {wait} s"
        )
    mine = this_process()
    taken = connection.execute(
        queries()["take_ownership_to_rotate"],
        {"epoch": epoch, "seen_at": seen_at, "holder": mine, "master_key": ownership.MASTER_KEY},
    ).fetchone()
    connection.commit()
    if taken is None:
        raise InUse(f"{InUse.__doc__}: stop it first")
    return Tenure(taken[0], mine)


def _lock(connection: Connection) -> bool:
    """Whether we have the lock. The session of a server that has just stopped may need a moment to end."""
    until = time.monotonic() + LEAVING
    while True:
        row = connection.execute(queries()["try_ownership_lock"], {"key": ownership.LOCK}).fetchone()
        connection.commit()  # so that the row is seen as it is with the lock in hand, whatever the isolation
        if row is not None and row[0]:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(LEAVING / 20)


Sealed = Callable[[Keyring, TupleRow], bytes]


def _batch(
    connection: Connection, tenure: Tenure, query: str, last: TupleRow, keyring: Keyring, again: Sealed
) -> Sequence[TupleRow]:
    """Those that follow the last one, which are sealed again: what was done is not searched through again."""
    with connection.transaction():
        if connection.execute(queries()["renew_ownership"], attrs.asdict(tenure)).fetchone() is None:
            raise InUse(f"{InUse.__doc__}, since a moment ago: stop it first")
        deployment_id, dev_eui, _ = last
        wanted = {"deployment_id": deployment_id, "dev_eui": dev_eui}
        rows = connection.execute(
            queries()[f"select_{query}_to_reseal"], {**wanted, "current": keyring.current, "most": BATCH}
        ).fetchall()
        columns: list[list[Any]] = [[], [], []]
        for row in rows:
            deployment_id, dev_eui, _ = row
            for column, value in zip(columns, (deployment_id, dev_eui, again(keyring, row)), strict=True):
                column.append(value)
        values = dict(zip(("deployment_id", "dev_eui", "sealed"), columns, strict=True))
        connection.execute(queries()[f"update_{query}"], values)
    return rows


def _mc_keys(keyring: Keyring, row: TupleRow) -> bytes:
    deployment_id, _, sealed = row
    return keyring.seal(keyring.open(sealed, Kind.MC_KEY, deployment_id), Kind.MC_KEY, deployment_id)


def _mc_root_keys(keyring: Keyring, row: TupleRow) -> bytes:
    deployment_id, octets, sealed = row
    owner = (Kind.MC_ROOT_KEY, deployment_id, EUI64(octets))
    return keyring.seal(keyring.open(sealed, *owner), *owner)
