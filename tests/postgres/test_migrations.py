"""The schema is made anew or brought up to date, by one server, completely or not at all."""

from typing import Any

import psycopg
import pytest
import trio

from fuota.journal import silence
from fuota.journal.migrations import SchemaMismatch
from fuota.journal.port import Unavailable
from fuota.journal.postgres_dsn import conninfo
from fuota.journal.sql import Migration, migrations
from tests.postgres.owners import seen
from tests.postgres.schemas import CATALOG, OLD_ROWS, OURS, REFERENCE, brought_up, fill, run

LAST = len(migrations())
NEXT = Migration(LAST + 1, "next", "create table next (id int)")


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_empty_database_gets_everything_once(dsn: str) -> None:
    names = [migration.name for migration in migrations()]
    assert brought_up(dsn) == names
    assert brought_up(dsn) == []
    assert [name for (name,) in run(dsn, "select name from fuota_migration order by number")] == names


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


def test_an_earlier_version_that_runs_the_deployments_has_to_stop_first(dsn: str) -> None:
    earlier = migrations()[:-1]
    brought_up(dsn, earlier)
    run(dsn, seen())
    with pytest.raises(Unavailable, match="when elsewhere, process 7 has stopped"):
        brought_up(dsn)
    assert brought_up(dsn, earlier) == []
    run(dsn, "update ownership set holder = 'nobody'")
    assert brought_up(dsn) == [migrations()[-1].name]


@pytest.mark.parametrize("there", [False, True])
def test_an_earlier_version_seen_in_a_time_to_come_has_stopped_if_it_is_not_seen_again(
    there: bool, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's clock was set back."""
    brought_up(dsn, migrations()[:-1])
    monkeypatch.setattr(silence, "sleep", lambda seconds: there and run(dsn, seen("59 min")))
    run(dsn, seen("1 hour"))
    if there:
        with pytest.raises(Unavailable, match="when elsewhere, process 7 has stopped"):
            brought_up(dsn)
    else:
        assert brought_up(dsn) == [migrations()[-1].name]


def test_what_had_ended_before_there_was_a_column_for_it_is_in_it(dsn: str) -> None:
    brought_up(dsn, migrations()[:4])
    run(dsn, OLD_ROWS)
    run(dsn, """update deployment_device set live = false, state = '{"state": "failed"}'""")
    brought_up(dsn)
    assert run(dsn, "select ended from deployment_device") == [("failed",)]


def contents(dsn: str) -> dict[str, list[dict[str, Any]]]:
    """Table -> its rows, but for the bookkeeping of migrations."""
    found = {}
    for (table,) in run(dsn, "select tablename from pg_tables where schemaname = 'public' order by 1"):
        rows = [row for (row,) in run(dsn, f"select to_jsonb(t) from {table} t order by t::text")]
        if rows and table != "fuota_migration":
            found[table] = rows
    return found


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


def test_an_older_schema_is_brought_up_to_date(dsn: str) -> None:
    brought_up(dsn)
    assert brought_up(dsn, [*migrations(), NEXT]) == ["next"]


def test_a_migration_that_fails_leaves_nothing_behind(dsn: str) -> None:
    broken = Migration(LAST + 1, "broken", "create table next (id int); select 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        brought_up(dsn, [*migrations(), broken])
    assert run(dsn, CATALOG) == []


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ("create table transition (a int)", 'relation "transition" already exists'),
        ("create view ownership as select 1", 'relation "ownership" already exists'),
        ("create table deployment_log (a int)", 'relation "deployment_log" already exists'),
        ("create table deployment (id int)", "not the deployment of the ChirpStack FUOTA Server"),
        (
            "create table deployment (mc_group_setup_completed_at timestamptz)",
            "not the deployment_device of the ChirpStack FUOTA Server",
        ),
    ],
)
def test_what_is_somebody_elses_is_named_and_left_alone(dsn: str, theirs: str, told: str) -> None:
    run(dsn, theirs)
    before = run(dsn, CATALOG)
    with pytest.raises(SchemaMismatch, match=f"{told}: the server needs a database of its own, or a schema"):
        brought_up(dsn)
    assert run(dsn, CATALOG) == before
    run(dsn, "create schema apart")
    assert len(brought_up(f"{dsn} options='-c search_path=apart'")) == LAST


def test_an_extension_in_a_schema_that_is_not_searched_is_told_of_with_what_helps(dsn: str) -> None:
    run(dsn, "create extension hstore; create schema apart")
    apart, both = (conninfo(f"{dsn} search_path='{path}'") for path in ("apart", "apart, public"))
    told = "hstore is in the schema public, .*: write search_path='apart, public' in"
    with pytest.raises(SchemaMismatch, match=told):
        brought_up(apart)
    assert len(brought_up(both)) == LAST
    with pytest.raises(SchemaMismatch, match=told):
        brought_up(apart)
    assert brought_up(both) == []


async def test_servers_that_start_together_migrate_once(dsn: str) -> None:
    applied: list[list[str]] = []

    async def start() -> None:
        applied.append(await trio.to_thread.run_sync(brought_up, dsn))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(start)
    assert sorted(applied, key=len) == [[], [], [], [], [migration.name for migration in migrations()]]
