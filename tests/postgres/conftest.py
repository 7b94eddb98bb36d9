"""Deployments to write, and a PostgreSQL that can be cut off."""

import hashlib
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import attrs
import pytest
import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fuota.deployment import states as deployment
from fuota.deployment.plan import MulticastClass, Plan, StatusRequest
from fuota.device import states as device
from fuota.health import Health
from fuota.journal import postgres_ownership, postgres_session
from fuota.journal.port import LogRow, NewDeployment, NewDevice
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from fuota.journal.sql import queries
from fuota.lorawan.eui import EUI64

FIRMWARE = bytes(range(256))
T0 = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.from_hex("a5" * 32)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def journal(line: Any, keyring: Keyring, health: Health) -> AsyncIterator[PostgresJournal]:
    """With little patience: what waits for the database is soon refused."""
    async with PostgresJournal.open(line.dsn, keyring=keyring, health=health, patience=1.0) as journal:
        yield journal


@pytest.fixture(params=["its own", "another's"])
def whose_id(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose transaction has the id of the one whose outcome was not heard: a standby gives it to another."""
    if request.param == "another's":
        monkeypatch.setitem(queries(), "transaction_status", "select 'committed' where %s > 0")


@pytest.fixture
def order() -> Callable[[int], NewDeployment]:
    """A new deployment with so many devices."""

    def order(devices: int) -> NewDeployment:
        return NewDeployment(
            id=uuid4(),
            plan=Plan(
                application_id="12",
                mc_class=MulticastClass.C,
                mc_group_id=1,
                mc_addr=0x01020304,
                frequency=869_525_000,
                dr=5,
                time_out=6,
                periodicity=0,
                unicast_timeout=timedelta(seconds=10),
                unicast_attempts=3,
                frag_index=2,
                frag_size=50,
                redundancy=10,
                frag_algo=0,
                block_ack_delay=0,
                descriptor=bytes(4),
                status_request=StatusRequest.AFTER_SESSION_TIMEOUT,
                firmware_size=len(FIRMWARE),
                firmware_sha256=hashlib.sha256(FIRMWARE).digest(),
            ),
            mc_key=bytes(range(16)),
            firmware=FIRMWARE,
            devices=[
                NewDevice(dev_eui=EUI64(number.to_bytes(8)), mc_root_key=bytes(16))
                for number in range(1, devices + 1)
            ],
            created_at=T0,
            state=deployment.CreatingGroup(),
            device_state=device.Waiting(),
        )

    return order


@pytest.fixture
def log() -> Callable[[NewDeployment, int], LogRow]:
    """A row of the log, of the device with that place in the deployment."""

    def log(new: NewDeployment, place: int) -> LogRow:
        return LogRow(
            deployment_id=new.id,
            dev_eui=new.devices[place].dev_eui,
            created_at=T0,
            f_port=200,
            command="McGroupSetupReq",
            fields={"mc_group_id": "1"},
        )

    return log


VERSION = re.compile(rb"(server_version\0)([^\0]+)")

STEP = 100
"""Octets that come at once over a slow line."""


@attrs.define
class Line:
    """The way to a PostgreSQL, and what goes wrong on it."""

    dsn: str
    dead: bool = False
    """New connections are closed at once."""
    frozen: bool = False
    """Nothing reaches PostgreSQL any more, and nobody is told, not even that PostgreSQL has hung up."""
    swallowed: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Something was asked while the line was frozen."""
    lost: bytes | None = None
    """Requests with these octets do not reach PostgreSQL, and nobody is told."""
    cut_before: bytes | None = None
    """The next request with these octets does not reach PostgreSQL: its connection ends."""
    cut_after: bytes | None = None
    """The next request with these octets reaches PostgreSQL, but its connection ends without the answer."""
    dies: bool = False
    """After that, the line is dead."""
    version: bytes | None = None
    """What PostgreSQL calls its version; no longer than its own."""
    speed: float = math.inf
    """Octets of PostgreSQL's answers in a second."""
    carried: int = attrs.field(default=0, init=False)
    """Octets of PostgreSQL's answers so far."""
    instead: tuple[bytes, bytes] = (b"", b"")
    """What PostgreSQL is asked in the place of something else; as long as that."""
    _streams: list[trio.abc.Stream] = attrs.field(factory=list, init=False)

    async def cut(self) -> None:
        """All connections end."""
        streams, self._streams = self._streams, []
        with trio.CancelScope(shield=True):  # one of them may be that of the caller
            for stream in streams:
                await trio.aclose_forcefully(stream)

    def _renamed(self, said: re.Match[bytes]) -> bytes:
        own = said[2]
        return said[1] + (own if self.version is None else self.version.ljust(len(own)))

    async def _tell(self, client: trio.SocketStream, reply: bytes) -> None:
        step = STEP if self.speed < math.inf else len(reply)
        for begin in range(0, len(reply), step):
            part = reply[begin : begin + step]
            await trio.sleep(len(part) / self.speed)
            await client.send_all(part)
            self.carried += len(part)

    async def carry(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        """One connection."""
        unanswered = trio.Event()

        async def ask() -> None:
            async for request in client:
                if self.cut_before and self.cut_before in request:
                    self.cut_before = None
                    return
                if self.cut_after and self.cut_after in request:
                    self.cut_after = None
                    unanswered.set()
                if self.frozen or (self.lost and self.lost in request):
                    self.swallowed.set()
                else:
                    await server.send_all(request.replace(*self.instead))

        async def answer() -> None:
            async for reply in server:
                if unanswered.is_set():
                    if self.dies:
                        self.dead = True
                        await self.cut()
                    return
                await self._tell(client, VERSION.sub(self._renamed, reply))
            if self.frozen:
                await trio.sleep_forever()

        async def until_it_ends(pump: Callable[[], Awaitable[None]]) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await pump()
            nursery.cancel_scope.cancel()

        self._streams += [client, server]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_it_ends, ask)
            nursery.start_soon(until_it_ends, answer)


@pytest.fixture
async def line(dsn: str, nursery: trio.Nursery) -> Line:
    """To the database of the test."""
    where = conninfo_to_dict(dsn)
    path = f"{where['host']}/.s.PGSQL.{where.get('port', 5432)}"
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    line = Line(make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"))

    async def connect(client: trio.SocketStream) -> None:
        async with client, await trio.open_unix_socket(path) as server:
            if not line.dead:
                await line.carry(client, server)

    nursery.start_soon(trio.serve_listeners, connect, listeners)
    return line


@pytest.fixture
def a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all that has to do with ownership, in the same proportions."""
    monkeypatch.setattr(postgres_session, "WITHIN", postgres_session.WITHIN / 10)
    for name in ("RENEWAL", "CERTAIN", "FROZEN", "TRY"):
        monkeypatch.setattr(postgres_ownership, name, getattr(postgres_ownership, name) / 10)
