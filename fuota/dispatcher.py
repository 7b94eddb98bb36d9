"""Hands uplinks to the devices they concern, and answers whoever asks for the time."""

import math
from enum import Enum
from functools import partial

import attrs
import structlog
import trio

from fuota import clock_answers
from fuota.actor import Actor, Me, Ref, Registry, Reply
from fuota.device.messages import ClockAnswered, Heard
from fuota.device.messages import Message as DeviceMessage
from fuota.fate import Fate
from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.network.port import Network, NetworkError
from fuota.network.retry import persistently
from fuota.ownership import Ownership
from fuota.uplink import Uplink

log = structlog.get_logger(__name__)

CLOCK_ANSWERS = 2000
"""Answers to AppTimeReq under way at a time; the device of one on top will ask again by itself."""
KEPT = 10_000
"""Uplinks that wait at a time until all they hold is safe: what memory keeps while the database is away."""
SWEEP = 1.0
"""Seconds between two looks for those whose actors have ended otherwise than with their deployment."""
FRESH = 20.0
"""Seconds in which the network has to take an answer; later the device asks with another token."""


class Outcome(Enum):
    """What became of an uplink."""

    TAKEN = "taken"
    """All it holds is safe, or it is of no concern."""
    BUSY = "busy"
    """Not all whom it concerns had room for it, or were there (their deployment's actor begins anew); or too
    many wait already."""
    ELSEWHERE = "elsewhere"
    """This server does not run the deployments, does not yet, or does not know whether it still does."""


@attrs.frozen
class Route:
    """An uplink has come."""

    uplink: Uplink
    reply: Reply[Outcome] = attrs.field(eq=False, repr=False)


def tell(devices: Registry[EUI64, DeviceMessage], fate: Fate) -> None:
    """Word of a downlink, to the device's actors at once: no uplink is to wait behind it, however much there
    is, and an actor that has no room does without."""
    for ref in devices[fate.dev_eui]:
        ref.offer(fate)


@attrs.frozen(eq=False)
class _Kept:
    """An uplink that is in the hands of device actors."""

    by: set[Ref[DeviceMessage]]

    def waits(self) -> bool:
        return any(not ref.stopped for ref in self.by)


@attrs.define
class Counts:
    """Since the dispatcher started."""

    routed: int = 0
    unconcerned: int = 0
    busy: int = 0
    elsewhere: int = 0
    clock_answers: int = 0
    clock_failures: int = 0


class Dispatcher(Actor[Route]):
    """Keeps nothing that a restart would lose: who is concerned is in the registry."""

    def __init__(
        self,
        devices: Registry[EUI64, DeviceMessage],
        network: Network,
        ownership: Ownership,
        *,
        clock_sync: bool = True,
    ) -> None:
        """`clock_sync`: whether devices that ask for the time are answered here, and not by ChirpStack."""
        self._devices = devices
        self._network = network
        self._ownership = ownership
        self._clock_sync = clock_sync
        self._kept: set[_Kept] = set()
        self._swept = -math.inf
        self._counts = Counts()
        self._recently = clock_answers.Recently()
        self._answering = 0

    async def started(self, me: Me[Route]) -> None:
        self._nursery = me.nursery

    async def receive(self, route: Route) -> None:
        match route.uplink.f_port:
            case multicast.package.port | fragmentation.package.port:
                self._deliver(route)
            case clocksync.package.port if self._clock_sync:
                self._answer(route)
            case clocksync.package.port:
                self._overhear(route)
            case _:
                self._counts.unconcerned += 1
                route.reply.give(Outcome.TAKEN)

    def describe(self) -> Counts:
        return attrs.evolve(self._counts)

    def _deliver(self, route: Route) -> None:
        """A device may be in several deployments: each actor takes what concerns it, and says so.

        In doubt, what has no actor here may have one at another server.
        """
        refs = self._devices[route.uplink.dev_eui]
        if not self._ownership.at_work or not (refs or self._ownership.certain):
            self._counts.elsewhere += 1
            route.reply.give(Outcome.ELSEWHERE)
            return
        self._sweep()
        if refs and len(self._kept) >= KEPT:
            self._counts.busy += 1
            route.reply.give(Outcome.BUSY)
            return
        lacks = self._devices.lacks(route.uplink.dev_eui)
        if not refs and not lacks:
            self._counts.unconcerned += 1
            route.reply.give(Outcome.TAKEN)
            return
        kept = _Kept(set())

        def done(ref: Ref[DeviceMessage]) -> None:
            kept.by.discard(ref)
            if not kept.by:
                self._kept.discard(kept)
                route.reply.give(Outcome.TAKEN)

        kept.by.update(ref for ref in refs if ref.offer(Heard(route.uplink, partial(done, ref))))
        if kept.by:
            self._kept.add(kept)
        if len(kept.by) == len(refs) and not lacks:
            self._counts.routed += 1
        else:
            self._counts.busy += 1
            route.reply.give(Outcome.BUSY)

    def _sweep(self) -> None:
        """Forget those for which nobody will say that they are safe."""
        now = trio.current_time()
        if now - self._swept >= SWEEP:
            self._swept = now
            self._kept = {kept for kept in self._kept if kept.waits()}

    def _answer(self, route: Route) -> None:
        """The uplink is answered at once, for a device whose clock request is lost asks again."""
        if self._ownership.epoch is None:
            self._counts.elsewhere += 1
            route.reply.give(Outcome.ELSEWHERE)
            return
        if self._answering >= CLOCK_ANSWERS:
            self._counts.busy += 1
            route.reply.give(Outcome.BUSY)
            return
        route.reply.give(Outcome.TAKEN)
        if self._recently.repeated(route.uplink, trio.current_time()):
            return
        answer = clock_answers.answer(route.uplink)
        if answer.payload is not None:
            self._answering += 1
            self._nursery.start_soon(self._send, route.uplink, answer.payload, answer.correction)
        elif answer.correction is not None:
            self._tell_correction(route.uplink.dev_eui, answer.correction)

    def _overhear(self, route: Route) -> None:
        """ChirpStack answers it, and so puts the device's clock right."""
        self._counts.unconcerned += 1
        route.reply.give(Outcome.TAKEN)
        if self._devices[route.uplink.dev_eui]:
            correction = clock_answers.answer(route.uplink).correction
            if correction is not None:
                self._tell_correction(route.uplink.dev_eui, correction)

    def _tell_correction(self, dev_eui: EUI64, correction: int) -> None:
        for ref in self._devices[dev_eui]:
            ref.offer(ClockAnswered(correction))

    async def _send(self, uplink: Uplink, payload: bytes, correction: int | None) -> None:
        failed = log.bind(dev_eui=str(uplink.dev_eui))
        call = partial(
            self._network.downlink,
            uplink.dev_eui,
            clocksync.package.port,
            payload,
            unless_pending=True,
            urgent=True,
        )
        try:
            with trio.fail_after(FRESH):
                await persistently(call, trouble=lambda error: failed.info("no answer yet", error=str(error)))
        except (NetworkError, trio.TooSlowError) as error:
            self._counts.clock_failures += 1
            self._recently.forget(uplink)
            failed.warning("clock request not answered", error=str(error) or f"not within {FRESH:g} s")
        else:
            self._counts.clock_answers += 1
            if correction is not None:
                self._tell_correction(uplink.dev_eui, correction)
        finally:
            self._answering -= 1
