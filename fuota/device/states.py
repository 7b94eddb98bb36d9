"""Where one device stands in its deployment.

`deadline` is the UTC instant at which the wait is over. It says when a request is sent again after a
restart; while the process lives, patience counts from the moment the network has taken the request.
`dropped` says why the network has not sent the last attempt: nothing more is sent unless something was away,
but an earlier one may still be answered.
"""

from datetime import datetime
from enum import Enum

import attrs

from fuota.deployment.states import Session


class Reason(Enum):
    """Why a device has failed."""

    NO_ANSWER = "no-answer"
    NOT_SENT = "not-sent"
    UNKNOWN_DEVICE = "unknown-device"
    NETWORK_REFUSED = "network-refused"
    GROUP_REFUSED = "group-refused"
    FRAGMENTATION_REFUSED = "fragmentation-refused"
    SESSION_REFUSED = "session-refused"
    CLOCK_OFF = "clock-off"
    START_MISSED = "start-missed"
    NOT_ENOUGH_MEMORY = "not-enough-memory"
    INCOMPLETE = "incomplete"
    ABANDONED = "abandoned"


@attrs.frozen
class Waiting:
    """There is no group yet."""


@attrs.frozen
class JoiningGroup:
    """The network is asked to make the device a member of the group."""

    group_id: str


@attrs.frozen
class SettingUpGroup:
    """McGroupSetupReq is out (TS005 section 3.2)."""

    attempt: int
    deadline: datetime
    group_id: str = ""
    """Of which the device was made a member."""
    dropped: str = ""
    spared: int = 0
    """How often the attempt was made again, for it may not be the device that was away."""
    untaken: bool = False
    """It is made again, and the network has not said yet that it has that request."""


@attrs.frozen
class SettingUpFragments:
    """FragSessionSetupReq is out (TS004 section 5.3)."""

    attempt: int
    deadline: datetime
    dropped: str = ""
    spared: int = 0
    untaken: bool = False


@attrs.frozen
class Prepared:
    """Group and fragmentation session are set up; the start of the session is awaited to be told."""


@attrs.frozen
class Told:
    """What is known of the device by earlier windows of the round, while there is another."""

    since: datetime | None
    """When the last one opened after which it was asked: what was received later may be an answer that was
    long on its way. None: it was not asked."""
    enough: "Unconfirmed | None" = None
    """It has fragments enough, by what it said: it may start its image, and say nothing any more."""
    counts_anew: bool = False
    missed: "Failed | None" = None
    """Why it was not heard to agree to one of them: what leaves the least doubt that it has missed it."""


@attrs.frozen
class SettingUpSession:
    """McClassCSessionReq or McClassBSessionReq is out (TS005 sections 3.3 and 3.4)."""

    session: Session
    attempt: int
    deadline: datetime
    otherwise: "Failed"
    """How the device has failed if it never agrees."""
    dropped: str = ""
    spared: int = 0
    put_right: bool = False
    """Its clock was, since it was asked for this session first."""
    told: Told | None = None
    missed: int = 0
    """How many starts were put off since the network took its request: it may have been asked too late for
    one, or for its clock to be put right by then."""
    untaken: bool = False


@attrs.frozen
class CorrectingClock:
    """The device's clock is off: ForceDeviceResyncReq is out (TS003); then the session is asked for again."""

    session: Session
    attempt: int
    """Of the session request that showed it."""
    deadline: datetime
    otherwise: "Failed"
    agreed: bool = False
    """It has told its start of the session, if not rightly: its clock is off, or the answer was long on its
    way."""
    spared: int = 0
    put_right: bool = False
    """It was before, since the device was asked for this session first."""
    told: Told | None = None
    missed: int = 0
    untaken: bool = False


@attrs.frozen
class Listening:
    """The device has agreed to the session."""

    session: Session
    told: Told | None = None


@attrs.frozen
class Unheard:
    """The device was not heard to agree to the session: an answer may be all that was lost, or its clock may
    be off by less than the window is long."""

    session: Session
    otherwise: "Failed"
    """How the device has failed if it does not know of any fragments either."""
    told: Told | None = None


@attrs.frozen
class AskingStatus:
    """FragSessionStatusReq is out (TS004 section 5.1)."""

    session: Session
    attempt: int
    deadline: datetime
    dropped: str = ""
    otherwise: "Failed | Unconfirmed | None" = None
    """What the device is if nothing is heard of it, or why it is incomplete then, if it has said why it would
    hear nothing; None: it has failed to answer."""
    spared: int = 0
    counts_anew: bool = False
    """It has told another NbFragReceived than in an earlier deployment."""
    missed: "Failed | None" = None
    """Why it was not heard to agree to this window, or to an earlier one of the round."""
    untaken: bool = False


@attrs.frozen
class StillListening:
    """Asked while its window was open, the device had not everything yet; at `deadline` it is asked again."""

    session: Session
    deadline: datetime
    otherwise: "Failed | Unconfirmed | None" = None
    """It has enough by what it said before, though not all: it may be reset before it can say so again. Or it
    has said why it would hear nothing, and has heard nothing."""
    counts_anew: bool = False
    missed: "Failed | None" = None


@attrs.frozen
class Incomplete:
    """The device has told that it has not enough, or why it would hear nothing and not what it has; or it
    may lack what was sent while it did not listen: all may be sent once more."""

    otherwise: "Failed | Unconfirmed"
    """What the device is if it is not."""
    counts_anew: bool = False
    """It has told another NbFragReceived than in an earlier deployment."""


@attrs.frozen
class Withdrawing:
    """The deployment does not go on, and a request may still wait in the device's queue: it is taken back."""

    otherwise: "Failed"
    """How the device has failed."""


@attrs.frozen
class Complete:
    """The device has the whole image."""

    nb_frag_received: int


@attrs.frozen
class Unconfirmed:
    """It received enough fragments but reports some as missing.

    It may well be complete: LoRaMac-node never counts MissingFrag back after a repair.
    """

    nb_frag_received: int
    missing_frag: int


@attrs.frozen
class Released:
    """The fragments were sent, and the order was not to ask."""


@attrs.frozen
class Failed:
    """The device will not get the image in this deployment."""

    reason: Reason
    detail: str


State = (
    Waiting
    | JoiningGroup
    | SettingUpGroup
    | SettingUpFragments
    | Prepared
    | SettingUpSession
    | CorrectingClock
    | Listening
    | Unheard
    | AskingStatus
    | StillListening
    | Incomplete
    | Withdrawing
    | Complete
    | Unconfirmed
    | Released
    | Failed
)
