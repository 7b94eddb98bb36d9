"""Which server runs the deployments of a database: one at a time, and whoever does not own them does not act.

Ownership has a number, its *epoch*, which grows with every change of owner. The journal gains, renews and
loses it (`journal/postgres_ownership.py`); everything else only asks.
"""

import math

import attrs
import trio

from fuota.health import Health

PART = "ownership"
"""As which the health of the server has it."""


@attrs.frozen
class Tenure:
    """What the journal knows an owner by.

    The epoch alone is not enough: a database that has lost what was written last, since a replica has taken
    its place or a backup was restored, gives the same number again, perhaps to another.
    """

    epoch: int | None
    holder: str


@attrs.define(eq=False)
class Ownership:
    """This server's; it begins as nobody's."""

    _health: Health
    _name: str = ""
    """Of this server, as the holder in the journal."""
    epoch: int | None = attrs.field(default=None, init=False)
    """Of this server, also while it is in doubt; None: another server runs the deployments."""
    holder: str = attrs.field(default="nobody yet", init=False)
    """Who runs them, in words for people."""
    at_work: bool = attrs.field(default=False, init=False)
    """Whether every deployment has its actors: only then is an uplink of no device's actor nobody's, and
    until then all are refused."""
    _until: float = attrs.field(default=-math.inf, init=False)
    _vacant: bool = attrs.field(default=True, init=False)
    _turn: trio.Event = attrs.field(factory=trio.Event, init=False)

    @classmethod
    def sole(cls) -> "Ownership":
        """For a journal that no other process can see."""
        made = cls(Health())
        made.gain(1, math.inf)
        made.at_work = True
        return made

    @property
    def tenure(self) -> Tenure:
        """This server's; without an epoch it is nobody's."""
        return Tenure(self.epoch, self._name)

    @property
    def certain(self) -> bool:
        """Whether this server may act, at this moment."""
        return self.epoch is not None and trio.current_time() < self._until

    async def assured(self) -> None:
        """Return when this server may act: at once if it is the owner and knows it, else when it is again."""
        while not self.certain:
            await self._change()

    async def attended(self) -> None:
        """Return when every deployment has its actors."""
        while not self.at_work:
            await self._change()

    async def gained(self) -> int:
        """Return the epoch when there is one."""
        while self.epoch is None:
            await self._change()
        return self.epoch

    async def lost(self, epoch: int) -> None:
        """Return when this epoch is over."""
        while self.epoch == epoch:
            await self._change()

    async def vacated(self) -> None:
        """Return when no actor lives of an epoch that is over: before that, another must not begin."""
        while not self._vacant:
            await self._change()

    def vacate(self) -> None:
        """The actors of the epoch that is over have ended."""
        self._vacant = True
        self._changed()

    def resuming(self) -> None:
        """Not every deployment has its actors."""
        self.at_work = False

    def resumed(self) -> None:
        """Every deployment has its actors, if they are not another server's by now."""
        self.at_work = self.epoch is not None
        self._changed()

    # What the journal says

    def gain(self, epoch: int, until: float) -> None:
        """This server is the owner, for certain until an instant of Trio's clock."""
        self.epoch, self._until, self.holder = epoch, until, "this server"
        self._health.well(PART)
        self._changed()

    def doubt(self, reason: str) -> None:
        """It is not known whether this server is the owner."""
        self._until = -math.inf
        self._health.ill(PART, f"in doubt: {reason}")

    def lose(self, holder: str) -> None:
        """Another server is the owner."""
        self._vacant = self._vacant and self.epoch is None
        self.epoch, self._until, self.holder, self.at_work = None, -math.inf, holder, False
        self._health.ill(PART, f"the deployments are run by {holder}")
        self._changed()

    async def _change(self) -> None:
        await self._turn.wait()

    def _changed(self) -> None:
        self._turn.set()
        self._turn = trio.Event()


@attrs.frozen(eq=False)
class Attendance:
    """The permit of those who ask devices: they may act, and whatever is answered will be heard.

    A deployment of which all have resumed would else ask while uplinks are still refused because of another,
    and take its devices for silent.
    """

    _ownership: Ownership
    listening: trio.Event = attrs.field(factory=trio.Event)
    """There is a port for the events of the network."""

    @property
    def certain(self) -> bool:
        """Whether that is so, at this moment."""
        return self.listening.is_set() and self._ownership.at_work and self._ownership.certain

    async def assured(self) -> None:
        """Return when it is so."""
        while not self.certain:
            await self.listening.wait()
            await self._ownership.attended()
            await self._ownership.assured()
