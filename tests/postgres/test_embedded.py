"""The embedded PostgreSQL as its users meet it: first start, next start, and starts that fail."""

import resource
from pathlib import Path

import psycopg
import pytest
import trio
from structlog.testing import capture_logs

from fuota.postgresql import (
    EmbeddedPostgresqlError,
    PostgresqlStoppedError,
    binaries,
    child,
    open_postgresql,
    supervisor,
)
from fuota.postgresql import cluster as directory
from tests.postgres.clusters import cluster, execute, mode, value


def test_the_fixture_is_an_empty_database_with_hstore_at_hand(dsn: str) -> None:
    execute(dsn, "CREATE EXTENSION hstore")
    assert value(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_who_stays_connected_is_not_waited_for_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (polite, _), *others = child.WAYS_TO_STOP
    monkeypatch.setattr(child, "WAYS_TO_STOP", [(polite, 0.1), *others])
    with capture_logs() as said, trio.fail_after(10):
        async with open_postgresql(tmp_path, durable=False) as dsn:
            connection = psycopg.connect(dsn)
    with connection, pytest.raises(psycopg.OperationalError, match="administrator command"):
        connection.execute("SELECT 1")
    worried = [line["event"] for line in said if line["log_level"] == "warning"]
    assert worried == ["terminating connection due to administrator command"]


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


@pytest.mark.parametrize("opened", [0o2770, 0o755])
async def test_a_cluster_that_somebody_has_opened_to_others_is_closed_again(
    opened: int, tmp_path: Path
) -> None:
    """As Kubernetes does at each mount of a volume, to the group of `fsGroup`; PostgreSQL would not start."""
    async with open_postgresql(tmp_path, durable=False):
        pass
    cluster(tmp_path).chmod(opened)
    async with open_postgresql(tmp_path, durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1
        assert mode(cluster(tmp_path)) == 0o700


async def test_a_cluster_that_its_group_may_read_stays_so(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path, durable=False):
        pass
    cluster(tmp_path).chmod(0o750)
    async with open_postgresql(tmp_path, durable=False) as dsn:
        assert value(dsn, "SHOW data_directory_mode") == "0750"


@pytest.mark.parametrize("name", ["with space", "with, comma", r"it's a \ slash", "l" * 120])
async def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    async with open_postgresql(tmp_path / name, durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1


async def test_a_long_path_needs_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "PROCESSES", tmp_path / "absent")
    async with open_postgresql(tmp_path / ("l" * 120), durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1


async def test_a_relative_path_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_postgresql(Path("data"), durable=False) as dsn:
        assert value(dsn, "SELECT 1") == 1
    assert (tmp_path / "data").is_dir()


async def test_a_postgresql_that_does_not_start_tells_its_last_words(tmp_path: Path) -> None:
    async with open_postgresql(tmp_path, durable=False):
        pass
    (cluster(tmp_path) / "postgresql.auto.conf").write_text("wal_level = nonsense\n")
    with pytest.raises(PostgresqlStoppedError, match=r'exit status 1; .*wal_level.*"nonsense"') as raised:
        async with open_postgresql(tmp_path, durable=False):
            pass
    assert "\n" not in str(raised.value)


async def test_an_initdb_that_fails_tells_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        supervisor, "INITDB_OPTIONS", [*supervisor.INITDB_OPTIONS, "--set=wal_level=nonsense"]
    )
    with pytest.raises(PostgresqlStoppedError, match=r'exit status 1; .*wal_level.*"nonsense"') as raised:
        async with open_postgresql(tmp_path, durable=False):
            pass
    assert "\n" not in str(raised.value)
    assert "creating subdirectories" not in str(raised.value)


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


def test_a_directory_that_nothing_can_be_written_to_is_named(tmp_path: Path) -> None:
    """As on a full disk, where files can be made as long as they are empty."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        told = rf"can not keep a database in {tmp_path} \(\[postgresql\] data_dir\): .*File too large"
        with pytest.raises(EmbeddedPostgresqlError, match=told), directory.claim(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_pg_bin_names_other_binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = binaries.find_binaries()
    monkeypatch.setenv("PG_BIN", str(wheel.directory))
    assert binaries.find_binaries() == wheel
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(EmbeddedPostgresqlError, match=f"no PostgreSQL that runs in {tmp_path}"):
        async with open_postgresql(tmp_path):
            pass
