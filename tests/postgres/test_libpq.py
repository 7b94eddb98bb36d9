"""What of a dsn is refused without a connection, libpq would never take; and what it takes is not refused."""

import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from fuota.journal.postgres_dsn import WORDS, conninfo

MISSING = "No such file or directory"
"""Of the socket: libpq has found nothing wrong before it looks for it."""


def said(dsn: str) -> str:
    """By libpq, of a server on this machine that does not run."""
    nowhere = "/nowhere,/nowhere" if "," in dsn else "/nowhere"
    return pq.PGconn.connect_start(make_conninfo(dsn, host=nowhere).encode()).error_message.decode()


@pytest.mark.parametrize(
    "dsn",
    [
        "host=a,b port=5432,5433",
        "host=a,b port=,5433",
        "host=a port=' 5432 '",
        "port=''",
        "connect_timeout=-1 keepalives=0 tcp_user_timeout=1000",
    ],
)
def test_numbers_that_it_takes(dsn: str) -> None:
    assert MISSING in said(conninfo(dsn, {}))


@pytest.mark.parametrize("name", WORDS)
def test_words_that_it_takes(name: str) -> None:
    for word in WORDS[name]:
        assert "invalid" not in said(conninfo(f"{name}={word}", {}))
    for word in ("maybe", WORDS[name][0].upper(), "''"):
        assert f"invalid {name} value" in said(f"{name}={word}")
