"""Brings the schema up to date, one numbered step after the other, and never back."""

from collections.abc import Callable, Sequence

import psycopg
from psycopg.rows import TupleRow

from fuota.journal.holder import shown
from fuota.journal.port import JournalError, Unavailable
from fuota.journal.postgres_ownership import RENEWAL, may_act
from fuota.journal.silence import look
from fuota.journal.sql import Migration

LOCK = int.from_bytes(b"fuota")
"""Of the advisory lock: servers that start at the same moment migrate one after the other."""

LOCKS_WITHIN = 4.0
"""Seconds that each lock is waited for; who holds one for longer is told of, and waited for elsewhere."""

OLDEST = 10
"""The first version of PostgreSQL that says what has become of a transaction (`transaction_status`)."""

WIDE = ("UTF8", "SQL_ASCII")
"""Encodings in which every text can be stored; with the second one PostgreSQL takes octets as they come."""

OWNERSHIP = 3
"""The migration from which on it is known who runs the deployments."""

UNSEEN = """
select nspname, current_setting('search_path')
from pg_extension join pg_namespace on pg_namespace.oid = extnamespace
where extname = 'hstore' and to_regtype('hstore') is null
"""
"""The schema of the extension and those in which names are looked for, if it is none of them."""

BOOKKEEPING = """
create table if not exists fuota_migration (
    number integer primary key,
    name text not null,
    applied_at timestamp with time zone not null
)
"""

THEIRS = {
    "deployment": "mc_group_setup_completed_at",
    "deployment_device": "mc_group_setup_completed_at",
    "deployment_log": "f_port",
}
"""The tables of the ChirpStack FUOTA Server, and by which column they are known."""

APART = "the server needs a database of its own, or a schema of its own (search_path in [postgresql] dsn)"

Connection = psycopg.Connection[TupleRow]
Begin = Callable[[Sequence[Migration]], None]


class SchemaMismatch(JournalError):
    """The tables are not those that this version of the server works with."""


class TooOld(JournalError):
    """PostgreSQL is of a version that this server can not work with."""


class Narrow(JournalError):
    """The database can not hold every character."""


def migrate(
    connection: Connection,
    known: Sequence[Migration],
    *,
    automigrate: bool,
    begin: Begin = lambda missing: None,
) -> Sequence[Migration]:
    """Apply what is missing of `known`, all or nothing, and return it; `begin` is told of it before.

    Without `automigrate` nothing is changed. Raises `SchemaMismatch`, `TooOld`, `Narrow`, and `Unavailable`
    while another server migrates, or one of an earlier version may run the deployments.
    """
    check_version(connection.info.server_version)
    with connection.transaction():
        _check_encoding(connection)
        _check_hstore(connection)
        _lock(connection)
        recorded = _recorded(connection)
        done = recorded or _inherited(connection)
        if done > len(known):
            raise SchemaMismatch(
                f"the database has migration {done:04}, this version of the server knows those up to "
                f"{len(known):04}: a newer version has used it"
            )
        missing = known[done:]
        if missing and not automigrate:
            names = ", ".join(migration.name for migration in missing)
            raise SchemaMismatch(
                f"the database lacks the migrations {names}: start once with [postgresql] automigrate = true"
            )
        if missing:
            if recorded >= OWNERSHIP:
                _check_owner(connection)
            begin(missing)
            connection.execute(BOOKKEEPING)
        for migration in known[recorded:] if missing else ():
            if migration.number > done:
                _apply(connection, migration)
            connection.execute(
                "insert into fuota_migration values (%s, %s, now())", [migration.number, migration.name]
            )
        return missing


def _check_owner(connection: Connection) -> None:
    """An earlier version goes on to write as it did, and not what the new schema wants."""
    _, holder, _, silent = look(connection, 2 * RENEWAL)
    if may_act(holder, silent):
        raise Unavailable(f"the tables are to be brought up to date when {shown(holder)} has stopped")


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        connection.execute(migration.text.encode())
    except psycopg.errors.DuplicateTable as error:  # or index, view or sequence: whoever has made it
        raise SchemaMismatch(f"PostgreSQL: {error.diag.message_primary}: {APART}") from error


def check_version(number: int) -> None:
    """`number` is that of libpq: 90624 is PostgreSQL 9.6.24, 180001 is 18.1. Raises `TooOld`."""
    major, minor = divmod(number, 10000)
    if major < OLDEST:
        raise TooOld(
            f"the database is PostgreSQL {major}.{minor // 100}, and {OLDEST} is the oldest that this server "
            "can work with: upgrade it, or leave [postgresql] dsn empty for the embedded one"
        )


def _check_encoding(connection: Connection) -> None:
    [(name,)] = connection.execute("show server_encoding").fetchall()
    if name not in WIDE:
        raise Narrow(
            f"the database has the encoding {name}, which lacks characters that a name or an error may have: "
            "create one with the encoding UTF8 from template0, and bring what this one holds into it by "
            "pg_dump and psql"
        )


def _check_hstore(connection: Connection) -> None:
    """A database has it once, in one schema."""
    for schema, searched in connection.execute(UNSEEN).fetchall():
        raise SchemaMismatch(
            f"the extension hstore is in the schema {schema}, where it is not looked for: write "
            f"search_path='{searched}, {schema}' in [postgresql] dsn (and let the role use that schema)"
        )


def _lock(connection: Connection) -> None:
    """Be the only one that migrates. Tables that somebody has locked are not waited for for long either."""
    connection.execute("select set_config('lock_timeout', %s, true)", [f"{LOCKS_WITHIN * 1000:.0f}"])
    try:
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
    except psycopg.errors.LockNotAvailable as error:
        raise Unavailable("PostgreSQL: another server is migrating the database, or hangs in that") from error


def _recorded(connection: Connection) -> int:
    """The last migration in our own bookkeeping; 0 when there is none."""
    if not _exists(connection, "fuota_migration"):
        return 0
    row = connection.execute("select coalesce(max(number), 0) from fuota_migration").fetchone()
    return row[0] if row else 0


def _inherited(connection: Connection) -> int:
    """1 when the ChirpStack FUOTA Server has made the tables, which are migration 1; else 0."""
    if not _exists(connection, "deployment"):
        return 0
    if _exists(connection, "schema_migrations"):
        row = connection.execute("select version, dirty from schema_migrations").fetchone()
        if row is not None and row != (1, False):
            raise SchemaMismatch(
                f"schema_migrations of the ChirpStack FUOTA Server says version {row[0]}"
                f"{' (dirty)' if row[1] else ''}: only a clean version 1 can be taken over"
            )
    for table, column in THEIRS.items():
        if not _has(connection, table, column):
            raise SchemaMismatch(
                f"there is a table deployment, but not the {table} of the ChirpStack FUOTA Server: {APART}"
            )
    return 1


def _has(connection: Connection, table: str, column: str) -> bool:
    found = "select from pg_attribute where attrelid = to_regclass(%s) and attname = %s and not attisdropped"
    return connection.execute(found, [table, column]).rowcount > 0


def _exists(connection: Connection, table: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", [table]).fetchone()
    return row is not None and bool(row[0])
