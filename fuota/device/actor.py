"""The shell of the device machine: one actor for each device of a deployment."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

import attrs
import structlog
import trio

from fuota.actor import Me, Ref, Stopped
from fuota.actor.durable import Durable, Position
from fuota.deployment.messages import Announced
from fuota.deployment.messages import Message as DeploymentMessage
from fuota.device.agreement import CLOCK_TOLERANCE
from fuota.device.effects import Ask, Assignment, Effect, Join, WakeAt, Withdraw, effects
from fuota.device.hearing import Hearing
from fuota.device.machine import step
from fuota.device.messages import (
    Answered,
    Arrange,
    ClockAnswered,
    Expired,
    Fact,
    HandedOver,
    Heard,
    Looked,
    Message,
    Taken,
    Unattended,
    Verify,
)
from fuota.device.outside import Outside
from fuota.device.record import answers, log_line, log_row, transition
from fuota.device.request import Request
from fuota.device.standing import Standing, standing
from fuota.device.states import Failed, Incomplete, State, Unconfirmed, Unheard
from fuota.device.verdict import nb_frag_before
from fuota.fate import Dropped, Fate, OnAir
from fuota.journal.port import ActorId, LogRow
from fuota.lorawan.package import Command, Package
from fuota.network.reach import Reach
from fuota.services import Services
from fuota.uplink import Uplink

log = structlog.get_logger(__name__)


class DeviceActor(Durable[Message, State, Fact, Effect]):
    """Takes one device through one deployment."""

    def __init__(
        self,
        deployment_id: UUID,
        assignment: Assignment,
        position: Position[State],
        parent: Ref[DeploymentMessage],
        reach: Reach,
        services: Services,
    ) -> None:
        super().__init__(position, services.clock, services.alarms, services.health.disturbed)
        self.id = ActorId(deployment_id, assignment.dev_eui)
        self.assignment = assignment
        self.parent = parent
        self.services = services
        self.outside = Outside(
            deployment_id, assignment, services.network, services.health, reach, self.alone
        )
        self.request = Request()
        self.told: Standing | None = self.standing()
        """What the deployment knows of it; None: nobody can say."""
        self.hearing = Hearing(assignment)
        self.last = False
        """Whether no fragments follow in another session, as far as the deployment has said."""

    async def started(self, me: Me[Message]) -> None:
        self.services.devices.register(self.assignment.dev_eui, me.ref)
        await super().started(me)
        if me.incarnation > 1:  # when the first began, the deployment had read it too
            self.told = None
            await self.announce()

    def superseded(self) -> None:
        self.services.devices.excuse(self.id.deployment_id, self.assignment.dev_eui)

    async def receive(self, message: Message) -> None:
        match message:
            case Heard(uplink, done):
                await self.hear(uplink)
                done()
            case Verify(last=last):
                self.last = last
                await self.advance(message)
            case HandedOver():
                await self.handed_over(message)
            case Expired() | Unattended() if message is not self.alarm:
                pass  # of a state that was being left
            case Expired() if self.request.ask is not None and self.gives_up():
                self.call(self.outside.look, self.request.ask)
            case Looked():
                await self.looked(message)
            case Unattended():
                await self.spare(message)
            case OnAir() | Dropped():
                await self.learn(message)
            case ClockAnswered(correction):
                self.request.overtaken |= abs(correction) > CLOCK_TOLERANCE.seconds
                await self.advance(message, *self.rows_of_requests())
            case Arrange():
                await self.advance(attrs.evolve(message, asked=not self.request.under_way))
            case _:
                await self.advance(message)

    def describe(self) -> object:
        return {"state": self.position.state, "trouble": self.outside.trouble}

    async def hear(self, uplink: Uplink) -> None:
        """Take every command of the uplink that concerns this deployment, and keep a row of each."""
        said = self.hearing.read(uplink, self.clock.now())
        for command in said.commands:
            asked, row = self.rows_of_requests(), self.row(said.package, command)
            before, request = self.assignment.nb_frag_before, self.request
            answered = Answered(
                command, uplink.received_at, self.last, before, request.under_way, request.overtaken
            )
            advanced = await self.advance(answered, *asked, row)
            if not advanced and not said.repeated:
                if (ask := self.request.unwritten) is not None and answers(command, ask.command):
                    self.request.unwritten = None
                else:  # what is asked has yet to be sent
                    asked = []
                await self.services.journal.record([*asked, row])

    async def handed_over(self, message: HandedOver) -> None:
        """Patience begins when the network has the request, however long that took."""
        if message.ask != self.request.ask:
            return
        rows = self.rows_of_requests() if message.anew else []
        fate = self.request.taken(message, trio.current_time())
        self.wake_at(self.clock.now() + message.ask.patience, Expired())
        await self.announce()
        if rows:
            await self.services.journal.record(rows)
        if message.ask.untaken:
            await self.write(Taken())
        if fate is not None:
            await self.learn(fate)

    async def learn(self, fate: Fate) -> None:
        """Patience begins anew when the request is on air, and ends when it was dropped."""
        if not self.request.settled(fate):
            return
        match fate:
            case OnAir():
                self.wake_at(self.clock.now() + self.request.on_air().patience, Expired())
            case Dropped(reason=reason):
                log.warning("downlink dropped", dev_eui=str(fate.dev_eui), reason=reason)
                await self.advance(fate)

    def gives_up(self) -> bool:
        """Whether nothing is asked any more if there is no answer now."""
        after = self.step(self.position.state, Expired(), self.clock.now())
        return isinstance(after, Failed | Unconfirmed | Unheard | Incomplete)

    async def looked(self, message: Looked) -> None:
        """Nobody asks any more if nothing was away since the network has taken the request."""
        if message.ask is not self.request.ask:
            return
        away = self.services.health.ailed(self.request.since)
        if away or message.troubled:
            await self.spare(Unattended(surely=away))
        else:
            await self.advance(Expired())

    async def spare(self, unattended: Unattended) -> None:
        """An answer may be lost because something was away: that costs no attempt, unless it goes on so."""
        if not await self.advance(unattended):
            await self.advance(Expired())

    def rows_of_requests(self) -> list[LogRow]:
        """Of what is asked and has no row yet: no request is dated or numbered after its answer."""
        ask = self.request.unwritten
        return [] if ask is None else [self.row(ask.package, ask.command)]

    def row(self, package: Package, command: Command) -> LogRow:
        return log_row(self.id.deployment_id, self.assignment.dev_eui, self.clock.now(), package, command)

    async def advance(self, fact: Fact, *rows: LogRow) -> bool:
        """Take the fact, and tell the deployment if that changed what it needs to know."""
        advanced = await self.take(fact, *rows)
        await self.announce()
        return advanced

    def standing(self) -> Standing:
        return standing(self.assignment.plan, self.position.state, waits=self.request.under_way)

    async def announce(self) -> None:
        if (now := self.standing()) != self.told:
            self.told = now
            await self.tell(Announced(self.assignment.dev_eui, now, self.position.version))

    def alone(self) -> bool:
        return len(self.services.devices[self.assignment.dev_eui]) == 1

    async def tell(self, message: DeploymentMessage) -> None:
        with suppress(Stopped):  # then this actor ends too
            await self.parent.tell(message)

    # What the shell asks for

    def step(self, state: State, fact: Fact, now: datetime) -> State:
        return step(self.assignment.plan, state, fact, now)

    def effects(self, state: State) -> tuple[Effect, ...]:
        return effects(self.assignment, state)

    async def commit(self, version: int, after: State, fact: Fact, at: datetime, *rows: LogRow) -> None:
        await self.services.journal.commit(transition(self.id, version, at, fact, after, rows))
        self.assignment.nb_frag_before = nb_frag_before(after, self.assignment.nb_frag_before)
        if isinstance(after, Failed):
            log.info("device failed", **log_line(self.id, after))

    def enter(self, *, resumed: bool) -> None:
        self.outside.trouble = ""
        self.request.end()
        super().enter(resumed=resumed)
        if not self._calls:
            self.outside.unname()

    def perform(self, effect: Effect, *, resumed: bool) -> None:
        match effect:
            case Join(group_id):
                self.call(self.outside.join, group_id, self.tell)
            case Ask(until=until) if resumed and not (effect.untaken and effect.in_time(self.clock.now())):
                self.wake_at(until, Unattended())  # it may have been sent
            case Ask(until=until, dropped=True):
                self.request.keep(effect)
                self.wake_at(until, Expired())
            case Ask():
                self.ask(effect)
            case Withdraw():
                self.call(self.outside.withdraw)
            case WakeAt(at):
                self.wake_at(at, Expired())

    def ask(self, ask: Ask) -> None:
        if ask.in_time(self.clock.now()):
            self.request.begin(ask)
            self.call(self.outside.ask, ask)
