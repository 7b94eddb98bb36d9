"""What the server says of a network that nobody calls any more."""

from datetime import timedelta

import pytest
import structlog
import trio

from fuota.network import gate
from fuota.network.port import Unreachable
from tests.contract.network.opened import Opened


async def test_an_idle_server_is_well_again(wired: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group was deleted, although the answer was lost: all that is asked then is a list of groups."""
    monkeypatch.setattr(gate, "LASTS", 0.1)
    group = await wired.make()
    with structlog.testing.capture_logs() as said:
        wired.conditions.outage(timedelta(hours=1))
        for _ in range(gate.AILING):
            with pytest.raises(Unreachable):
                await wired.network.delete_group(wired.group)
        wired.world.chirpstack.delete_group(group.id)
        wired.conditions.outages.clear()
        await wired.network.delete_group(wired.group)
        with trio.fail_after(10):
            while wired.health.ailments():  # noqa: ASYNC110, it does not tell
                await trio.sleep(0.01)
    assert [line["event"].partition(":")[0] for line in said] == ["ailing", "not known to ail any more"]
