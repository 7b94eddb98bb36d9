"""What is known of whoever holds the ownership, from what its row says."""

import os
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest

from fuota.journal import holder, postgres_ownership
from fuota.journal.holder import gone, shown, this_process
from tests.postgres.owners import opened, until


def another(pid: int) -> str:
    """A process of the place of this one."""
    return this_process().replace(holder.TOKEN, "0a").replace(f"process {os.getpid()}", f"process {pid}")


def test_who_is_known_to_have_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert not gone(another(other.pid))
        other.kill()
    assert gone(another(other.pid))
    assert gone("nobody")
    assert gone(another(os.getpid())), "it had the pid that is ours now"
    assert not gone(this_process())
    assert not gone(another(1)), "which is another user's, perhaps"


@pytest.mark.parametrize("what", ["gethostname", "BOOT", "NAMESPACE"])
def test_of_a_process_of_another_place_nothing_is_known(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither of one whose pid is ours nor of one whose pid nobody has here."""
    with subprocess.Popen(["true"]) as ended:
        pass
    processes = [another(os.getpid()), another(ended.pid)]
    assert all(map(gone, processes))
    if what == "gethostname":
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
    else:
        (tmp_path / "other").write_text("7a0c\n")
        monkeypatch.setattr(holder, what, tmp_path / "other")
    assert not any(map(gone, processes))


@pytest.mark.parametrize("what", ["BOOT", "NAMESPACE"])
def test_where_there_is_no_linux_nothing_is_known(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(holder, what, tmp_path / "missing")
    assert not gone(another(os.getpid()))
    assert shown(this_process()) == f"{socket.gethostname()}, process {os.getpid()}"


@pytest.mark.parametrize(
    "pid",
    [str(os.getpid()), "4194305", "0", "-1", "9" * 30, "", "x"],
    ids=["our", "huge", "none", "negative", "long", "empty", "odd"],
)
def test_of_a_row_of_an_earlier_version_or_a_strange_one_nothing_is_known(pid: str) -> None:
    here = socket.gethostname()
    assert not gone(f"{here}, process {pid}")
    assert not gone(f"{here} [], process {pid}")


def test_an_earlier_version_takes_it_for_a_process_of_another_host() -> None:
    """It looks for its host name before the last `, process `; what follows it would read as a number."""
    host, _, pid = this_process().rpartition(", process ")
    assert host != socket.gethostname()
    assert int(pid) == os.getpid()


def test_people_see_host_and_pid() -> None:
    assert shown(this_process()) == f"{socket.gethostname()}, process {os.getpid()}"
    for holder_of_old in ("nobody", "attic, process 12", "cellar [x], process 3"):
        assert shown(holder_of_old) == holder_of_old


async def test_ownership_that_was_given_to_us_unheard_is_taken_at_once(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was lost before the answer to what had made us the owner."""
    for name in ("RENEWAL", "TRY"):
        monkeypatch.setattr(postgres_ownership, name, 0.1)
    monkeypatch.setattr(postgres_ownership, "CERTAIN", 1000.0)
    async with opened(dsn) as journal:
        epoch = journal.ownership.epoch
        assert epoch is not None
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("update ownership set epoch = epoch + 1")
        await until(lambda: journal.ownership.epoch is None)
        journal.ownership.vacate()
        await until(lambda: journal.ownership.epoch == epoch + 2)
