"""Ownership of the deployments in PostgreSQL.

The owner holds an advisory lock with a session of its own. Beside it stands a row with the epoch and the time
at which the owner was last seen: every transaction that writes asks for its epoch (`begin_writing`).

    owner       may act for CERTAIN seconds from the beginning of its last renewal, and not once its session
                has ended; then it is in doubt until it has the lock again, with the epoch it had
    standby     takes the lock when it is free and the owner has gone, or was not seen for CERTAIN seconds:
                that its session has ended is no proof that it knows. After FROZEN seconds it ends that
                session. The epoch then grows, and what the other still wanted to write is refused

Each counts on a clock of its own, so the owner has stopped acting before another begins, also when it can not
hear of it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
import structlog
import trio

from fuota.journal.holder import gone, shown
from fuota.journal.port import Unavailable
from fuota.journal.postgres_session import Session
from fuota.journal.sealing import NotOpened
from fuota.journal.silence import Row, Watch
from fuota.ownership import Ownership, Tenure

log = structlog.get_logger(__name__)

LOCK = int.from_bytes(b"owner")
"""Of the advisory lock, of whose key the table is the rest."""

MASTER_KEY = 1_000_000_000
"""An epoch grows to the next multiple when the master key is changed: who began before has the old one."""

RENEWAL = 2.0
CERTAIN = 10.0
FROZEN = 20.0
TRY = 1.0
"""Seconds: between two renewals, and between two attempts of a standby; see above."""

RELEASE = 1.0
"""Seconds that the end waits for the database to note it."""


class Claimant:
    """Gains ownership for this server, keeps it, and says so to `ownership`."""

    def __init__(self, dsn: str, ownership: Ownership, fit: Callable[[], Awaitable[None]]) -> None:
        """`fit` raises what keeps this server from running the deployments; it ends `run`."""
        self.decided = trio.Event()
        """Whose the deployments are is known."""
        self._dsn = dsn
        self.ownership = ownership
        self._fit = fit
        self._name = ownership.tenure.holder
        self._watch = Watch()
        self._stood_by = False
        self._began: int | None = None

    async def run(self) -> None:
        """Raises `NotOpened` when the master key has been changed meanwhile, and what `fit` raises."""
        while True:
            try:
                async with Session.open(self._dsn) as session:
                    while not await self._claim(session):
                        self.decided.set()
                        await trio.sleep(TRY)
                    self.decided.set()
                    await self._hold(session)
            except Unavailable as error:
                self.ownership.doubt(str(error))
                await trio.sleep(TRY)

    async def _claim(self, session: Session) -> bool:
        """Whether this server is the owner now."""
        [(epoch, holder, seen_at, silent)] = await session.ask("select_ownership")
        self._watch.see((epoch, holder, seen_at), silent)
        ours = self.ownership.tenure == Tenure(epoch, holder)
        if not ours and self.ownership.epoch is not None:
            self._lose(holder)
            await self.ownership.vacated()
        if self._began is None:
            self._began = epoch
        if epoch // MASTER_KEY != self._began // MASTER_KEY:
            raise NotOpened("the master key was changed since this server began: start it again")
        unheard = holder == self._name  # it was given to us, but we did not hear of it: nobody acts on it
        if not ours and not unheard and may_act(holder, self._watch.silent):
            self._lose(holder)
            return False
        [(locked,)] = await session.ask("try_ownership_lock", key=LOCK)
        if not ours and not locked:
            self._lose(holder)
        seconds = self._watch.unchanged
        # What is left of our last session; or another server.
        hangs = not locked if ours else seconds > FROZEN
        if hangs and await session.ask("end_owners_sessions", key=LOCK, writing=not ours):
            log.warning(
                "sessions that were not heard of are ended", holder=shown(holder), seconds=round(seconds)
            )
        return locked and await self._gain(session, (epoch, holder, seen_at), ours=ours)

    async def _gain(self, session: Session, seen: Row, *, ours: bool) -> bool:
        """With the lock in hand: go on as the owner that this server was, or begin after another."""
        began = trio.current_time()
        epoch, after, seen_at = seen
        if ours:
            rows = await session.ask("renew_ownership", **attrs.asdict(self.ownership.tenure))
        else:
            await self._fit()
            began = trio.current_time()
            rows = await session.ask("take_ownership", epoch=epoch, seen_at=seen_at, holder=self._name)
        for (gained,) in rows:
            self.ownership.gain(gained, began + CERTAIN)
            if not ours:
                say = log.info if self._stood_by else log.debug
                say("this server runs the deployments now", epoch=gained, after=shown(after))
                self._stood_by = False
        return bool(rows)

    def _lose(self, holder: str) -> None:
        self._stood_by, holder = True, shown(holder)
        if self.ownership.epoch is not None:
            log.error(
                "another server has taken over the deployments; nothing more is done here", holder=holder
            )
        elif self.ownership.holder != holder:
            log.warning("another server runs the deployments; waiting for its end", holder=holder)
        self.ownership.lose(holder)

    async def _hold(self, session: Session) -> None:
        """Renew the ownership until it is lost. Raises `Unavailable`."""
        epoch, values = self.ownership.epoch, attrs.asdict(self.ownership.tenure)
        assert epoch is not None
        try:
            while True:
                with trio.move_on_after(RENEWAL):
                    await session.disturbed()
                began = trio.current_time()
                if not await session.ask("renew_ownership", **values):
                    return
                self.ownership.gain(epoch, began + CERTAIN)
        except* trio.Cancelled:  # in a group if it was in the middle of a renewal
            with trio.move_on_after(RELEASE, shield=True), suppress(Unavailable):
                await session.ask("release_ownership", **values)
            raise


def may_act(holder: str, silent: float) -> bool:
    """Whether `holder`, unheard of for so many seconds, may still act, as far as we can know."""
    return silent <= CERTAIN and not gone(holder)
