"""How a simulated device differs from one that does everything as the specifications say."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum

import attrs

from fuota.lorawan.package import Command


class Stack(Enum):
    """Whose reading of the specifications a device follows where they differ (as seen in running code).

    It matters for what FragSessionStatusAns counts (TS004 section 5.2), for how a session that would have
    begun already is refused (TS005 section 3.5), and for uncoded fragments that come after later ones or
    coded ones: all stacks but the text drop them.
    """

    TEXT = "text"
    LORAMAC_NODE = "LoRaMac-node"
    SWL2001 = "SWL2001"
    ZEPHYR = "Zephyr"


@attrs.frozen(kw_only=True)
class Behaviour:
    """What is special about a device; whatever is set applies together."""

    silent: bool = False
    """Takes no command, though it goes on sending its own uplinks."""
    ignores: frozenset[type[Command]] = frozenset()
    """Requests that it does not take; for instance `{FragSessionStatusReq}`."""
    refuses: Mapping[type[Command], Command] = attrs.field(factory=dict, hash=False)
    """Requests that it does not take either, each with what is answered instead; for instance
    `{McGroupSetupReq: McGroupSetupAns(mc_group_id=0, id_error=True)}`."""
    loses: frozenset[type[Command]] = frozenset()
    """Answers that no gateway hears, though it did what it was asked; as in `{McClassCSessionAns}`."""
    answer_delay: timedelta = timedelta(milliseconds=500)
    """Between a downlink and the uplink with its answers."""
    early_time_to_start: bool = False
    """TimeToStart counts from the request and not from the uplink, as in LoRaMac-node, SWL2001 and Zephyr."""
    clock_offset: timedelta = timedelta(0)
    """What the device's clock is ahead of the true time at first; TS003 corrects it."""
    uplink_loss: float = 0.0
    """Share of its uplinks that no gateway hears, beside those that the radio loses for everybody."""
    downlink_loss: float = 0.0
    """Share of downlinks that it does not hear, unicast and multicast, beside those lost for everybody."""
    dropped: int = 0
    """Unicast downlinks that the network drops, the first ones: they are too large for its data rate."""
    memory: int = 1 << 20
    """Octets that all its fragments may take; a larger FragSessionSetupReq is refused."""
    max_lost: int | None = None
    """Lost uncoded fragments that the decoder has room to repair; with more the session is dead."""
    trailing: int = 0
    """Fragments that it has to hear beyond those that complete the block, though it says already that it has
    all. (LoRaMac-node needed one until 2022.)"""
    keeps_count: bool = False
    """NbFragReceived is that of the last session until a fragment is heard, in LoRaMac-node."""
    wrong_root_key: bool = False
    """Its McRootKey is not the one that the server has been told."""
    stack: Stack = Stack.TEXT
