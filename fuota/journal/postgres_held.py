"""A connection to PostgreSQL while a transaction has it, and how that is made to end in time."""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]


class Held:
    """The connection of a transaction under way, and when that must be over."""

    def __init__(self, within: float) -> None:
        self._within = within
        self._deadline = math.inf
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def holding(self, connection: Connection) -> Iterator[None]:
        with self._lock:
            self._connection = connection
            self._deadline = time.monotonic() + self._within
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def hurry(self, within: float) -> None:
        """Have it end soon, or once it has its connection."""
        with self._lock:
            self._within = min(self._within, within)
            self._deadline = min(self._deadline, time.monotonic() + within)

    def cut_if_overdue(self) -> None:
        """The thread that waits for the database gets an error instead of an answer."""
        with self._lock, suppress(OSError, psycopg.OperationalError):
            if self._connection is not None and self._deadline < time.monotonic():
                with socket.socket(fileno=os.dup(self._connection.fileno())) as connected:
                    connected.shutdown(socket.SHUT_RDWR)
