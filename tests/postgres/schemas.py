"""The schema of the ChirpStack FUOTA Server with rows of its own, and a look at what is in a database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from fuota.journal.migrations import migrate
from fuota.journal.sql import Migration, migrations
from fuota.lorawan.eui import EUI64

REFERENCE = """
create extension hstore;
create table schema_migrations (version bigint not null primary key, dirty boolean not null);
insert into schema_migrations values (1, false);
create table deployment (
    id uuid primary key not null,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    mc_group_setup_completed_at timestamp with time zone null,
    mc_session_completed_at timestamp with time zone null,
    frag_session_setup_completed_at timestamp with time zone null,
    enqueue_completed_at timestamp with time zone null,
    frag_status_completed_at timestamp with time zone null
);
create table deployment_device (
    deployment_id uuid not null references deployment on delete cascade,
    dev_eui bytea not null,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    mc_group_setup_completed_at timestamp with time zone null,
    mc_session_completed_at timestamp with time zone null,
    frag_session_setup_completed_at timestamp with time zone null,
    frag_status_completed_at timestamp with time zone null,
    primary key (deployment_id, dev_eui)
);
create table deployment_log (
    id bigserial primary key,
    created_at timestamp with time zone not null,
    deployment_id uuid not null references deployment on delete cascade,
    dev_eui bytea not null,
    f_port smallint not null,
    command varchar(50) not null,
    fields hstore
);
create index idx_deployment_log_deployment_id on deployment_log(deployment_id);
create index idx_deployment_log_dev_eui on deployment_log(dev_eui);
"""

OLD = UUID("6f1c3a52-9a0f-4c58-8a43-0d5b7f1f9b11")
DEVICE = EUI64.parse("70b3d50000000001")
BEGIN = datetime(2023, 5, 6, 7, 8, 9, tzinfo=UTC)
END = datetime(2023, 5, 6, 9, 0, 0, tzinfo=UTC)

OLD_ROWS = f"""
insert into deployment (id, created_at, updated_at, mc_group_setup_completed_at)
values ('{OLD}', '{BEGIN}', '{END}', '{END}');
insert into deployment_device (deployment_id, dev_eui, created_at, updated_at, frag_status_completed_at)
values ('{OLD}', '\\x{DEVICE}', '{BEGIN}', '{END}', '{END}');
insert into deployment_log (created_at, deployment_id, dev_eui, f_port, command, fields) values
    ('{BEGIN}', '{OLD}', '\\x{DEVICE}', 200, 'McGroupSetupReq', 'mc_group_id=>0, mc_addr=>01020304'),
    ('{END}', '{OLD}', '\\x{DEVICE}', 200, 'McGroupSetupAns', null);
"""

SAMPLES = {
    "timestamptz": "now()",
    "jsonb": "'{}'",
    "bytea": "'\\x01'",
    "int2": "1",
    "int4": "1",
    "hstore": "'a=>1'",
    "text": "'text'",
}
"""By type; a migration with a column of another needs another line here."""

CATALOG = """
select table_name, column_name, data_type, is_nullable, column_default
from information_schema.columns where table_schema = 'public'
union all
select tablename, indexname, indexdef, '', '' from pg_indexes where schemaname = 'public'
union all
select conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
from pg_constraint where connamespace = 'public'::regnamespace
order by 1, 2, 3
"""

OURS = [migration.name for migration in migrations()[1:]]


def run(dsn: str, script: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(script.encode())
        return cursor.fetchall() if cursor.description else []


def brought_up(dsn: str, known: Sequence[Migration] = (), *, automigrate: bool = True) -> list[str]:
    """The names of the migrations that were applied."""
    with psycopg.connect(dsn) as connection:
        applied = migrate(connection, known or migrations(), automigrate=automigrate)
        return [migration.name for migration in applied]


def fill(dsn: str) -> None:
    """Give each column that may be null and is, a value."""
    nullable = run(
        dsn,
        "select table_name, column_name, udt_name from information_schema.columns "
        "where table_schema = 'public' and is_nullable = 'YES' and table_name <> 'fuota_migration'",
    )
    referred = "deployment", "firmware_sha256"
    for table, column, kind in nullable:
        if (table, column) != referred:
            run(dsn, f"update {table} set {column} = {SAMPLES[kind]} where {column} is null")
