"""A permit that ends when a call has passed the gate: whoever is fenced calls nobody."""

import attrs
import pytest
import structlog
import trio

from fuota.network.chirpstack import ChirpStack
from tests.contract.network.opened import Opened


@attrs.define
class Fleeting:
    """There, until it has been asked so often; and again when it is given back."""

    lasts: int
    back: trio.Event = attrs.field(factory=trio.Event)
    gone: trio.Event = attrs.field(factory=trio.Event)

    @property
    def certain(self) -> bool:
        self.lasts -= 1
        if self.lasts < 0:
            self.gone.set()
        return self.lasts >= 0 or self.back.is_set()

    async def assured(self) -> None:
        if self.lasts <= 0:
            self.gone.set()
            await self.back.wait()


@pytest.mark.parametrize("lasts", [1, 2], ids=["before it crosses", "before the message"])
async def test_a_call_is_not_sent_when_the_permit_has_ended_since_the_gate(lasts: int, wired: Opened) -> None:
    """The process was suspended meanwhile, and another server has taken over."""
    assert isinstance(wired.network, ChirpStack)
    group, permit = await wired.make(), Fleeting(lasts)
    network, calls = wired.network.if_permitted(permit), wired.conditions.calls
    with structlog.testing.capture_logs() as said, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(network.delete_group, wired.group)
            await permit.gone.wait()
            assert await wired.network.has_group(group)
            assert wired.conditions.calls == calls + 1, "this one came over the same connection, later"
            permit.back.set()
    assert not wired.group_ids
    assert not said
