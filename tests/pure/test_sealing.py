"""Keys at rest, and the file of the master key."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from fuota.journal.keyfile import keyring, load_or_create, save, with_another
from fuota.journal.sealing import BadMasterKey, Keyring, Kind, NotOpened
from fuota.lorawan.eui import EUI64

DEPLOYMENT = UUID("6f1c3a52-9a0f-4c58-8a43-0d5b7f1f9b11")
DEVICE = EUI64.parse("70b3d50000000001")
KEY = bytes(range(16))
RING = Keyring.from_hex("a5" * 32)


def test_a_sealed_key_opens_for_its_owner() -> None:
    sealed = RING.seal(KEY, Kind.MC_ROOT_KEY, DEPLOYMENT, DEVICE)
    assert RING.open(sealed, Kind.MC_ROOT_KEY, DEPLOYMENT, DEVICE) == KEY
    assert sealed[0] == 1
    assert len(sealed) == 1 + 12 + 16 + 16
    assert KEY not in sealed


def test_a_key_is_sealed_differently_each_time() -> None:
    assert RING.seal(KEY, Kind.MC_KEY, DEPLOYMENT) != RING.seal(KEY, Kind.MC_KEY, DEPLOYMENT)


@pytest.mark.parametrize(
    ("kind", "deployment", "dev_eui"),
    [
        (Kind.MC_KEY, DEPLOYMENT, DEVICE),
        (Kind.MC_ROOT_KEY, UUID(int=1), DEVICE),
        (Kind.MC_ROOT_KEY, DEPLOYMENT, EUI64.parse("70b3d50000000002")),
        (Kind.MC_ROOT_KEY, DEPLOYMENT, None),
    ],
)
def test_a_key_that_was_moved_does_not_open(kind: Kind, deployment: UUID, dev_eui: EUI64 | None) -> None:
    sealed = RING.seal(KEY, Kind.MC_ROOT_KEY, DEPLOYMENT, DEVICE)
    with pytest.raises(NotOpened, match="another master key 1, or altered"):
        RING.open(sealed, kind, deployment, dev_eui)


@pytest.mark.parametrize("octet", [1, 13, 29, 44])
def test_a_key_that_was_altered_does_not_open(octet: int) -> None:
    sealed = bytearray(RING.seal(KEY, Kind.MC_KEY, DEPLOYMENT))
    sealed[octet] ^= 1
    with pytest.raises(NotOpened):
        RING.open(bytes(sealed), Kind.MC_KEY, DEPLOYMENT)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12)])
def test_what_is_too_short_does_not_open(sealed: bytes) -> None:
    with pytest.raises(NotOpened):
        RING.open(sealed, Kind.MC_KEY, DEPLOYMENT)


def test_the_master_key_that_sealed_is_named() -> None:
    old, new = bytes(32), bytes([1]) * 32
    sealed = Keyring({1: old}, current=1).seal(KEY, Kind.MC_KEY, DEPLOYMENT)
    both = Keyring({1: old, 2: new}, current=2)
    assert both.open(sealed, Kind.MC_KEY, DEPLOYMENT) == KEY
    assert both.seal(KEY, Kind.MC_KEY, DEPLOYMENT)[0] == 2
    with pytest.raises(NotOpened, match=r"master key 1, which is not at hand: .*key_file.*master_key"):
        Keyring({2: new}, current=2).open(sealed, Kind.MC_KEY, DEPLOYMENT)


def test_a_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "master.key"
    sealed = keyring(load_or_create(path)).seal(KEY, Kind.MC_KEY, DEPLOYMENT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]
    assert keyring(load_or_create(path)).open(sealed, Kind.MC_KEY, DEPLOYMENT) == KEY


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(BadMasterKey, match=f"mode {mode:04o}.; run chmod 600"):
        load_or_create(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "wanted 32 octets, got 0"),
        ("a5" * 16, "wanted 32 octets, got 16"),
        ("secret", "wanted 64 hexadecimal digits"),
        ("ä" * 64, "wanted 64 hexadecimal digits"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(BadMasterKey, match=told) as caught:
        load_or_create(path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_is_no_master_key(tmp_path: Path) -> None:
    with pytest.raises(BadMasterKey, match="Is a directory"):
        load_or_create(tmp_path)


def test_nor_is_a_pipe_which_would_be_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(BadMasterKey, match="/pipe must be a regular file"):
        load_or_create(tmp_path / "pipe")


def test_a_file_of_one_key_may_be_of_an_older_version(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    path.write_text("a5" * 32 + "\n")
    assert load_or_create(path) == {1: bytes.fromhex("a5" * 32)}


@pytest.mark.parametrize(
    ("text", "number"), [(f"2 {'a5' * 32}\n2 {'b6' * 32}", 2), (f"{'a5' * 32}\n01 {'b6' * 32}", 1)]
)
def test_two_keys_with_one_number_are_refused(tmp_path: Path, text: str, number: int) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(BadMasterKey) as caught:
        load_or_create(path)
    assert str(caught.value) == f"master key: there are two keys with the number {number}, in {path}"


def test_the_first_key_of_a_file_seals_and_all_of_them_open(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    old = load_or_create(path)
    save(path, with_another(old))
    both = load_or_create(path)
    assert list(both) == [2, 1]
    assert with_another(both) == both, "a rotation that was cut off goes on with the key that it had made"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]
    sealed = keyring(old).seal(KEY, Kind.MC_KEY, DEPLOYMENT)
    assert keyring(both).open(sealed, Kind.MC_KEY, DEPLOYMENT) == KEY
    assert keyring(both).seal(KEY, Kind.MC_KEY, DEPLOYMENT)[0] == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from fuota.journal import keyfile

os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
keyfile.save(Path(sys.argv[1]), {2: bytes(32), 1: bytes(32)})
"""


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("saved", [True, False])
def test_the_draft_of_who_was_killed_is_removed(tmp_path: Path, there: bool, saved: bool) -> None:
    path = tmp_path / "master.key"
    if there:
        load_or_create(path)
    (tmp_path / ".master.key.kept").touch()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".master.key.*"))) == 2
    if saved:
        save(path, {3: bytes(32)})
    else:
        load_or_create(path)
    assert {file.name for file in tmp_path.iterdir()} == {"master.key", ".master.key.kept"}


def test_the_draft_of_who_is_writing_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "master.key"
    load_or_create(path)
    drafts: list[int] = []

    def at_the_same_time(descriptor: int) -> None:
        monkeypatch.undo()
        load_or_create(path)
        save(path, {3: bytes(32)})
        drafts.append(len(list(tmp_path.glob(".master.key.*"))))

    monkeypatch.setattr("os.fsync", at_the_same_time)
    save(path, {2: bytes(32)})
    assert drafts == [1]
    assert load_or_create(path) == {2: bytes(32)}


def test_a_key_in_a_folder_that_is_for_reading_alone_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    keys = load_or_create(path)
    (tmp_path / ".master.key.00000000").touch()
    tmp_path.chmod(0o500)
    try:
        assert load_or_create(path) == keys
    finally:
        tmp_path.chmod(0o700)


def test_after_the_last_number_comes_the_first() -> None:
    assert list(with_another({255: bytes(32)})) == [1, 255]


@pytest.mark.parametrize("number", ["0", "256", "x", "-1"])
def test_a_key_with_another_number_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    path.write_text(f"{number} {'a5' * 32}\n")
    with pytest.raises(BadMasterKey, match="wanted a number from 1 to 255"):
        load_or_create(path)
