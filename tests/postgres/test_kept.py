"""An embedded PostgreSQL that ends by itself is started again."""

import os
import shutil
import signal
from pathlib import Path

import psycopg
import pytest
import trio
from structlog.testing import capture_logs

from fuota.postgresql import PostgresqlStoppedError, keep_postgresql, open_postgresql, supervisor
from tests.postgres.clusters import cluster, execute, postmaster, value


async def until_it_answers(dsn: str, query: str) -> object:
    with trio.fail_after(60):
        while True:
            try:
                return value(dsn, query)
            except psycopg.OperationalError:
                await trio.sleep(0.05)


@pytest.mark.parametrize("name", ["data", "l" * 120])
async def test_one_that_is_kept_is_started_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often, and also when it is killed as soon as it runs."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    data_dir = tmp_path / name
    async with keep_postgresql(data_dir) as dsn:
        execute(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
        for _ in range(3):
            os.kill(postmaster(data_dir), signal.SIGKILL)
            assert await until_it_answers(dsn, "SELECT one FROM kept") == 1


def clean_up(data_dir: Path) -> None:
    """Remove what leads to it from /tmp, as systemd-tmpfiles does after ten days."""
    for link in Path("/tmp").glob("fuota-*/*"):
        if link.resolve().is_relative_to(data_dir):
            shutil.rmtree(link.parent)


@pytest.mark.parametrize("name", ["with, comma", "l" * 120])
async def test_what_cleans_up_in_tmp_does_not_cut_it_off(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    data_dir = tmp_path / name
    async with keep_postgresql(data_dir) as dsn:
        clean_up(data_dir)
        execute(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert await until_it_answers(dsn, "SELECT one FROM kept") == 1


async def test_one_that_is_kept_and_can_not_start_is_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk is full."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    async with keep_postgresql(tmp_path) as dsn:
        settings = cluster(tmp_path) / "postgresql.auto.conf"
        settings.write_text("wal_level = nonsense\n")
        with capture_logs() as said, trio.fail_after(60):
            os.kill(postmaster(tmp_path), signal.SIGKILL)
            while not any("exit status 1" in line.get("after", "") for line in said):  # noqa: ASYNC110  # it does not tell
                await trio.sleep(0.01)
        settings.write_text("")
        assert await until_it_answers(dsn, "SELECT 1") == 1


async def test_one_that_never_started_is_not_kept(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path, durable=False):
        pass
    (cluster(tmp_path) / "postgresql.auto.conf").write_text("wal_level = nonsense\n")

    async def keep() -> None:
        async with keep_postgresql(tmp_path):
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await keep()
    assert caught.group_contains(PostgresqlStoppedError, match="nonsense")
