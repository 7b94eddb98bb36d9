"""For how long nothing has been heard of an owner: a server that runs the deployments is seen in its row.

The database's clock may be set while somebody waits, or be another one after a failover. So who can watch the
row measures by a clock of its own for how long it has been the same.
"""

import math
from time import sleep
from typing import Any

import attrs
import trio

from fuota.journal.holder import gone
from fuota.journal.postgres_held import Connection
from fuota.journal.sql import queries

Row = tuple[int, str, str]
"""The epoch, the holder, and when that was seen last, by the database's clock."""


@attrs.define
class Watch:
    """Of a server that stands by."""

    unchanged: float = attrs.field(default=0.0, init=False)
    """Seconds for which the row was the same when it was seen last, by our clock."""
    silent: float = attrs.field(default=0.0, init=False)
    """The same; while the first row stands that was seen, with what the database's clock said of it then."""
    _row: Row | None = attrs.field(default=None, init=False)
    _since: float = attrs.field(default=0.0, init=False)
    _before: float = attrs.field(default=0.0, init=False)

    def see(self, row: Row, silent: float) -> None:
        """`silent`: seconds since the holder was seen last, by the database's clock."""
        now = trio.current_time()
        if row != self._row:
            self._before = max(silent, 0.0) if self._row is None else 0.0
            self._row, self._since = row, now
        self.unchanged = now - self._since
        self.silent = self._before + self.unchanged


def look(connection: Connection, pause: float) -> tuple[int, str, str, float]:
    """The row and for how many seconds its holder is silent, for who does not watch.

    In a transaction that sees what others commit. A time to come says that the clock was set back: then it is
    the row after a `pause` in seconds that tells whether anybody is there, by being another.
    """
    epoch, holder, seen_at, silent = _row(connection)
    if silent >= 0 or gone(holder):
        return epoch, holder, seen_at, silent
    sleep(pause)
    *again, _ = _row(connection)
    return *again, math.inf if again == [epoch, holder, seen_at] else 0.0


def _row(connection: Connection) -> tuple[Any, ...]:
    [row] = connection.execute(queries()["select_ownership"]).fetchall()
    return row
