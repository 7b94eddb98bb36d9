"""The shell of the deployment machine: one actor for each deployment, the devices' actors below it."""

import math
from collections import deque
from datetime import datetime
from functools import partial

import attrs
import structlog
import trio

from fuota.actor import Me, Ref
from fuota.actor.durable import Durable, Position
from fuota.deployment.effects import (
    CreateGroup,
    DeleteGroup,
    Drain,
    Effect,
    Flush,
    JoinAgain,
    Leave,
    Multicast,
    WakeAt,
    Watch,
    effects,
    instruction,
    may_wait,
)
from fuota.deployment.machine import step
from fuota.deployment.messages import (
    Announced,
    Cancel,
    Cancellation,
    Counted,
    Expired,
    Fact,
    Inquiry,
    Looked,
    Message,
    Tally,
    Waiting,
)
from fuota.deployment.outside import Outside
from fuota.deployment.record import is_news, log_line, transition
from fuota.deployment.roster import Roster
from fuota.deployment.states import ArrangingSession, AwaitingStart, State, Transmitting
from fuota.device import messages as device
from fuota.device.actor import DeviceActor
from fuota.device.effects import Assignment
from fuota.device.standing import Stage, standing
from fuota.journal.port import ActorId, JournalError, StoredDeployment, StoredDevice
from fuota.journal.retry import patiently
from fuota.lorawan import keys
from fuota.lorawan.eui import EUI64
from fuota.services import Services

log = structlog.get_logger(__name__)

AT_ONCE = 50
"""Device actors started, or told something, before others get a turn."""

OFFER_AGAIN = 0.5
"""Seconds until an instruction is offered again to devices whose mailboxes were full."""


class DeploymentActor(Durable[Message, State, Fact, Effect]):
    """Counts its devices, tells them all alike what to do, and sends the fragments."""

    def __init__(self, stored: StoredDeployment, position: Position[State], services: Services) -> None:
        super().__init__(position, services.clock, services.alarms, services.health.disturbed)
        self.id = ActorId(stored.id)
        self.plan = stored.plan
        self.mc_key = stored.mc_key
        self.ordered_at = stored.created_at
        self.services = services
        self.outside = Outside(stored, position, services)
        self.roster = Roster()
        self.devices: dict[EUI64, Ref[device.Message]] = {}
        self.told: device.Instruction | None = None
        self.since = -math.inf
        """When the present session was arranged, by Trio's clock: -inf if that was in another life."""
        self.joining = False
        """Whether devices are made members again, before which the deployment does not go on."""

    async def started(self, me: Me[Message]) -> None:
        self.me = me
        me.ref.at_stop(partial(self.services.devices.dismiss, self.id.deployment_id))
        try:
            stored = deque(await patiently(lambda: self.services.journal.devices(self.id.deployment_id)))
        except JournalError as error:  # nor would another incarnation, and the others are to go on
            log.error("deployment can not be read", id=str(self.id.deployment_id), error=str(error))
            me.stop()
            return
        while stored:  # and is given back piece by piece: all of it at once would take a while
            each = stored.popleft()
            self.devices[each.dev_eui] = self.spawn(each)
            if len(stored) % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        self.services.devices.expect(self.id.deployment_id, self.devices)
        log.info(
            "deployment begins" if self.position.version == 1 else "deployment resumes",
            id=str(self.id.deployment_id),
            state=type(self.position.state).__name__,
            devices=len(self.devices),
            octets=self.plan.firmware_size,
            fragments=self.plan.fragments,
        )
        await super().started(me)
        await self.count()

    def spawn(self, stored: StoredDevice) -> Ref[device.Message]:
        wrapped = keys.wrap_mc_key(stored.mc_root_key, self.mc_key)
        before = stored.nb_frag_before
        assignment = Assignment(self.plan, stored.dev_eui, wrapped, self.ordered_at, before)
        position = Position(stored.state, stored.version)
        self.roster.note(stored.dev_eui, standing(self.plan, stored.state), stored.version)
        shared = self.me.ref, self.outside.reach, self.services
        return self.me.spawn(
            str(stored.dev_eui), lambda: DeviceActor(self.id.deployment_id, assignment, position, *shared)
        )

    async def receive(self, message: Message) -> None:
        match message:
            case Announced(dev_eui, stands, version):
                if not self.roster.note(dev_eui, stands, version):
                    return
                if self.told is not None and may_wait(stands.stage, self.told):
                    ref = self.devices[dev_eui]
                    if not ref.offer(self.told):
                        self.me.nursery.start_soon(self.instruct, self.told, [ref])
                await self.count()
            case Cancellation(answer):
                await self.advance(Cancel())
                answer(self.position.state)
            case Inquiry(say):
                say(self.outside.said())
            case (Expired() as alarm) | Looked(alarm) if alarm is not self.alarm:
                pass  # of a state that was being left
            case Expired() if isinstance(self.position.state, ArrangingSession | AwaitingStart):
                self.call(self.outside.look, message, self.position.state.group_id, self.tally().reached)
            case Expired() | Looked():
                away = isinstance(message, Looked) and message.away
                tally = self.tally().unasked() if self.joining else self.tally()
                slow = 0 if away else tally.prepared
                if away or self.services.health.ailed(self.since):
                    tally = tally.undisturbed()
                await self.advance(Expired(tally, away, slow))
            case Counted():
                self.joining = False
                await self.count()
            case Waiting():
                await self.advance(attrs.evolve(message, listening=self.tally().listening))
            case _:
                await self.advance(message)

    async def advance(self, fact: Fact) -> None:
        """Take the fact; where it leads, the devices may be already."""
        if await self.take(fact):
            await self.count()

    async def count(self) -> None:
        """Go on for as long as the devices are further than the deployment."""
        while not self.joining and await self.take(Counted(self.tally())):
            pass

    def tally(self) -> Tally:
        session = getattr(self.position.state, "session", None)
        return self.roster.tally(0 if session is None else session.number)

    def describe(self) -> object:
        return {
            "state": self.position.state,
            "devices": {**self.tally().under_way(), **self.roster.outcomes()},
            "fragments": self.plan.fragments,
            "trouble": self.outside.said(),
        }

    def report(self, state: State) -> None:
        """Tell the operator what the deployment goes on to, and how it has ended."""
        said = log_line(state, len(self.devices), self.tally().complete)
        log.info("deployment", id=str(self.id.deployment_id), **said)

    # What the shell asks for

    def step(self, state: State, fact: Fact, now: datetime) -> State:
        return step(self.plan, state, fact, now)

    def effects(self, state: State) -> tuple[Effect, ...]:
        return effects(self.plan, state)

    async def commit(self, version: int, after: State, fact: Fact, at: datetime) -> None:
        await self.services.journal.commit(transition(self.id, self.plan, version, at, fact, after))
        if is_news(self.position.state, after):
            self.report(after)

    def enter(self, *, resumed: bool) -> None:
        self.outside.trouble = ""
        if not isinstance(self.position.state, Transmitting):
            self.outside.air.clear()
        if not resumed and isinstance(self.position.state, ArrangingSession):
            self.since = trio.current_time()
        self.joining = False
        super().enter(resumed=resumed)
        told = instruction(self.plan, self.position.state)
        if told != self.told:
            self.told = told
            if told is not None:
                self.me.nursery.start_soon(self.instruct, told, list(self.devices.values()))

    def perform(self, effect: Effect, *, resumed: bool) -> None:
        match effect:
            case CreateGroup(f_cnt, members):
                known = partial(self.roster.beyond, Stage.GROUP) if members else list[EUI64]
                self.call(self.outside.create_group, f_cnt, known)
            case JoinAgain(group_id):
                self.joining = True
                self.call(self.join_again, group_id)
            case Multicast():
                self.call(self.outside.multicast, effect)
            case Watch(group_id, until):
                self.call(self.outside.watch, group_id, until)
            case Drain(group_id, until):
                self.call(self.outside.drain, group_id, until)
            case Flush(group_id):
                self.call(self.outside.flush, group_id)
            case WakeAt(at):
                self.wake_at(at, Expired(self.tally()))
            case DeleteGroup():
                self.call(self.outside.delete_group)
            case Leave():
                self.me.stop(left_over=device.of_no_concern)

    async def join_again(self, group_id: str) -> Counted:
        """One that was a member of the lost group may have answered before it was told of the next."""
        await self.outside.add_again(group_id, self.roster.beyond(Stage.GROUP))
        return Counted(self.tally())

    async def instruct(self, told: device.Instruction, waiting: list[Ref[device.Message]]) -> None:
        """Tell these devices, those with full mailboxes later, until something else is to be told."""
        while waiting:
            full = []
            for number, ref in enumerate(waiting, start=1):
                if self.told is not told:
                    return
                if not ref.stopped and not ref.offer(told):
                    full.append(ref)
                if number % AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
            waiting = full
            await trio.sleep(OFFER_AGAIN)
