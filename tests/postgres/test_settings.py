"""What the database, its server or the role has set for others makes no difference to the journal."""

from collections.abc import MutableMapping
from functools import partial
from typing import Any

import psycopg
import pytest
import trio
from psycopg import sql
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from fuota.deployment import states as deployment
from fuota.device import states as device
from fuota.health import Health
from fuota.journal import migrations
from fuota.journal.migrations import migrate
from fuota.journal.port import Conflict, Milestone
from fuota.journal.postgres_connections import open_connections
from fuota.journal.postgres_preparation import prepare
from fuota.journal.postgres_session import Session
from fuota.journal.rotation import reseal
from fuota.journal.sealing import Keyring
from fuota.journal.sql import migrations as all_migrations
from fuota.journal.sql import queries
from tests.contract.entries import DEVICES, FIRMWARE, PLAN, logged, of_deployment, of_device, ordered
from tests.postgres.clusters import execute, master_keys, value
from tests.postgres.owners import opened, until

PATIENCE = 0.3
"""Seconds that others have."""

WAITING = """
select coalesce(max(extract(epoch from clock_timestamp() - query_start)), 0)::float8 from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""

LAST = ("client_connection_check_interval", "idle_in_transaction_session_timeout", "DateStyle")

ODD = "Ж, \\x, \"', null, {NULL}, 日本"


Said = list[MutableMapping[str, Any]]


def worried(said: Said) -> Said:
    return [line for line in said if line["log_level"] not in ("debug", "info")]


def configured(dsn: str, name: str, setting: str) -> None:
    """For every new session in the database."""
    with psycopg.connect(dsn) as connection:
        alter = sql.SQL("alter database {} set {} = {}")
        names = (sql.Identifier(connection.info.dbname), sql.Identifier(name))
        connection.execute(alter.format(*names, sql.Literal(setting)))


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("DateStyle", "SQL, DMY"),
        ("DateStyle", "German"),
        ("TimeZone", "Asia/Kolkata"),
        ("IntervalStyle", "sql_standard"),
        ("client_encoding", "LATIN1"),
        ("client_encoding", "SQL_ASCII"),
        ("standard_conforming_strings", "off"),
        ("array_nulls", "off"),
        ("bytea_output", "escape"),
        ("transform_null_equals", "on"),
        ("default_transaction_isolation", "serializable"),
    ],
)
async def test_what_is_set_for_others_spoils_nothing(name: str, setting: str, dsn: str) -> None:
    configured(dsn, name, setting)
    new, ours = ordered(), DEVICES[1]
    failed = device.Failed(device.Reason.CLOCK_OFF, ODD)
    setting_up = of_deployment(new.id, 2, deployment.SettingUpGroups(ODD), Milestone.MC_GROUP_SETUP)
    failing = of_device(new.id, 2, failed, live=False, logs=[logged(new.id, "AppTimeReq", said=ODD)])
    with capture_logs() as said, trio.fail_after(30):
        async with opened(dsn) as journal:
            await journal.create(new)
            await journal.commit(setting_up)
            await journal.commit(failing)
            await journal.record([logged(new.id, ODD)])
            with pytest.raises(Conflict) as conflict:
                await journal.create(ordered(devices=DEVICES[2:3]))
        async with opened(dsn) as journal:
            assert await journal.unfinished() == [new.id]
            stored = await journal.load(new.id)
            devices = {each.dev_eui: each for each in await journal.devices(new.id)}
            assert await journal.firmware(PLAN.firmware_sha256) == FIRMWARE
            status, logs = await journal.status(new.id), await journal.logs(new.id, ours)
            [summary] = await journal.summaries(states=[deployment.SettingUpGroups], most=9)
            earlier = await journal.summaries(before=(new.created_at, new.id), most=9)
            page = await journal.device_page(new.id, reasons=[device.Reason.CLOCK_OFF], most=9)
            await journal.commit(failing)  # again, which is no mistake
            await journal.commit(of_device(new.id, 3, failed, Milestone.MC_SESSION, live=False))
    assert worried(said) == []
    assert conflict.value.dev_eui == DEVICES[2]
    assert (stored.created_at, stored.plan, stored.mc_key) == (new.created_at, PLAN, new.mc_key)
    assert (stored.state, stored.version) == (setting_up.state, 2)
    assert sorted(devices) == sorted(DEVICES)
    assert all(each.mc_root_key == dev_eui.octets * 2 for dev_eui, each in devices.items())
    assert (devices[ours].state, devices[ours].version) == (failed, 2)
    assert status is not None
    assert (status.created_at, status.updated_at) == (new.created_at, setting_up.at)
    assert status.milestones == summary.milestones == {Milestone.MC_GROUP_SETUP: setting_up.at}
    assert [each for each in status.devices if each.dev_eui == ours] == page
    assert earlier == []
    assert logs == [*failing.logs, logged(new.id, ODD)]
    another = Keyring({1: b"\xa5" * 32, 2: b"\x5a" * 32}, current=2)
    assert await trio.to_thread.run_sync(reseal, dsn, another, lambda keys: None) == 1 + len(DEVICES)
    assert master_keys(dsn) == {2}


@pytest.mark.parametrize(
    "name", ["statement_timeout", "transaction_timeout", "lock_timeout", "idle_session_timeout"]
)
async def test_the_patience_of_others_is_not_ours(name: str, dsn: str) -> None:
    """The owner's session is idle between two renewals, and a statement may have to wait for a lock."""
    configured(dsn, name, f"{PATIENCE:g}s")
    new = ordered()
    with capture_logs() as said:
        async with opened(dsn) as journal, trio.open_nursery() as nursery:
            await journal.create(new)
            with psycopg.connect(dsn, options=f"-c {name}=0") as connection:
                connection.execute("lock table transition")
                nursery.start_soon(journal.commit, of_deployment(new.id, 2, deployment.SettingUpGroups("g")))
                with psycopg.connect(dsn, options=f"-c {name}=0", autocommit=True) as looking:

                    def waited() -> bool:
                        [(seconds,)] = looking.execute(WAITING).fetchall()
                        return bool(seconds > 2 * PATIENCE) or bool(worried(said))

                    await until(waited)
        assert worried(said) == []


async def test_a_statement_that_others_may_not_wait_for_sets_what_is_ours(dsn: str) -> None:
    """As where a role has so little patience that the look at the settings takes longer."""
    slow = f"select settings.* from pg_catalog.pg_settings as settings, pg_sleep({2 * PATIENCE})"
    execute(dsn, f"create view public.pg_settings as {slow}")
    dsn = make_conninfo(dsn, options="-c search_path=public,pg_catalog")
    configured(dsn, "statement_timeout", f"{PATIENCE:g}s")
    new = ordered()
    with capture_logs() as said, trio.fail_after(30):
        async with opened(dsn) as journal:
            await journal.create(new)
            assert await journal.unfinished() == [new.id]
    assert worried(said) == []
    another = Keyring({1: b"\xa5" * 32, 2: b"\x5a" * 32}, current=2)
    assert await trio.to_thread.run_sync(reseal, dsn, another, lambda keys: None) == 1 + len(DEVICES)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_who_waits_for_another_to_migrate_sees_what_that_has_done(isolation: str, dsn: str) -> None:
    configured(dsn, "default_transaction_isolation", isolation)
    with psycopg.connect(dsn) as first:
        first.execute("select pg_advisory_xact_lock(%s)", [migrations.LOCK])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(prepare, dsn, automigrate=True))
            await until(lambda: value(dsn, WAITING))
            migrate(first, all_migrations(), automigrate=True)
            first.commit()
    assert value(dsn, "select count(*) from fuota_migration") == len(all_migrations())


async def test_how_long_an_owner_is_silent_is_not_rounded(dsn: str) -> None:
    configured(dsn, "extra_float_digits", "-15")
    await prepare(dsn, automigrate=True)
    execute(dsn, "update ownership set seen_at = clock_timestamp() - interval '20.1 s'")
    async with Session.open(dsn) as session:
        [(_, _, _, silent)] = await session.ask("select_ownership")
    assert silent > 20.1


async def test_what_postgresql_can_not_do_where_it_runs_keeps_nothing_else_from_being_set(
    line: Any, dsn: str
) -> None:
    """On Windows it can not look for clients that have vanished, and refuses every interval but 0."""
    configured(dsn, "DateStyle", "German")
    line.instead = b"'5s'", b"'-1'"
    new = ordered()
    with capture_logs() as said, trio.fail_after(30):
        async with opened(line.dsn) as journal:
            await journal.create(new)
            assert (await journal.load(new.id)).created_at == new.created_at
        async with open_connections(line.dsn, health=Health(), idle=0, most=1, patience=5) as connections:
            shown = await connections.transact(
                lambda connection: [connection.execute(f"show {name}").fetchall() for name in LAST], within=5
            )
    assert shown == [[("0",)], [("30s",)], [("ISO, DMY",)]]
    another = Keyring({1: b"\xa5" * 32, 2: b"\x5a" * 32}, current=2)
    assert await trio.to_thread.run_sync(reseal, line.dsn, another, lambda keys: None) == 1 + len(DEVICES)
    assert worried(said) == []


def test_what_is_set_for_the_journal_is_known_to_postgresql(dsn: str) -> None:
    """A name that is not, is passed over, for an older version may not know it."""
    with psycopg.connect(dsn) as connection:
        of_the_future = queries()["configure"].replace("'TimeZone'", "'time_zone'")
        known, fewer = (connection.execute(query) for query in (queries()["configure"], of_the_future))
        assert known.rowcount == fewer.rowcount + 1 == queries()["configure"].count("        ('")
        assert connection.execute(queries()["configure_client_check"]).rowcount == 1
