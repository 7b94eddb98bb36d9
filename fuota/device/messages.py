"""What a device actor is told."""

from collections.abc import Callable
from datetime import datetime

import attrs

from fuota.deployment.states import Session
from fuota.device.effects import Ask
from fuota.fate import Dropped, OnAir
from fuota.lorawan.package import Command
from fuota.uplink import Uplink


@attrs.frozen
class Begin:
    """There is a group: join it and get ready."""

    group_id: str


@attrs.frozen
class Arrange:
    """This is the session."""

    session: Session
    asked: bool = True
    """Whether the network had taken the request for the one before."""


@attrs.frozen
class Close:
    """The session has begun: nobody is asked to agree to it any more."""

    session: Session


@attrs.frozen
class Verify:
    """The fragments are sent: ask what has been received. `last`: no others follow in another session."""

    session: Session
    last: bool = True


@attrs.frozen
class Release:
    """No more fragments are sent in this round, and nobody asks."""

    whole: bool = True
    """Whether all of them were sent."""


@attrs.frozen
class Conclude:
    """Nothing is sent any more: who has not enough by now has failed."""


@attrs.frozen
class Abandon:
    """The deployment can not go on."""

    detail: str


@attrs.frozen
class Joined:
    """The network has made the device a member of the group."""


@attrs.frozen
class Withdrawn:
    """What waited for the device is taken back, or left where it is for a reason."""


@attrs.frozen
class Refused:
    """The network has declined what was asked for this device."""

    unknown: bool
    """The network does not know the device."""
    detail: str


@attrs.frozen
class Answered:
    """The device has sent a command of package TS004 or TS005. `last`: when it was known that no fragments
    follow in another session. `nb_frag_before`: what it may go on to tell of an earlier deployment. `early`:
    the network has not said yet that it has the present request. `overtaken`: since that was made, the
    device's clock was put right."""

    command: Command
    received_at: datetime
    last: bool = True
    nb_frag_before: int | None = None
    early: bool = False
    overtaken: bool = False


@attrs.frozen
class ClockAnswered:
    """The device has asked for the time, and the network has the answer, if one was due."""

    correction: int
    """What is added to its clock, in seconds."""


@attrs.frozen
class Expired:
    """The deadline of the present state has come."""


@attrs.frozen
class Taken:
    """The network has the request in hand."""


@attrs.frozen
class Unattended:
    """The wait for an answer is over, and one may have come and found nobody there."""

    surely: bool = True
    """Something was away; else no more is known than that a look at the network has failed at first."""


@attrs.frozen
class Heard:
    """An uplink of the device on port 200 or 201; `done` is called when all it holds is safe."""

    uplink: Uplink
    done: Callable[[], None] = attrs.field(eq=False, repr=False)


Instruction = Begin | Arrange | Close | Verify | Release | Conclude | Abandon
"""What a deployment tells all its devices alike."""

Fact = (
    Instruction
    | Joined
    | Withdrawn
    | Refused
    | Answered
    | ClockAnswered
    | Expired
    | Taken
    | Unattended
    | Dropped
)
"""What the machine understands."""


@attrs.frozen(eq=False)
class HandedOver:
    """The network has the request of the present state in hand."""

    ask: Ask
    item: str | None
    """What the network calls it; None: there is nothing that could be sent to the device at present."""
    anew: bool
    """Whether it is another; or the same of an earlier attempt still waits in the device's queue."""


@attrs.frozen(eq=False)
class Looked:
    """The wait for an answer is over, and the network works."""

    ask: Ask
    troubled: bool
    """It did not at first."""


Message = Fact | Heard | HandedOver | Looked | OnAir
"""What the actor understands."""


def of_no_concern(message: Message) -> None:
    """The deployment has ended before its device's actor took the message."""
    if isinstance(message, Heard):
        message.done()
