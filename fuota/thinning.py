"""Lines of log that a peer can bring about: a hostile one must not fill the disk with them."""

import logging
import time
from collections.abc import Callable

import attrs

PEERS = (
    "asyncio",
    "fuota.bridge",
    "fuota.clock_answers",
    "fuota.device.hearing",
    "fuota.http",
    "fuota.integration",
    "fuota.places",
    "fuota.rpc",
    "grpclib",
    "hypercorn",
    "trio",
)
"""Loggers, with all below them, whose lines say what somebody has sent."""
DEVICES = "fuota.device.actor"
"""It warns of uplinks; how a device fares is told once, and is none of this."""
BURST = 20
"""Lines of one kind that are let through at once."""
EVERY = 10.0
"""Seconds after which another one is."""


@attrs.define
class _Kind:
    credit: float
    at: float
    left_out: int = 0


@attrs.define(eq=False)
class Thinning(logging.Filter):
    """Of one handler. Kinds are told apart by what is said, not by the values in it."""

    now: Callable[[], float] = time.monotonic
    _kinds: dict[tuple[str, str], _Kind] = attrs.field(factory=dict, init=False)

    def filter(self, record: logging.LogRecord) -> bool:
        if not _of_a_peer(record):
            return True
        event = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
        now = self.now()
        kind = self._kinds.setdefault((record.name, str(event)), _Kind(BURST, now))
        kind.credit = min(BURST, kind.credit + (now - kind.at) / EVERY)
        kind.at = now
        if kind.credit < 1:
            kind.left_out += 1
            return False
        kind.credit -= 1
        if kind.left_out:
            if isinstance(record.msg, dict):
                record.msg = record.msg | {"left_out": kind.left_out}
            else:
                record.msg = f"{record.getMessage()} (and {kind.left_out} more)"
                record.args = ()
            kind.left_out = 0
        return True


def _of_a_peer(record: logging.LogRecord) -> bool:
    if record.name == DEVICES:
        return record.levelno == logging.WARNING
    return record.levelno > logging.DEBUG and any(
        record.name == name or record.name.startswith((f"{name}.", f"{name}_")) for name in PEERS
    )
