"""A simulated device's side of fragmented data block transport (TS004)."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import attrs

from fuota.lorawan.decoder import Decoder
from fuota.lorawan.fragmentation import (
    DataFragment,
    FragSessionDeleteAns,
    FragSessionDeleteReq,
    FragSessionSetupAns,
    FragSessionSetupReq,
    FragSessionStatusAns,
    FragSessionStatusReq,
)
from fuota.lorawan.package import Command
from fuota.simulation.answer import Answer
from fuota.simulation.behaviour import Behaviour, Stack

MANY = 255
"""MissingFrag has one octet: so many or more."""


@attrs.define
class Session:
    """A fragmentation session and what has been received in it."""

    setup: FragSessionSetupReq
    decoder: Decoder
    highest: int = 0
    """The largest N seen."""
    lost: int = 0
    """Uncoded fragments passed over, as far as the highest N shows; repair does not lower it."""
    out_of_memory: bool = False
    trailing: int = 0
    """See `Behaviour`."""
    kept: int = 0
    """What is counted until the first fragment is heard."""

    def take(self, n: int, octets: bytes, max_lost: int | None) -> bool:
        """Receive fragment N; true if with it there is the block. Then, as device stacks do, take no more."""
        if self.out_of_memory:
            return False
        if self.decoder.complete:
            self.trailing -= 1
            return self.trailing == 0
        uncoded = self.setup.nb_frag
        self.lost += max(0, min(n - 1, uncoded) - min(self.highest, uncoded))
        self.highest = max(self.highest, n)
        self.out_of_memory = max_lost is not None and self.lost > max_lost
        return not self.out_of_memory and self.decoder.receive(n, octets) and not self.trailing

    def status(self, stack: Stack) -> FragSessionStatusAns:
        """The answer to FragSessionStatusReq as this stack gives it (what was seen in running code)."""
        received, missing = self.decoder.nb_received, min(self.decoder.missing, MANY)
        if stack is Stack.LORAMAC_NODE:
            received, missing = self.highest or self.kept, self.lost & 0xFF
        elif stack is Stack.SWL2001 and self.decoder.complete and not self.lost:
            missing = 1
        elif stack is Stack.ZEPHYR:  # which takes fragments enough for the whole block
            missing = min(max(self.setup.nb_frag - received, 0), MANY)
        return FragSessionStatusAns(
            frag_index=self.setup.frag_index,
            nb_frag_received=received,
            missing_frag=missing,
            not_enough_matrix_memory=self.out_of_memory,
        )

    def concerns(self, stack: Stack) -> bool:
        """Whether the device answers a status request to those that still miss something."""
        return bool(self.status(stack).missing_frag)


@attrs.define
class Reassembly:
    """The fragmentation sessions of a device, and the blocks that came out of them."""

    _behaviour: Behaviour
    _random: Random
    sessions: dict[int, Session] = attrs.field(factory=dict, init=False)
    """By FragIndex."""
    blocks: dict[int, bytes] = attrs.field(factory=dict, init=False, repr=False)
    """FragIndex -> its last complete block, in the order in which they were completed."""
    _counted: int = attrs.field(default=0, init=False)
    """NbFragReceived of the session in which a fragment was heard last."""

    def obey(self, command: Command, group_id: int | None) -> Iterator[Answer]:
        """What the device sends because of `command`; `group_id` is None if it came by unicast."""
        match command:
            case DataFragment():
                self._receive(command, group_id)
            case FragSessionStatusReq():
                yield from self._status(command, group_id is not None)
            case _ if group_id is not None:
                return  # all else is unicast only (TS004 section 5)
            case FragSessionSetupReq():
                yield Answer(self._set_up(command))
            case FragSessionDeleteReq(frag_index=index):
                unknown = self.sessions.pop(index, None) is None
                yield Answer(FragSessionDeleteAns(frag_index=index, session_does_not_exist=unknown))

    def _set_up(self, request: FragSessionSetupReq) -> FragSessionSetupAns:
        unsupported = request.frag_algo != 0
        too_large = request.nb_frag * request.frag_size > self._behaviour.memory
        if not unsupported and not too_large:
            behaviour = self._behaviour
            in_order = behaviour.stack is not Stack.TEXT
            decoder = Decoder(request.nb_frag, request.frag_size, in_order=in_order)
            kept = self._counted if behaviour.keeps_count else 0
            self.sessions[request.frag_index] = Session(
                request, decoder, trailing=behaviour.trailing, kept=kept
            )
        return FragSessionSetupAns(
            frag_index=request.frag_index, encoding_unsupported=unsupported, not_enough_memory=too_large
        )

    def _receive(self, fragment: DataFragment, group_id: int | None) -> None:
        session = self.sessions.get(fragment.frag_index)
        if session is None or (group_id is not None and not session.setup.mc_group_bit_mask & 1 << group_id):
            return
        if fragment.n == 0 or len(fragment.data) != session.setup.frag_size:
            return
        taken = session.take(fragment.n, fragment.data, self._behaviour.max_lost)
        self._counted = session.highest
        if taken:
            block = session.decoder.block()
            self.blocks.pop(fragment.frag_index, None)  # the last one goes to the end
            self.blocks[fragment.frag_index] = block[: len(block) - session.setup.padding]

    def _status(self, request: FragSessionStatusReq, by_multicast: bool) -> Iterator[Answer]:
        """Asked by multicast, a device waits a random time before it answers (TS004 section 5.8)."""
        index, stack = request.frag_index, self._behaviour.stack
        session = self.sessions.get(index)
        if session is None:
            yield Answer(FragSessionStatusAns(frag_index=index, nb_frag_received=0, missing_frag=0))
        elif request.participants or session.concerns(stack):
            longest = 1 << (session.setup.block_ack_delay + 4) if by_multicast else 0
            delay = timedelta(seconds=self._random.uniform(0, longest))
            yield Answer(lambda _: session.status(stack), delay)
