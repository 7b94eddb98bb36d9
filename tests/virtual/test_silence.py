"""Who waits for an owner to fall silent measures that by a clock of its own."""

import trio
from trio.testing import MockClock

from fuota.journal.silence import Watch

HOUR = 3600.0


def row(renewal: int, epoch: int = 1, holder: str = "attic, process 12") -> tuple[int, str, str]:
    return epoch, holder, f"2026-11-24 10:00:{renewal:02}+00"


async def test_a_row_is_silent_while_it_stays_the_same(autojump_clock: MockClock) -> None:
    watch = Watch()
    watch.see(row(1), 0.5)
    await trio.sleep(4)
    watch.see(row(1), 4.5)
    assert (watch.unchanged, watch.silent) == (4, 4.5)
    for other in (row(2), row(2, epoch=2), row(2, epoch=2, holder="nobody")):
        watch.see(other, 0)
        assert (watch.unchanged, watch.silent) == (0, 0)
        await trio.sleep(4)


async def test_what_the_database_s_clock_says_counts_for_the_first_row_alone(
    autojump_clock: MockClock,
) -> None:
    """It is set forward by an hour while we wait, and back again by two."""
    watch = Watch()
    watch.see(row(1), HOUR)
    assert (watch.unchanged, watch.silent) == (0, HOUR)
    for renewal, said in ((2, HOUR), (3, -HOUR)):
        watch.see(row(renewal), said)
        assert (watch.unchanged, watch.silent) == (0, 0)
        await trio.sleep(7)
        watch.see(row(renewal), said + 7)
        assert (watch.unchanged, watch.silent) == (7, 7)


async def test_a_first_row_of_a_time_to_come_has_been_silent_since_it_was_seen(
    autojump_clock: MockClock,
) -> None:
    watch = Watch()
    watch.see(row(1), -HOUR)
    await trio.sleep(11)
    watch.see(row(1), 11 - HOUR)
    assert watch.silent == 11


async def test_time_in_which_nobody_looked_is_not_silence(autojump_clock: MockClock) -> None:
    watch = Watch()
    watch.see(row(1), 0)
    await trio.sleep(HOUR)
    assert watch.silent == 0
    watch.see(row(2), 1)
    assert watch.silent == 0
