"""A look at a cluster from outside."""

from pathlib import Path

import psycopg


def cluster(data_dir: Path) -> Path:
    [version] = data_dir.glob("*/PG_VERSION")
    return version.parent


def postmaster(data_dir: Path) -> int:
    return int((cluster(data_dir) / "postmaster.pid").read_text().split()[0])


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
