"""Fleets and states of a deployment, as the tests of its machine expect them."""

import attrs

from fuota.deployment.messages import Tally
from fuota.deployment.states import (
    Session,
    State,
    Transmitting,
)


def tally(
    group: int = 0,
    fragments: int = 0,
    prepared: int = 0,
    asked: int = 0,
    ready: int = 0,
    unheard: int = 0,
    leaving: int = 0,
    settled: int = 0,
    complete: int = 0,
    incomplete: int = 0,
) -> Tally:
    return Tally(
        group,
        fragments,
        prepared,
        asked,
        ready,
        unheard,
        leaving,
        settled,
        complete,
        incomplete=incomplete,
    )


def transmitting(
    state: State, group_id: str, session: Session, sent: int, *, lost: int = 0, used: int = 0
) -> bool:
    """Whether that is the state, whatever it says of its batch."""
    expected = Transmitting(group_id, session, sent, lost, used)
    return isinstance(state, Transmitting) and attrs.evolve(state, upto=0, drained=None) == expected
