"""The fragments of one deployment as they go out."""

from collections.abc import Awaitable, Callable, Collection

import attrs
import trio

from fuota.deployment.plan import Plan
from fuota.device.effects import VERSION
from fuota.lorawan import fragmentation
from fuota.lorawan.parity import encode, split

SMALL = 1 << 14
"""Octets of firmware whose fragments are made quicker than others would notice."""

AT_ONCE = 1000
"""Payloads that are read before others get a turn."""


async def lowest(payloads: Collection[bytes]) -> int | None:
    """The lowest number N of these DataFragments; None if there are none."""
    least = None
    for count, payload in enumerate(payloads, start=1):
        for command in fragmentation.package.read("down", payload, VERSION).commands:
            if isinstance(command, fragmentation.DataFragment):
                least = command.n if least is None else min(least, command.n)
        if count % AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
    return least


@attrs.define
class Air:
    """Makes the payloads of the fragments when they are first needed, large ones in a thread."""

    plan: Plan
    read: Callable[[bytes], Awaitable[bytes]]
    """The firmware by its SHA-256."""
    _payloads: list[bytes] = attrs.field(factory=list, repr=False)

    async def payloads(self, after: int, upto: int) -> list[bytes]:
        """DataFragment `after + 1` … `upto`, uncoded ones first (TS004 section 5.7)."""
        if not self._payloads:
            firmware = await self.read(self.plan.firmware_sha256)
            if len(firmware) > SMALL:
                self._payloads = await trio.to_thread.run_sync(self._made, firmware)
            else:
                self._payloads = self._made(firmware)
        return self._payloads[after:upto]

    def clear(self) -> None:
        """Forget the payloads until they are needed again."""
        self._payloads = []

    def _made(self, firmware: bytes) -> list[bytes]:
        plan = self.plan
        uncoded = split(firmware, plan.frag_size)
        coded = encode(firmware, plan.frag_size, plan.redundancy, version=VERSION)
        package, index = fragmentation.package, plan.frag_index
        return [
            package.write(
                fragmentation.DataFragment(frag_index=index, n=number, data=bytes(data)), version=VERSION
            )
            for number, data in enumerate([*uncoded, *coded], start=1)
        ]
