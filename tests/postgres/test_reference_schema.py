"""The schema of the ChirpStack FUOTA Server is taken over, read, given back, or refused."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fuota.deployment.states import Ended
from fuota.device.states import Complete
from fuota.health import Health
from fuota.journal.migrations import SchemaMismatch
from fuota.journal.port import LogRow, Milestone, NewDeployment
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from fuota.journal.sql import migrations
from tests.postgres.schemas import (
    BEGIN,
    CATALOG,
    DEVICE,
    END,
    OLD,
    OLD_ROWS,
    OURS,
    REFERENCE,
    brought_up,
    fill,
    run,
)

DOCS = Path(__file__).parents[2] / "docs"


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
