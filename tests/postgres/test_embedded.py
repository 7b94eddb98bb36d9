"""The embedded PostgreSQL as its users meet it."""

import psycopg


def test_dsn_is_an_empty_database_with_hstore_at_hand(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE EXTENSION hstore")
        [tables] = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() or (None,)
    assert tables == 0
