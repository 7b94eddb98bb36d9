"""Orders become deployments: checked, written down, and begun."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from random import Random, SystemRandom
from uuid import UUID

import attrs
import trio

from fuota.clock import Clock
from fuota.deployment import states as deployment_states
from fuota.deployment.order import Order, Problem, plan
from fuota.device import states as device_states
from fuota.journal.port import Journal, NewDeployment, NewDevice
from fuota.lorawan.eui import EUI64

MC_ADDR_BITS = 25
"""McAddr is drawn from the addresses of NetID 000000, which is ChirpStack's own (TS001 section 6.1.1)."""

FEW = 1000
SMALL = 1 << 20
"""Devices, and octets of firmware, up to which an order is checked quicker than others would notice."""


@attrs.frozen
class Orders:
    """Where deployments are ordered."""

    journal: Journal
    clock: Clock
    begin: Callable[[UUID], Awaitable[None]]
    """Is told of every deployment that has been written."""
    random: Random = attrs.field(factory=SystemRandom)
    """Where ids, addresses and keys come from."""

    async def take(self, order: Order, more: Sequence[Problem] = ()) -> UUID:
        """The id of the new deployment, which exists from here on whatever happens to the process.

        `more`: problems that the API has found already. Raises `InvalidOrder`, `journal.Conflict` and
        `journal.Unavailable`.
        """
        now = self.clock.now()
        if len(order.devices) > FEW or len(order.payload) > SMALL:
            new = await trio.to_thread.run_sync(self._new, order, more, now)
        else:
            new = self._new(order, more, now)
        with trio.CancelScope(shield=True):  # what is written is begun, also for a client that hangs up
            await self.journal.create(new)
            await self.begin(new.id)
        return new.id

    def _new(self, order: Order, more: Sequence[Problem], now: datetime) -> NewDeployment:
        return NewDeployment(
            id=UUID(bytes=self.random.randbytes(16), version=4),
            plan=plan(order, mc_addr=self.random.getrandbits(MC_ADDR_BITS), more=more),
            mc_key=self.random.randbytes(16),
            firmware=order.payload,
            devices=[
                NewDevice(dev_eui=EUI64(device.dev_eui), mc_root_key=device.mc_root_key)
                for device in order.devices
            ],
            created_at=now,
            state=deployment_states.CreatingGroup(),
            device_state=device_states.Waiting(),
        )
