"""A start does not hang in silence, whatever the database does: it says why it waits, and is tried again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import trio
from structlog.testing import capture_logs

from fuota.journal import migrations, postgres_preparation
from fuota.journal.port import Unavailable
from fuota.journal.postgres_preparation import prepare
from fuota.journal.sql import Migration
from fuota.journal.sql import migrations as all_migrations
from tests.postgres.clusters import only_read, value

KNOWN = all_migrations()


@contextmanager
def held(dsn: str, statement: str) -> Iterator[None]:
    """By somebody who does not end the transaction."""
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())
        yield
        connection.rollback()


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives this version of the server a migration more."""

    def more(text: str) -> None:
        added = Migration(len(KNOWN) + 1, "more", text)
        monkeypatch.setattr(postgres_preparation, "migrations", lambda: [*KNOWN, added])

    return more


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (f"select pg_advisory_xact_lock({migrations.LOCK})", "another server is migrating the database"),
        ("lock table fuota_migration", "lock timeout .* from fuota_migration"),
        ("lock table deployment", "lock timeout"),
    ],
    ids=["all", "bookkeeping", "a table to alter"],
)
async def test_locks_are_not_waited_for_in_silence(
    statement: str, told: str, dsn: str, more: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCKS_WITHIN", 0.2)
    await prepare(dsn, automigrate=True)
    more("alter table deployment add column more int")
    with held(dsn, statement), trio.fail_after(5), pytest.raises(Unavailable, match=told):
        await prepare(dsn, automigrate=True)
    await prepare(dsn, automigrate=True)
    assert value(dsn, "select max(number) from fuota_migration") == len(KNOWN) + 1


async def test_a_database_that_hangs_at_the_start_is_hung_up_on(
    line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = postgres_preparation._connect

    def connect_and_freeze(where: str) -> Any:
        connection = connect(where)
        line.frozen = True
        return connection

    monkeypatch.setattr(postgres_preparation, "_connect", connect_and_freeze)
    monkeypatch.setattr(postgres_preparation, "WITHIN", 0.2)
    threads = trio.to_thread.current_default_thread_limiter()
    with trio.fail_after(5):
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            await prepare(line.dsn, automigrate=True)
        while threads.borrowed_tokens:  # noqa: ASYNC110  # it does not tell
            await trio.sleep(0.01)


async def test_a_migration_takes_as_long_as_it_takes(
    dsn: str, more: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said that it is under way."""
    await prepare(dsn, automigrate=True)
    monkeypatch.setattr(postgres_preparation, "WITHIN", 0.5)
    more("select pg_sleep(1)")
    with capture_logs() as said:
        await prepare(dsn, automigrate=True)
    assert [line["migrations"] for line in said] == ["more"]
    assert value(dsn, "select max(number) from fuota_migration") == len(KNOWN) + 1


async def test_what_a_server_locks_that_stops_dead_is_free_soon(dsn: str, more: Any) -> None:
    more("create table found as select current_setting('idle_in_transaction_session_timeout') as patience")
    await prepare(dsn, automigrate=True)
    assert value(dsn, "select patience from found") == "30s"


async def test_a_new_database_that_only_reads_is_waited_for(dsn: str) -> None:
    with only_read(dsn), pytest.raises(Unavailable, match="read-only transaction"):
        await prepare(dsn, automigrate=True)
    await prepare(dsn, automigrate=True)
    with only_read(dsn):
        await prepare(dsn, automigrate=True)  # there is nothing to do
