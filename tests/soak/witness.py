"""Looks on while a server runs, and raises at the first thing that is not as it should be."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
import pytest

from fuota.deployment import machine as deployment_machine
from fuota.deployment.actor import DeploymentActor
from fuota.deployment.order import Order
from fuota.deployment.plan import Plan
from fuota.deployment.states import CreatingGroup, InSession
from fuota.device import machine as device_machine
from fuota.device.actor import DeviceActor
from fuota.device.states import Complete, Released, Waiting
from fuota.journal.port import ActorId, Transition
from fuota.lorawan import fragmentation
from fuota.lorawan.eui import EUI64
from fuota.network.gate import Lane
from fuota.network.port import KnownGroup, group_name
from fuota.network.simulated import SimulatedNetwork
from fuota.simulation.chirpstack import ApiError
from fuota.simulation.device import Device


@attrs.frozen
class Asked:
    """A deployment that was ordered, and for whom."""

    order: Order
    devices: Mapping[EUI64, Device]


@attrs.frozen
class Step:
    """What a machine was asked, and what it has said that comes next."""

    plan: Plan
    before: Any
    fact: Any
    now: datetime
    after: Any


@attrs.define
class Witness:
    """Knows where every actor stands, what it was told last, and what was put into the groups' queues."""

    asked: dict[UUID, Asked] = attrs.field(factory=dict)
    enqueued: dict[str, set[int]] = attrs.field(factory=lambda: defaultdict(set))
    """Group id, or name -> the numbers N of the fragments that ChirpStack has taken for it in the present
    round. A group that was made again has the same name, and another id."""
    held: dict[ActorId, bool] = attrs.field(factory=dict)
    """Whether the device had the image at the moment at which it settled with success."""
    wrong: list[str] = attrs.field(factory=list)
    """What was not as it should be; it crashes the actor, too."""
    _stands: dict[ActorId, tuple[int, Any]] = attrs.field(factory=dict)
    _said: dict[ActorId, Step] = attrs.field(factory=dict)

    def committed(self, transition: Transition) -> None:
        """A transition is written."""
        try:
            self._check(transition)
        except AssertionError as error:
            self.wrong.append(str(error))
            raise

    def _check(self, transition: Transition) -> None:
        """It follows from the one before and from what the actor was told."""
        actor, after = transition.actor, transition.state
        first = CreatingGroup() if actor.dev_eui is None else Waiting()
        version, before = self._stands.get(actor, (1, first))
        assert transition.version == version + 1, f"{actor}: version {transition.version} after {version}"
        said = self._said[actor]
        assert said.before == before, f"{actor}: {before} is written, and the actor was in {said.before}"
        assert said.after == after, f"{actor}: {said.after} was to be written, not {after}"
        step = deployment_machine.step if actor.dev_eui is None else device_machine.step
        again = step(said.plan, before, said.fact, said.now)
        assert again == after, f"{actor}: asked again the machine says {again}, not {after}"
        self._stands[actor] = transition.version, after
        if isinstance(after, InSession):
            self._check_sent(actor, before, after)
        if actor.dev_eui is not None and isinstance(after, Complete | Released):
            self._check_image(actor, actor.dev_eui, after)

    def stands(self, actor: ActorId) -> Any:
        """The state that was written last; None if none was since the creation."""
        return self._stands.get(actor, (0, None))[1]

    def _check_sent(self, actor: ActorId, last: Any, state: InSession) -> None:
        name, before = group_name(actor.deployment_id), state.before
        if isinstance(last, InSession) and last.round != state.round:
            self.enqueued[name], self.enqueued[state.group_id] = set(), set()
        missing = set(range(1, before + 1)) - self.enqueued[name]
        missing |= set(range(before + 1, state.sent + 1)) - self.enqueued[state.group_id]
        assert not missing, f"{actor}: fragments {sorted(missing)} are claimed and were not enqueued: {state}"

    def _check_image(self, actor: ActorId, dev_eui: EUI64, state: Complete | Released) -> None:
        asked = self.asked[actor.deployment_id]
        blocks = asked.devices[dev_eui].fragments.blocks
        self.held[actor] = blocks.get(asked.order.fragmentation_session_index) == asked.order.payload
        assert self.held[actor] or isinstance(state, Released), f"{actor} is said to be complete"

    @contextmanager
    def overhearing(self) -> Iterator[None]:
        """Hear what every actor is told, and what its machine says to that."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeploymentActor, "step", self._overheard(DeploymentActor.step, lambda it: it.plan))
            patch.setattr(
                DeviceActor, "step", self._overheard(DeviceActor.step, lambda it: it.assignment.plan)
            )
            yield

    def _overheard(self, step: Callable[..., Any], plan: Callable[[Any], Plan]) -> Callable[..., Any]:
        def overheard(actor: Any, state: Any, fact: Any, now: datetime) -> Any:
            after = step(actor, state, fact, now)
            self._said[actor.id] = Step(plan(actor), state, fact, now, after)
            return after

        return overheard


class WitnessedNetwork(SimulatedNetwork):
    """Tells the witness which fragments ChirpStack has taken, also where its answer was lost."""

    witness: Witness
    hidden = False
    """Whether no group's queue is shown."""

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        known = self._chirpstack.groups.get(group.id)
        before = 0 if known is None else known.queue.next_f_cnt
        try:
            await super().multicast(group, f_port, data)
        finally:
            if known is not None and known.queue.next_f_cnt > before:
                (fragment,) = fragmentation.package.read("down", data, 1).commands
                assert isinstance(fragment, fragmentation.DataFragment)
                self.witness.enqueued[group.id].add(fragment.n)
                self.witness.enqueued[known.settings.name].add(fragment.n)

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        if self.hidden:
            async with self._call(group.about, group, lane=Lane.GROUPS):
                raise ApiError("INTERNAL", "the queue is not shown")
        return await super().waiting(group)
