"""Ownership of the deployments in PostgreSQL.

The owner holds an advisory lock with a session of its own, so the lock is free the moment its process ends.
Beside it stands a row with the epoch and the time at which the owner was last seen: every transaction that
writes asks for its epoch (`hold_epoch`), and an owner that hangs can be told from one that works.

    owner       may act for CERTAIN seconds from the beginning of its last renewal, and not once its session
                has ended; then it is in doubt until it has the lock again, with the epoch it had
    standby     takes the lock when it is free, or ends the session of an owner not seen for FROZEN seconds;
                the epoch then grows, and what the other still wanted to write is refused

CERTAIN is less than FROZEN, and the owner counts on a clock of its own: it has stopped acting before another
begins, also when it can not hear of it.
"""

import os
import socket

import structlog
import trio

from fuota.journal.port import Unavailable
from fuota.journal.postgres_session import Session
from fuota.ownership import Ownership

log = structlog.get_logger(__name__)

LOCK = int.from_bytes(b"owner")
"""Of the advisory lock."""

RENEWAL = 2.0
CERTAIN = 10.0
FROZEN = 20.0
TRY = 1.0
"""Seconds: between two renewals, and between two attempts of a standby; see above."""


class Claimant:
    """Gains ownership for this server, keeps it, and says so to `ownership`."""

    def __init__(self, dsn: str, ownership: Ownership) -> None:
        self.decided = trio.Event()
        """Whose the deployments are is known."""
        self._dsn = dsn
        self.ownership = ownership
        self._name = f"{socket.gethostname()}, process {os.getpid()}"
        self._trouble = ""
        self._stood_by = False

    async def run(self) -> None:
        while True:
            try:
                async with Session.open(self._dsn) as session:
                    while not await self._claim(session):
                        self.decided.set()
                        await trio.sleep(TRY)
                    self._trouble = ""
                    self.decided.set()
                    await self._hold(session)
            except Unavailable as error:
                self.ownership.doubt()
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    log.warning("ownership in doubt", reason=self._trouble)
                await trio.sleep(TRY)

    async def _claim(self, session: Session) -> bool:
        """Whether this server is the owner now."""
        began = trio.current_time()
        [(locked,)] = await session.ask("try_ownership_lock", key=LOCK)
        [(epoch, holder, silent)] = await session.ask("select_ownership")
        ours = self.ownership.epoch == epoch
        if not ours and (not locked or self.ownership.epoch is not None):
            self._lose(holder)
        if not locked:
            if ours or silent > FROZEN:  # it is what is left of a session of our own, or its server hangs
                log.warning("ending a session that is not heard of", holder=holder, seconds=round(silent))
                await session.ask("end_owners_session", key=LOCK)
            return False
        if not ours:
            [(epoch,)] = await session.ask("take_ownership", holder=self._name)
            say = log.info if self._stood_by else log.debug
            say("this server runs the deployments now", epoch=epoch, after=holder)
            self._stood_by = False
        self.ownership.gain(epoch, began + CERTAIN)
        return True

    def _lose(self, holder: str) -> None:
        self._stood_by = True
        if self.ownership.epoch is not None:
            log.error(
                "another server has taken over the deployments; nothing more is done here", holder=holder
            )
        elif self.ownership.holder != holder:
            log.warning("another server runs the deployments; waiting for its end", holder=holder)
        self.ownership.lose(holder)

    async def _hold(self, session: Session) -> None:
        """Renew the ownership until it is lost. Raises `Unavailable`."""
        epoch = self.ownership.epoch
        assert epoch is not None
        while True:
            with trio.move_on_after(RENEWAL):
                await session.disturbed()
            began = trio.current_time()
            if not await session.ask("renew_ownership", epoch=epoch):
                return
            self.ownership.gain(epoch, began + CERTAIN)
