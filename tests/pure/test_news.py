"""Of which transitions of a deployment the operator is told."""

from datetime import UTC, datetime, timedelta

import attrs

from fuota.deployment.record import is_news
from fuota.deployment.states import ArrangingSession, AwaitingStart, Session, Transmitting

START = datetime(2026, 11, 29, 12, tzinfo=UTC)
ARRANGING = ArrangingSession("id", Session(1, START, START + timedelta(minutes=1)), 0)


def test_a_step_is() -> None:
    assert is_news(ARRANGING, ARRANGING.to(AwaitingStart))


def test_a_start_that_is_put_off_is() -> None:
    later = attrs.evolve(ARRANGING.session, number=2, start=START + timedelta(seconds=53))
    assert is_news(ARRANGING, attrs.evolve(ARRANGING, session=later))


def test_another_batch_is_not() -> None:
    sending = ARRANGING.to(Transmitting)
    assert not is_news(sending, attrs.evolve(sending, sent=10))
