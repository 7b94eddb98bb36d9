"""The file of the master key: one line of 64 hexadecimal digits, or several while the key is being changed.

    2 5f1c…
    1 a5d0…

A line begins with the number of its key; without one it is number 1. The first key seals, all of them open.
"""

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fuota.journal.sealing import MASTER_KEY_SIZE, BadMasterKey, Keyring


def load_or_create(path: Path) -> dict[int, bytes]:
    """The keys in the file, in their order; without one, a random key is written there, for its owner alone.

    Raises `BadMasterKey`.
    """
    _remove_drafts(path)
    try:
        if not path.exists():
            _write(path, {1: new_key()}, over=False)
        mode = path.stat().st_mode
        # a pipe would be waited for; a directory says itself what it is
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise BadMasterKey(f"master key: {path} must be a regular file")
        text = path.read_text("ascii", errors="replace")
    except OSError as error:
        raise BadMasterKey(f"master key: {error}") from error
    if mode & 0o077:
        raise BadMasterKey(
            f"master key: others may use {path} (mode {mode & 0o777:04o}); run chmod 600 {path}"
        )
    try:
        return _keys(text)
    except BadMasterKey as error:
        raise BadMasterKey(f"{error}, in {path}") from None


def save(path: Path, keys: Mapping[int, bytes]) -> None:
    """Put these keys in the place of those in the file: whole, or not at all. Raises `BadMasterKey`."""
    _remove_drafts(path)
    try:
        _write(path, keys, over=True)
    except OSError as error:
        raise BadMasterKey(f"master key: {error}") from error


def new_key() -> bytes:
    return secrets.token_bytes(MASTER_KEY_SIZE)


def with_another(keys: Mapping[int, bytes]) -> dict[int, bytes]:
    """A new key before the one there is; if there are two already, these."""
    if len(keys) > 1:
        return dict(keys)
    [number] = keys
    return {number % 255 + 1: new_key(), **keys}


def keyring(keys: Mapping[int, bytes]) -> Keyring:
    return Keyring(keys, current=next(iter(keys)))


def _keys(text: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for number, key in map(_key, text.strip().split("\n")):
        if keys.setdefault(number, key) != key:
            raise BadMasterKey(f"master key: there are two keys with the number {number}")
    return keys


def _key(line: str) -> tuple[int, bytes]:
    number, _, digits = line.rpartition(" ")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        # The text stays out of the message: most of it may be right.
        raise BadMasterKey("master key: wanted 64 hexadecimal digits") from None
    if len(key) != MASTER_KEY_SIZE:
        raise BadMasterKey(f"master key: wanted {MASTER_KEY_SIZE} octets, got {len(key)}")
    if number and not (number.isdecimal() and 1 <= int(number) <= 255):
        raise BadMasterKey("master key: wanted a number from 1 to 255 before a key")
    return int(number or 1), key


def _write(path: Path, keys: Mapping[int, bytes], *, over: bool) -> None:
    """Not `over` a file that another process has written meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with _locked(path.parent, fcntl.LOCK_SH) as folder:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.writelines(f"{number} {key.hex()}\n" for number, key in keys.items())
                file.flush()
                os.fsync(file.fileno())
            if over:
                draft.replace(path)
            else:
                try:
                    os.link(draft, path)
                except FileExistsError:
                    return
            os.fsync(folder)
        finally:
            draft.unlink(missing_ok=True)


def _remove_drafts(path: Path) -> None:
    """Those of processes that were killed while they wrote: there are keys in them.

    Whoever writes has the folder locked until its draft is gone, and such a lock ends with its process: when
    nobody has one, nobody will miss a draft.
    """
    with suppress(OSError), _locked(path.parent, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for file in path.parent.iterdir():
            if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}", file.name):
                file.unlink()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[int]:
    """The folder's descriptor. To share it needs no lock where there are none, as on some networks' disks;
    to have it alone does. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, how)
        except OSError:
            if how != fcntl.LOCK_SH:
                raise
        yield descriptor
    finally:
        os.close(descriptor)
