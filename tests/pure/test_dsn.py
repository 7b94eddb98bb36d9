"""A dsn of the Go server, whose driver is lib/pq, means the same to libpq."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from fuota.config.settings import PostgreSQL
from fuota.database import place
from fuota.journal.postgres_dsn import OURS, BadDsn, conninfo

AT_HOME = {"host": "localhost"}


def meant(dsn: str, **environment: str) -> dict[str, object]:
    """To libpq, without what we add to every dsn."""
    given = dict(conninfo_to_dict(conninfo(dsn, environment)))
    return {name: value for name, value in given.items() if OURS.get(name) != value}


@pytest.mark.parametrize(
    ("dsn", "means"),
    [
        (
            "postgres://fuota:p%40ss@db.example:5433/fuota?sslmode=disable",
            {
                "user": "fuota",
                "password": "p@ss",
                "host": "db.example",
                "port": "5433",
                "dbname": "fuota",
                "sslmode": "disable",
            },
        ),
        ("postgresql://localhost/fuota", {"host": "localhost", "dbname": "fuota"}),
        ("postgres:///fuota?host=/var/run/postgresql", {"host": "/var/run/postgresql", "dbname": "fuota"}),
        ("user=fuota host=/run/pg dbname=fuota", {"user": "fuota", "host": "/run/pg", "dbname": "fuota"}),
        (r"host = db password = 'it\'s = a \\ '", {"host": "db", "password": "it's = a \\ "}),
        ("host=db connect_timeout=9", {"host": "db", "connect_timeout": "9"}),
        ("postgres://db/fuota?ssl=true", {"host": "db", "dbname": "fuota", "sslmode": "require"}),
        (
            "postgres://u:a?b@db/fuota",
            {"user": "u", "password": "a?b", "host": "db", "dbname": "fuota"},
        ),
        (
            "postgres://u:p@ss@db:5433/fuota",
            {"user": "u", "password": "p@ss", "host": "db", "port": "5433", "dbname": "fuota"},
        ),
        (
            "postgresql://u:p%40x,@@db/fuota?sslmode=disable",
            {"user": "u", "password": "p@x,@", "host": "db", "dbname": "fuota", "sslmode": "disable"},
        ),
        ("postgres://db/fuota?user=u@db", {"host": "db", "dbname": "fuota", "user": "u@db"}),
        ("postgres://db/a%40b", {"host": "db", "dbname": "a@b"}),
        ("host=@abstract password=p@ss", {"host": "@abstract", "password": "p@ss"}),
        ("postgres://%40abstract/fuota", {"host": "@abstract", "dbname": "fuota"}),
    ],
)
def test_what_libpq_knows_stays_as_it_is(dsn: str, means: dict[str, str]) -> None:
    assert meant(dsn) == means


@pytest.mark.parametrize("dsn", ["dbname=fuota", "dbname=fuota host=''", "postgres:///fuota"])
def test_without_a_host_it_is_localhost(dsn: str) -> None:
    assert meant(dsn) == {"dbname": "fuota"} | AT_HOME


@pytest.mark.parametrize(
    ("dsn", "environment"),
    [
        ("hostaddr=192.0.2.1", {}),
        ("service=fuota", {}),
        ("user=fuota", {"PGHOST": "/run/pg"}),
        ("user=fuota", {"PGHOSTADDR": "192.0.2.1"}),
        ("user=fuota", {"PGSERVICE": "fuota"}),
    ],
)
def test_a_host_that_is_said_otherwise_is_left_alone(dsn: str, environment: dict[str, str]) -> None:
    assert "host" not in meant(dsn, **environment)


@pytest.mark.parametrize(
    ("dsn", "options"),
    [
        ("search_path=fuota", "-c search_path=fuota"),
        (
            "search_path=fuota,public statement_timeout=5000",
            "-c search_path=fuota,public -c statement_timeout=5000",
        ),
        (r"search_path = 'fuota, it\'s'", r"-c search_path=fuota,\ it's"),
        (r"some.name='back\\slash'", r"-c some.name=back\\slash"),
        ("options='-c geqo=off' search_path=fuota", "-c geqo=off -c search_path=fuota"),
        ("postgres:///?search_path=fuota%2Cpublic&sslmode=disable", "-c search_path=fuota,public"),
        ("postgres:///?search_path=a,+b&options=-c%20geqo=off", r"-c geqo=off -c search_path=a,\ b"),
        ("postgres://u:a?b=c@db/?search_path=fuota", "-c search_path=fuota"),
    ],
)
def test_what_libpq_does_not_know_is_a_run_time_parameter(dsn: str, options: str) -> None:
    assert meant(dsn)["options"] == options


def test_those_of_the_environment_stay() -> None:
    assert (
        meant("search_path=fuota", PGOPTIONS="-c geqo=off")["options"] == "-c geqo=off -c search_path=fuota"
    )
    assert "options" not in meant("user=fuota", PGOPTIONS="-c geqo=off")


@pytest.mark.parametrize(
    "dsn",
    [
        "dbname=fuota binary_parameters=yes disable_prepared_binary_result=yes",
        "postgres:///fuota?binary_parameters=yes&disable_prepared_binary_result=yes",
    ],
)
def test_what_only_lib_pq_knows_is_left_out(dsn: str) -> None:
    assert meant(dsn) == {"dbname": "fuota"} | AT_HOME


@pytest.mark.parametrize(
    ("dsn", "right"),
    [
        ("sslmode=hush", "sslmode must be disable or allow or prefer or require or verify-ca or verify-full"),
        ("postgres://db/fuota?sslmode=hush", "sslmode must be disable or "),
        ("postgres://db:hush/fuota", "port must be a whole number from 1 to 65535"),
        ("postgres://fuota:hush/1@db/fuota", "port must be a whole number from 1 to 65535"),
        ("sslmode=''", "sslmode must be disable or "),
        ("postgres://u:p@x/hush@db/fuota", "in a URI, an @ in a name or a password is to be written %40"),
        ("postgres://u:5432/hush@db/fuota", "in a URI, an @ "),
        ("postgres://u:p@x?hush@db/fuota", "in a URI, an @ "),
        ("postgres://u:p?x@hush@db/fuota", "in a URI, an @ "),
        ("port=0", "port must be "),
        ("host=a,b port=5432,65536", "port must be "),
        ("connect_timeout=hush", "connect_timeout must be a whole number"),
        ("keepalives_idle=hush", "keepalives_idle must be a whole number"),
        ("target_session_attrs=hush", "target_session_attrs must be any or read-write or "),
        ("gssencmode=hush", "gssencmode must be disable or "),
        ("channel_binding=hush", "channel_binding must be disable or "),
    ],
)
def test_what_can_never_work_is_refused_and_not_shown(dsn: str, right: str) -> None:
    with pytest.raises(BadDsn) as refused:
        conninfo(dsn, {})
    said = str(refused.value)
    assert said.startswith(f"[postgresql] dsn: {right}")
    assert "hush" not in said


@pytest.mark.parametrize(
    "dsn",
    ["hush", "host=db hush", "password='hush", "postgres://%%%", "postgres://[hush/x?search_path=y"],
)
def test_what_is_no_dsn_is_refused_and_not_shown(dsn: str) -> None:
    with pytest.raises(BadDsn, match="neither a URI nor") as refused:
        conninfo(dsn, {})
    assert "hush" not in str(refused.value)


def test_where_the_database_is_is_told_and_nothing_else() -> None:
    dsn = "postgres://fuota:p%40ss@db.example:5433/fuota?sslmode=disable&passfile=/secret"
    assert place(PostgreSQL(dsn=dsn)) == "dbname=fuota host=db.example port=5433"
    assert place(PostgreSQL(data_dir=Path("/data"))) == "the embedded PostgreSQL in /data"
