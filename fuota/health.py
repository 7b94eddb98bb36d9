"""What is wrong at present, part by part: written by the parts, read by `/healthz` and `/readyz`."""

import math

import attrs
import structlog
import trio

log = structlog.get_logger(__name__)

SELDOM = 10.0
"""Seconds until the log is told that a part says something else now: every call may fail in its own way."""


@attrs.frozen
class Ailment:
    what: str
    until: float
    """By Trio's clock: nobody knows whether it is still so afterwards."""
    told: str
    """What the log was told last."""
    told_at: float


@attrs.define
class Health:
    """The ailments of the server; empty when all is well."""

    _ailments: dict[str, Ailment] = attrs.field(factory=dict)
    _disturbed: float = -math.inf
    """When something was not as it should be last, and is again, by Trio's clock."""

    def ill(self, part: str, ailment: str, *, lasts: float = math.inf) -> None:
        """`part` does not work at present. Said again, it replaces what was said before.

        `lasts`: seconds after which that is forgotten, unless it is said again.
        """
        known, now = self._ailments.get(part), trio.current_time()
        if known is None or (known.told != ailment and now >= known.told_at + SELDOM):
            log.warning("ailing", part=part, ailment=ailment)
            told, told_at = ailment, now
        else:
            told, told_at = known.told, known.told_at
        self._ailments[part] = Ailment(ailment, now + lasts, told, told_at)

    def well(self, part: str) -> None:
        """`part` works."""
        if self._ailments.pop(part, None) is not None:
            self.disturbed()
            log.info("recovered", part=part)

    def absent(self, seconds: float) -> None:
        """Nothing was attended to for so long, and that is over; less than 0: the clock was set back."""
        what = (
            "the clock was set back" if seconds < 0 else "the process was suspended, or the clock set forward"
        )
        log.warning(what, seconds=round(abs(seconds), 1))
        self.disturbed()

    def disturbed(self) -> None:
        """Something may have kept answers of devices waiting, up to now."""
        self._disturbed = trio.current_time()

    def ailed(self, since: float) -> bool:
        """Whether anything has not worked at some time since then, by Trio's clock, or was kept waiting."""
        return bool(self.ailments()) or self._disturbed >= since

    def ailments(self) -> dict[str, str]:
        """Part -> what is wrong with it, now."""
        self._forget()
        return {part: ailment.what for part, ailment in self._ailments.items()}

    def _forget(self) -> None:
        """What was not said again in time."""
        now = trio.current_time()
        for part, ailment in tuple(self._ailments.items()):
            if ailment.until <= now:
                del self._ailments[part]
                self._disturbed = max(self._disturbed, ailment.until)
                log.info("not known to ail any more: nobody has called it since", part=part)
