"""TS004, fragmented data block transport: a block in numbered fragments, and what became of it.

FragIndex is 0–3. Fragments are counted from 1; those after NbFrag are coded (`parity`).
"""

import re

from fuota.lorawan.fields import flag, octets, u
from fuota.lorawan.package import Command, Package
from fuota.lorawan.wire import Seen

package = Package("fragmentation", identifier=3, port=201, versions=(1, 2))


@package.command("down", 0x01)
class FragSessionStatusReq(Command):
    participants: bool = flag()
    """Whether those answer too that miss nothing."""
    frag_index: int = u(2, rfu=5)


_OTHER_ANSWERS = re.compile(rb"(?:\x00\x03.|[\x02-\x04].)*", re.DOTALL)


def _session_exists(ans: Seen) -> bool:
    return not ans.get("session_does_not_exist")


def _numbers_follow(left: bytes) -> bool:
    """Whether three octets follow even if there is no session: in the text they do not, from devices they do.

    What is left is taken for numbers unless it reads as other answers to its end.
    """
    return len(left) >= 3 and not _OTHER_ANSWERS.fullmatch(left)


def _has_numbers(ans: Seen) -> bool:
    return ans["nb_frag_received"] is not None


@package.command("up", 0x01)
class FragSessionStatusAns(Command):
    """The numbers mean different things in different stacks (MissingFrag after repair above all).

    They are None where the device has no such session, and mean nothing if it sends them nevertheless.
    """

    not_enough_matrix_memory: bool = flag(last=1)
    """MemoryError in version 2, where it comes first with the others; version 1 has it at the end."""
    mic_error: bool = flag(live=2, last=1)
    """Means something when nothing is missing."""
    session_does_not_exist: bool = flag(live=2, last=1, rfu=5)
    nb_frag_received: int | None = u(14, when=_session_exists, even_if=_numbers_follow, default=None)
    frag_index: int | None = u(2, when=_has_numbers, default=None)
    missing_frag: int | None = u(8, when=_has_numbers, default=None)
    """255 stands for more, too."""


@package.command("down", 0x02)
class FragSessionSetupReq(Command):
    mc_group_bit_mask: int = u(4)
    """Bit i lets fragments in from McGroupID i; a device drops those of any other group."""
    frag_index: int = u(2, rfu=2)
    nb_frag: int = u(16, least=1, most=16383)
    frag_size: int = u(8, least=1)
    block_ack_delay: int = u(3)
    """An answer may take up to 2^(BlockAckDelay + 4) seconds."""
    frag_algo: int = u(3)
    """0: the one of `parity`."""
    ack_reception: bool = flag(live=2, rfu=1)
    """Whether the device reports a complete block of its own accord (FragDataBlockReceivedReq)."""
    padding: int = u(8)
    """Octets at the end of the last fragment that are not of the block."""
    descriptor: bytes = octets(4)
    session_cnt: int | None = u(16, since=2, default=None)
    """Greater than in any earlier session of this device and FragIndex."""
    mic: bytes | None = octets(4, since=2, default=None)
    """`keys.block_mic`."""


@package.command("up", 0x02)
class FragSessionSetupAns(Command):
    encoding_unsupported: bool = flag()
    """FragAlgo is unknown."""
    not_enough_memory: bool = flag()
    frag_session_index_not_supported: bool = flag()
    wrong_descriptor: bool = flag()
    session_cnt_replay: bool = flag(live=2, rfu=1)
    frag_index: int = u(2)


@package.command("down", 0x03)
class FragSessionDeleteReq(Command):
    frag_index: int = u(2, rfu=6)


@package.command("up", 0x03)
class FragSessionDeleteAns(Command):
    frag_index: int = u(2)
    session_does_not_exist: bool = flag(rfu=5)


@package.command("up", 0x04, since=2)
class FragDataBlockReceivedReq(Command):
    """The block is complete; sent again until it is answered."""

    frag_index: int = u(2)
    mic_error: bool = flag(rfu=5)


@package.command("down", 0x04, since=2)
class FragDataBlockReceivedAns(Command):
    frag_index: int = u(2, rfu=6)


@package.command("down", 0x08, alone=True)
class DataFragment(Command):
    n: int = u(14, least=1)
    """Stacks compute n - 1 and write there, so 0 must not be sent."""
    frag_index: int = u(2)
    data: bytes = octets()
    """FragSize octets, those at its end that are 00 included."""
