"""The schema: made anew, taken over from the ChirpStack FUOTA Server, or refused."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import trio

from fuota.deployment.states import Ended
from fuota.device.states import Complete
from fuota.health import Health
from fuota.journal.migrations import SchemaMismatch, TooOld, check_version, migrate
from fuota.journal.port import LogRow, Milestone, NewDeployment
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from fuota.journal.sql import Migration, migrations
from fuota.lorawan.eui import EUI64

DOCS = Path(__file__).parents[2] / "docs"

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
LAST = len(migrations())
NEXT = Migration(LAST + 1, "next", "create table next (id int)")


def run(dsn: str, script: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(script.encode())
        return cursor.fetchall() if cursor.description else []


def brought_up(dsn: str, known: Sequence[Migration] = (), *, automigrate: bool = True) -> list[str]:
    """The names of the migrations that were applied."""
    with psycopg.connect(dsn) as connection:
        applied = migrate(connection, known or migrations(), automigrate=automigrate)
        return [migration.name for migration in applied]


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_empty_database_gets_everything_once(dsn: str) -> None:
    names = [migration.name for migration in migrations()]
    assert brought_up(dsn) == names
    assert brought_up(dsn) == []
    assert [name for (name,) in run(dsn, "select name from fuota_migration order by number")] == names


def test_a_new_schema_and_one_taken_over_are_the_same(dsn: str) -> None:
    brought_up(dsn)
    new = run(dsn, CATALOG)
    run(dsn, "drop schema public cascade; create schema public")
    run(dsn, REFERENCE)
    assert brought_up(dsn) == OURS
    taken_over = [row for row in run(dsn, CATALOG) if row[0] != "schema_migrations"]
    assert taken_over == new
    assert len(run(dsn, "select number from fuota_migration")) == len(migrations())
    assert brought_up(dsn) == []


@pytest.mark.parametrize("last", range(1, LAST), ids="up to {:04}".format)
def test_each_earlier_schema_becomes_the_same_and_keeps_its_rows(dsn: str, last: int) -> None:
    """Every column of every table has something in it, whatever migrations come after."""
    brought_up(dsn)
    new = run(dsn, CATALOG)
    run(dsn, "drop schema public cascade; create schema public")
    assert len(brought_up(dsn, migrations()[:last])) == last
    run(dsn, OLD_ROWS)
    fill(dsn)
    before = contents(dsn)
    assert brought_up(dsn) == [migration.name for migration in migrations()[last:]]
    assert run(dsn, CATALOG) == new
    after = contents(dsn)
    for table, rows in before.items():
        assert [{name: row[name] for name in rows[0]} for row in after[table]] == rows


def contents(dsn: str) -> dict[str, list[dict[str, Any]]]:
    """Table -> its rows, but for the bookkeeping of migrations."""
    found = {}
    for (table,) in run(dsn, "select tablename from pg_tables where schemaname = 'public' order by 1"):
        rows = [row for (row,) in run(dsn, f"select to_jsonb(t) from {table} t order by t::text")]
        if rows and table != "fuota_migration":
            found[table] = rows
    return found


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


def test_tables_restored_without_the_tool_s_own_are_taken_over(dsn: str) -> None:
    run(dsn, REFERENCE + "drop table schema_migrations")
    assert brought_up(dsn) == OURS


async def test_a_schema_that_the_dsn_names_as_lib_pq_has_it_is_the_one_that_is_used(
    dsn: str, keyring: Keyring, order: Callable[[int], NewDeployment]
) -> None:
    run(dsn, f"create schema apart; set search_path = apart; {REFERENCE}")
    theirs = f"{dsn} search_path='apart, public' binary_parameters=yes"
    async with PostgresJournal.open(theirs, keyring=keyring, health=Health()) as journal:
        new = order(1)
        await journal.create(new)
        assert await journal.unfinished() == [new.id]
    assert run(dsn, "select count(*) from apart.transition") == [(2,)]
    assert run(dsn, "select to_regclass('public.deployment')") == [(None,)]


async def test_what_the_reference_server_wrote_can_be_read(dsn: str, keyring: Keyring) -> None:
    run(dsn, REFERENCE + OLD_ROWS)
    async with PostgresJournal.open(dsn, keyring=keyring, health=Health()) as journal:
        assert await journal.unfinished() == []
        status = await journal.status(OLD)
        logs = await journal.logs(OLD, DEVICE)
        summary, overview = await journal.summary(OLD), await journal.overview(OLD)
        page = await journal.device_page(OLD, states=[None, Complete], most=9)
        assert await journal.summaries(states=[None], most=9) == [summary]
        assert await journal.summaries(states=[Ended], most=9) == []
        assert await journal.device_page(OLD, states=[Complete], most=9) == []
    assert status is not None
    assert (status.created_at, status.updated_at, status.state) == (BEGIN, END, None)
    assert status.milestones == {Milestone.MC_GROUP_SETUP: END}
    assert summary is not None
    assert (summary.plan, summary.state, summary.milestones) == (None, None, status.milestones)
    assert overview is not None
    assert (overview.summary, overview.since, overview.devices) == (summary, END, {(None, None): 1})
    assert page == status.devices
    [of_device] = status.devices
    assert (of_device.dev_eui, of_device.state) == (DEVICE, None)
    assert of_device.milestones == {Milestone.FRAG_STATUS: END}
    assert logs == [
        LogRow(deployment_id=OLD, dev_eui=DEVICE, created_at=at, f_port=200, command=command, fields=fields)
        for at, command, fields in [
            (BEGIN, "McGroupSetupReq", {"mc_group_id": "0", "mc_addr": "01020304"}),
            (END, "McGroupSetupAns", {}),
        ]
    ]


@pytest.mark.parametrize("taken_over", [True, False])
def test_the_way_back_to_the_reference_server_leaves_what_it_knows(dsn: str, taken_over: bool) -> None:
    """It reads whole rows, and refuses columns that it does not know."""
    run(dsn, REFERENCE)
    theirs = run(dsn, CATALOG)
    if not taken_over:
        run(dsn, "drop schema public cascade; create schema public")
    brought_up(dsn)
    run(dsn, OLD_ROWS)
    fill(dsn)
    [way_back] = re.findall(r"```sql\n(.*?)```", (DOCS / "getting-started-v3.md").read_text(), re.DOTALL)
    run(dsn, way_back)
    assert run(dsn, CATALOG) == theirs
    assert run(dsn, "select version, dirty from schema_migrations") == [(1, False)]
    assert run(dsn, "select id from deployment") == [(OLD,)]
    assert brought_up(dsn) == OURS


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("update schema_migrations set dirty = true", r"version 1 \(dirty\): only a clean version 1"),
        ("update schema_migrations set version = 2", "version 2: only a clean version 1"),
    ],
    ids=["dirty", "another version"],
)
def test_another_schema_of_the_reference_server_is_refused(dsn: str, change: str, told: str) -> None:
    run(dsn, REFERENCE + change)
    with pytest.raises(SchemaMismatch, match=told):
        brought_up(dsn)
    assert run(dsn, "select to_regclass('fuota_migration')") == [(None,)]


def test_without_automigrate_nothing_is_changed(dsn: str) -> None:
    missing = ", ".join(["0001_chirpstack_fuota_server", *OURS])
    with pytest.raises(SchemaMismatch, match=f"lacks the migrations {missing}: start once with"):
        brought_up(dsn, automigrate=False)
    assert run(dsn, CATALOG) == []
    run(dsn, REFERENCE)
    with pytest.raises(SchemaMismatch, match=f"lacks the migrations {', '.join(OURS)}: start once with"):
        brought_up(dsn, automigrate=False)
    brought_up(dsn)
    assert brought_up(dsn, automigrate=False) == []


def test_a_newer_schema_is_refused(dsn: str) -> None:
    assert brought_up(dsn, [*migrations(), NEXT])[-1] == "next"
    newer = rf"has migration {LAST + 1:04}, .* up to {LAST:04}: a newer version"
    with pytest.raises(SchemaMismatch, match=newer):
        brought_up(dsn)


@pytest.mark.parametrize("number", [100000, 100023, 130014, 180006])
def test_every_version_from_10_on_is_taken(number: int) -> None:
    check_version(number)


@pytest.mark.parametrize(("number", "told"), [(90624, r"PostgreSQL 9\.6, "), (90500, r"PostgreSQL 9\.5, ")])
def test_an_older_version_is_refused_with_the_oldest_that_would_do(number: int, told: str) -> None:
    with pytest.raises(TooOld, match=f"{told}and 10 is the oldest"):
        check_version(number)


async def test_nothing_is_changed_in_a_database_of_an_older_version(
    dsn: str, line: Any, keyring: Keyring
) -> None:
    """The Go server is content with 9.5; so may be the one whose database is taken over."""
    run(dsn, REFERENCE)
    before, line.version = run(dsn, CATALOG), b"9.6"
    with pytest.raises(TooOld, match=r"^the database is PostgreSQL 9\.6, and 10 is the oldest "):
        async with PostgresJournal.open(line.dsn, keyring=keyring, health=Health()):
            pass
    assert run(dsn, CATALOG) == before


def test_an_older_schema_is_brought_up_to_date(dsn: str) -> None:
    brought_up(dsn)
    assert brought_up(dsn, [*migrations(), NEXT]) == ["next"]


def test_a_migration_that_fails_leaves_nothing_behind(dsn: str) -> None:
    broken = Migration(LAST + 1, "broken", "create table next (id int); create table next (id int)")
    with pytest.raises(psycopg.errors.DuplicateTable):
        brought_up(dsn, [*migrations(), broken])
    assert run(dsn, CATALOG) == []


async def test_servers_that_start_together_migrate_once(dsn: str) -> None:
    applied: list[list[str]] = []

    async def start() -> None:
        applied.append(await trio.to_thread.run_sync(brought_up, dsn))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(start)
    assert sorted(applied, key=len) == [[], [], [], [], [migration.name for migration in migrations()]]
