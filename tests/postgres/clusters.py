"""A look at a cluster from outside."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo


def cluster(data_dir: Path) -> Path:
    [version] = data_dir.glob("*/PG_VERSION")
    return version.parent


def postmaster(data_dir: Path) -> int:
    return int((cluster(data_dir) / "postmaster.pid").read_text().split()[0])


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


def value(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def database(cluster: str, encoding: str = "UTF8") -> Iterator[str]:
    """The connection string of an empty database, which is dropped afterwards."""
    create = "create database {} encoding {} lc_collate 'C' lc_ctype 'C' template template0"
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(sql.SQL(create).format(sql.Identifier(name), sql.Literal(encoding)))
        yield make_conninfo(cluster, dbname=name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def only_read(dsn: str) -> Iterator[None]:
    """New sessions can not write meanwhile, as when the database has become a replica."""
    writing = psycopg.connect(dsn, autocommit=True, options="-c default_transaction_read_only=off")
    with writing as connection:
        name = connection.info.dbname
        connection.execute(f"alter database {name} set default_transaction_read_only = on".encode())
        yield
        connection.execute(f"alter database {name} reset default_transaction_read_only".encode())


@contextmanager
def closed_to_newcomers(dsn: str) -> Iterator[None]:
    """New sessions are refused meanwhile."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections off".encode())
        yield
        connection.execute(f"alter database {name} allow_connections on".encode())


def master_keys(dsn: str) -> set[int]:
    """The numbers of those in use."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select get_byte(mc_key, 0) from deployment "
            "union select get_byte(mc_root_key, 0) from deployment_device"
        )
        return {number for (number,) in rows}
