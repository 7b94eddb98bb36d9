"""How far a device is, in the few words its deployment needs."""

from enum import IntEnum

import attrs

from fuota.deployment.plan import Plan
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
    JoiningGroup,
    Listening,
    Prepared,
    Reason,
    Released,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    State,
    StillListening,
    Unconfirmed,
    Unheard,
    Waiting,
    Withdrawing,
)

OFTEN = 3
"""How often the start is put off for a device that has no attempts left and may have been asked too late."""

COMPLETE = "complete"
RELEASED = "released"
UNCONFIRMED = "unconfirmed"


class Stage(IntEnum):
    """Each stage is the wait for the next. ASKED is the last attempt with the session request, or any but the
    first of one that has answered, and whose clock was asked to be put right: it has had its time to agree,
    whereas one that is PREPARED has attempts left, or the network has yet to take the last one. (An only
    attempt may have been made late, or leave no time to put a clock right, and one whose clock was put right
    may not have been asked again: for that the start is put off `OFTEN` times.) For one that is UNHEARD
    nobody waits or sends, but it is asked with the others what it has. One that is INCOMPLETE has not enough,
    as far as it says, and is set up anew if all is sent once more. Only the end of the deployment waits for
    one that is LEAVING."""

    GROUP = 0
    FRAGMENTS = 1
    PREPARED = 2
    ASKED = 3
    READY = 4
    UNHEARD = 5
    INCOMPLETE = 6
    LEAVING = 7
    SETTLED = 8


@attrs.frozen
class Standing:
    """A device's stage; `session` is the number of the one it is READY for, 0 otherwise.

    `outcome` says in a word how a device has settled.
    """

    stage: Stage
    session: int = 0
    outcome: str = ""


def standing(plan: Plan, state: State, *, waits: bool = False) -> Standing:
    """What a device in `state` announces; `waits`: the network has yet to take its request."""
    match state:
        case Waiting() | JoiningGroup() | SettingUpGroup():
            return Standing(Stage.GROUP)
        case SettingUpFragments():
            return Standing(Stage.FRAGMENTS)
        case Prepared():
            return Standing(Stage.PREPARED)
        case SettingUpSession(_, attempt, _, otherwise, put_right=put_right, missed=missed) | CorrectingClock(
            _, attempt, _, otherwise, put_right=put_right, missed=missed
        ):
            silent = otherwise.reason is Reason.NO_ANSWER
            if waits and silent and not put_right:
                asked = False
            elif put_right or plan.unicast_attempts == 1:
                asked = missed >= OFTEN
            elif silent:
                asked = attempt == plan.unicast_attempts
            else:
                asked = attempt > 1
            return Standing(Stage.ASKED if asked else Stage.PREPARED)
        case Listening(session) | AskingStatus(session) | StillListening(session):
            return Standing(Stage.READY, session.number)
        case Unheard():
            return Standing(Stage.UNHEARD)
        case Incomplete():
            return Standing(Stage.INCOMPLETE)
        case Withdrawing():
            return Standing(Stage.LEAVING)
        case Complete():
            return Standing(Stage.SETTLED, outcome=COMPLETE)
        case Unconfirmed():
            return Standing(Stage.SETTLED, outcome=UNCONFIRMED)
        case Released():
            return Standing(Stage.SETTLED, outcome=RELEASED)
        case Failed(reason):
            return Standing(Stage.SETTLED, outcome=reason.value)
