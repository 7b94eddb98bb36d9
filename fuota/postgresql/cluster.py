"""The data directory on disk: who may use it, who owns it, what a crash left in it.

data_dir/server.lock      held by the one server that uses the directory
data_dir/postgresql.lock  held by every process of PostgreSQL, so free only when the last of them is gone
data_dir/18/              the cluster of PostgreSQL 18
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from fuota.postgresql.errors import DataDirectoryInUseError, EmbeddedPostgresqlError

SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100  # sun_path holds 104 octets on the BSDs, 108 on Linux
PROCESSES = Path("/proc")


@attrs.frozen
class Account:
    """The user that PostgreSQL runs as."""

    uid: int
    gid: int

    @classmethod
    def to_run_as(cls) -> "Account":
        """Ourselves; for root, whom PostgreSQL refuses, `nobody`."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)


@contextlib.contextmanager
def claim(data_dir: Path) -> Iterator[Path]:
    """Keeps every other server away from the directory, which is made if need be; gives its absolute path.

    Raises DataDirectoryInUseError at once when another one is there.
    """
    data_dir = data_dir.absolute()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = lock_file(data_dir / "server.lock")
    except OSError as error:
        raise _unusable(data_dir, error) from error
    if lock is None:
        raise DataDirectoryInUseError(data_dir, f"process {(data_dir / 'server.lock').read_text().strip()}")
    try:
        try:
            os.ftruncate(lock, 0)
            os.write(lock, b"%d\n" % os.getpid())
        except OSError as error:
            raise _unusable(data_dir, error) from error
        yield data_dir
    finally:
        os.close(lock)


def _unusable(data_dir: Path, error: OSError) -> EmbeddedPostgresqlError:
    return EmbeddedPostgresqlError(f"can not keep a database in {data_dir} ([postgresql] data_dir): {error}")


def lock_file(path: Path) -> int | None:
    """An open file descriptor that holds the lock, or None when another process holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


HALF_MADE = ".new"
"""Ends the name of a cluster until it is complete; one that was left so is made anew."""


def refuse_other_versions(data_dir: Path, major: int) -> None:
    """An update of PostgreSQL must not look like a database that lost everything."""
    if (data_dir / str(major)).exists():
        return
    clusters = (version.parent.name for version in data_dir.glob("[0-9]*/PG_VERSION"))
    others = sorted(name for name in clusters if not name.endswith(HALF_MADE))
    if others:
        raise EmbeddedPostgresqlError(
            f"{data_dir} holds data of PostgreSQL {', '.join(others)}, but the binaries are "
            f"PostgreSQL {major}: bring it over with pg_upgrade, or set PG_BIN to the older binaries"
        )


def empty_directory(path: Path, account: Account) -> None:
    """Makes the directory anew, open to the account alone."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    os.chown(path, account.uid, account.gid)


def close_to_others(cluster: Path, account: Account) -> None:
    """Takes from others what PostgreSQL refuses to start with: all that is more than the group's reading.

    With `fsGroup`, Kubernetes opens the directory to a group each time that it mounts the volume.
    """
    status = cluster.stat()
    if status.st_uid == account.uid and status.st_mode & 0o027:
        cluster.chmod(0o700)


def forget_crash(cluster: Path) -> None:
    """Removes the process ids that a killed PostgreSQL left: by now they may be anyone's.

    Only for who holds postgresql.lock, and so knows that none of its processes lives.
    """
    for name in ("postmaster.pid", f"{SOCKET}.lock", SOCKET):
        (cluster / name).unlink(missing_ok=True)


@contextlib.contextmanager
def address(cluster: Path) -> Iterator[str]:
    """The connection string of the socket in the cluster's own directory."""
    with contextlib.ExitStack() as stack:
        host = cluster
        # libpq takes a comma for the next host; a socket address has little room: both get a short way round.
        if "," in str(cluster) or len(os.fsencode(cluster / SOCKET)) > LONGEST_SOCKET_PATH:
            host = stack.enter_context(_short_way(cluster.parent)) / cluster.name
        quoted = str(host).replace("\\", r"\\").replace("'", r"\'")
        yield f"host='{quoted}' port=5432 user=fuota dbname=postgres"


@contextlib.contextmanager
def _short_way(directory: Path) -> Iterator[Path]:
    """Linux has one by an open directory, which nobody can take away. What is in /tmp, others clean up."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        way = PROCESSES / f"{os.getpid()}/fd/{descriptor}"
        if way.exists():
            yield way
        else:
            with tempfile.TemporaryDirectory(prefix="fuota-", dir="/tmp") as short:
                link = Path(short, "data")
                link.symlink_to(directory)
                yield link
    finally:
        os.close(descriptor)
