"""What can be wrong with the embedded PostgreSQL."""

from collections.abc import Iterable
from pathlib import Path


class EmbeddedPostgresqlError(Exception):
    """The embedded PostgreSQL can not be used; the message says why and what would help."""


class DataDirectoryInUseError(EmbeddedPostgresqlError):
    """Another server runs on the same data directory."""

    def __init__(self, data_dir: Path, owner: str) -> None:
        super().__init__(
            f"{data_dir} is in use by {owner}: stop that, or set another [postgresql] data_dir or dsn"
        )


class PostgresqlStoppedError(EmbeddedPostgresqlError):
    """PostgreSQL ended although nobody here asked it to; the message is one line."""

    def __init__(self, returncode: int, last_lines: Iterable[str]) -> None:
        how = f"by signal {-returncode}" if returncode < 0 else f"with exit status {returncode}"
        self.ending = f"PostgreSQL ended {how}"
        words = "; ".join(last_lines)
        super().__init__(f"{self.ending}; its last words: {words}" if words else self.ending)
