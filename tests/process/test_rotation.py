"""`fuota rotate-master-key`: also when it is cut off, and never beside a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from fuota.config.settings import PostgreSQL, Secrets, Settings
from fuota.database import rotate_master_key
from fuota.journal import keyfile, rotation
from fuota.journal.sealing import NotOpened
from fuota.simulation.behaviour import Behaviour
from tests.postgres.clusters import master_keys
from tests.process.live import Installation, Site, quick
from tests.process.test_cli import fuota

DEVICES = 25


@pytest.fixture
async def installed(tmp_path: Path, dsn: str, official_client: Any) -> Installation:
    """With a deployment under way, whose keys are in the database, and no server."""
    made = Installation.make(
        tmp_path, {"postgresql": {"dsn": dsn}, "application_server.api": {"server": "127.0.0.1:1"}}
    )
    made.tables["secrets"] = {"key_file": str(tmp_path / "master.key")}
    async with made.serving() as running, official_client(running.api) as client:
        await Site(running, client).create(quick([Behaviour()] * DEVICES))
        assert await running.stop() == 0
    return made


def rotated(installation: Installation) -> tuple[int, str]:
    installation.command()  # writes the file
    answer = fuota("rotate-master-key", "-c", "fuota.toml", cwd=installation.folder)
    return answer.returncode, answer.stdout + answer.stderr


async def resumes(installation: Installation) -> bool:
    """Whether a server can open every key."""
    async with installation.serving() as running:
        tree = await running.look("debug/actors?path=/deployments&depth=3")
        [deployment] = tree["children"]
        assert await running.stop() == 0
        return len(deployment["children"]) == DEVICES


async def test_everything_is_sealed_with_another_key(installed: Installation, dsn: str) -> None:
    path = installed.folder / "master.key"
    old = path.read_text()
    assert master_keys(dsn) == {1}
    code, said = await trio.to_thread.run_sync(rotated, installed)
    assert (code, said.splitlines()[-1]) == (0, f"done: {DEVICES + 1} keys; the master key is in {path}")
    assert master_keys(dsn) == {2}
    assert list(keyfile.load_or_create(path)) == [2]
    assert path.stat().st_mode & 0o777 == 0o600
    assert await resumes(installed)
    path.write_text(old)
    code, said = await installed.refused()
    assert code == 1
    assert "sealed with master key 2, which is not at hand" in said


async def test_not_while_a_server_runs(installed: Installation, dsn: str) -> None:
    async with installed.serving() as running:
        code, said = await trio.to_thread.run_sync(rotated, installed)
        assert (code, said) == (1, "fuota: A server runs the deployments of this database: stop it first\n")
        assert await running.stop() == 0
    assert master_keys(dsn) == {1}
    assert await resumes(installed)


class CutOff(Exception):
    """Where the process might have ended."""


@pytest.mark.parametrize("batches", [1, 2, 4])
async def test_cut_off_it_goes_on_with_the_same_key(
    batches: int, installed: Installation, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a server that is started in between works."""
    monkeypatch.setattr(rotation, "BATCH", 10)
    path = installed.folder / "master.key"
    settings = Settings(postgresql=PostgreSQL(dsn=dsn), secrets=Secrets(key_file=path))
    with pytest.raises(CutOff):
        await rotate_master_key(settings, cut_off_after(batches))
    both = keyfile.load_or_create(path)
    assert list(both) == [2, 1]
    assert await resumes(installed)
    assert await rotate_master_key(settings, lambda keys: None) < DEVICES + 1
    assert master_keys(dsn) == {2}
    assert keyfile.load_or_create(path) == {2: both[2]}
    assert await resumes(installed)


def cut_off_after(batches: int) -> Callable[[int], None]:
    left = batches

    def told(keys: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise CutOff

    return told


async def test_from_a_key_in_the_configuration_to_one_in_the_file(
    tmp_path: Path, dsn: str, official_client: Any
) -> None:
    made = Installation.make(
        tmp_path, {"postgresql": {"dsn": dsn}, "application_server.api": {"server": "127.0.0.1:1"}}
    )
    made.tables["secrets"] = {"key_file": str(tmp_path / "master.key"), "master_key": "ab" * 32}
    async with made.serving() as running, official_client(running.api) as client:
        await Site(running, client).create(quick([Behaviour()] * DEVICES))
        assert await running.stop() == 0
    code, said = await trio.to_thread.run_sync(rotated, made)
    assert code == 0
    assert said.endswith("now take [secrets] master_key out of the configuration\n")
    code, said = await made.refused()
    assert code == 1, NotOpened.__doc__
    assert "master key 2, which is not at hand" in said
    del made.tables["secrets"]["master_key"]
    assert await resumes(made)


async def test_a_key_of_the_file_is_put_into_the_configuration(installed: Installation, dsn: str) -> None:
    """With its number, which what it has sealed says; and the key after it has the next."""
    path, secrets = installed.folder / "master.key", installed.tables["secrets"]
    code, _ = await trio.to_thread.run_sync(rotated, installed)
    assert code == 0
    secrets["master_key"] = path.read_text().rpartition(" ")[2].strip()
    code, said = await trio.to_thread.run_sync(rotated, installed)
    assert code == 1
    assert "has the number 2: write that and a space before it" in said
    assert list(keyfile.load_or_create(path)) == [2]
    secrets["master_key"] = path.read_text()
    path.unlink()
    assert await resumes(installed)
    assert not path.exists()
    code, said = await trio.to_thread.run_sync(rotated, installed)
    assert (code, list(keyfile.load_or_create(path))) == (0, [3])
    assert master_keys(dsn) == {3}
    del secrets["master_key"]
    assert await resumes(installed)


async def test_another_key_file_is_not_written_over(tmp_path: Path, dsn: str) -> None:
    made = Installation.make(tmp_path, {"postgresql": {"dsn": dsn}})
    made.tables["secrets"] = {"key_file": str(tmp_path / "master.key"), "master_key": "ab" * 32}
    keyfile.load_or_create(tmp_path / "master.key")
    code, said = await trio.to_thread.run_sync(rotated, made)
    assert (code, said.count("\n")) == (1, 1)
    assert "holds another than [secrets] master_key: move it away" in said
