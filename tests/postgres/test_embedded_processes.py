"""The processes of an embedded PostgreSQL: one server at a time, and every way to die."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from fuota.postgresql import DataDirectoryInUseError, PostgresqlStoppedError, open_postgresql
from fuota.postgresql.cluster import Account
from tests.postgres.clusters import cluster, execute, postmaster, value

SERVER = """
import pathlib, sys, trio
from fuota.postgresql import open_postgresql

async def main():
    async with open_postgresql(pathlib.Path(sys.argv[1])) as dsn:
        print(dsn, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def server_process(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of its own that runs PostgreSQL, and the connection string."""
    command = [sys.executable, "-c", SERVER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, next(line.strip() for line in process.stdout if line.startswith("host="))
        finally:
            process.kill()


@contextmanager
def process_of(account: Account) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], user=account.uid, group=account.gid) as stranger:
        try:
            yield stranger
        finally:
            stranger.kill()


async def test_a_second_server_on_the_directory_is_refused(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path, durable=False) as dsn:
        with pytest.raises(DataDirectoryInUseError) as raised:
            async with open_postgresql(tmp_path, durable=False):
                pass
        assert str(raised.value) == (
            f"{tmp_path} is in use by process {os.getpid()}: "
            "stop that, or set another [postgresql] data_dir or dsn"
        )
        assert value(dsn, "SELECT 1") == 1


async def test_a_second_server_in_another_process_is_refused(tmp_path: Path) -> None:
    with server_process(tmp_path) as (process, _), pytest.raises(DataDirectoryInUseError) as raised:
        async with open_postgresql(tmp_path):
            pass
    assert f"in use by process {process.pid}:" in str(raised.value)


async def test_killing_the_server_stops_postgresql_and_loses_nothing(tmp_path: Path) -> None:
    with server_process(tmp_path) as (process, dsn):
        execute(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
        process.kill()
        process.wait()
        # At once, while the orphan is still shutting down.
        async with open_postgresql(tmp_path) as dsn:
            assert value(dsn, "SELECT one FROM kept") == 1


async def test_killing_everything_at_once_loses_nothing(tmp_path: Path) -> None:
    with server_process(tmp_path) as (process, dsn):
        execute(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
        process.send_signal(signal.SIGSTOP)
        os.kill(postmaster(tmp_path), signal.SIGKILL)
        process.kill()
    async with open_postgresql(tmp_path) as dsn:
        assert value(dsn, "SELECT one FROM kept") == 1


async def test_a_stale_process_id_may_be_anyones_by_now(tmp_path: Path) -> None:
    """As after a crash of a container, whose processes get the same few numbers again and again."""
    async with open_postgresql(tmp_path, durable=False):
        pid_file = cluster(tmp_path) / "postmaster.pid"
        first, rest = pid_file.read_text().split("\n", 1)
    with process_of(Account.to_run_as()) as stranger:
        pid_file.write_text(f"{stranger.pid}\n{rest}")
        async with open_postgresql(tmp_path, durable=False) as dsn:
            assert value(dsn, "SELECT 1") == 1
            assert postmaster(tmp_path) not in (int(first), stranger.pid)
        assert stranger.poll() is None


async def test_the_death_of_postgresql_ends_the_block(tmp_path: Path) -> None:
    async def write_and_die() -> None:
        async with open_postgresql(tmp_path) as dsn:
            execute(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
            os.kill(postmaster(tmp_path), signal.SIGKILL)
            await trio.sleep_forever()

    with pytest.raises(PostgresqlStoppedError, match="PostgreSQL ended by signal 9"):
        await write_and_die()
    async with open_postgresql(tmp_path) as dsn:
        assert value(dsn, "SELECT one FROM kept") == 1
