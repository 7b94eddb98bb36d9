"""What a deployment knows of its fleet."""

from fuota.deployment.messages import Tally
from fuota.deployment.roster import Roster
from fuota.device.standing import Stage, Standing, standing
from fuota.device.states import Complete, Failed, Reason, Released, State, Unconfirmed
from fuota.lorawan.eui import EUI64


def dev_eui(number: int) -> EUI64:
    return EUI64(number.to_bytes(8, "big"))


def test_each_device_is_counted_where_it_stands_last() -> None:
    roster = Roster()
    for number in range(3):
        roster.note(dev_eui(number), Standing(Stage.GROUP))
    roster.note(dev_eui(0), Standing(Stage.FRAGMENTS))
    roster.note(dev_eui(0), Standing(Stage.PREPARED))
    tally = roster.tally(1)
    assert tally == Tally(group=2, fragments=0, prepared=1, ready=0, settled=0, complete=0)
    assert tally.under_way() == {"group": 2, "prepared": 1}
    assert not tally.all_settled


def test_ready_for_another_session_is_prepared_for_this_one() -> None:
    roster = Roster()
    roster.note(dev_eui(0), Standing(Stage.READY, session=1))
    roster.note(dev_eui(1), Standing(Stage.READY, session=2))
    assert (roster.tally(1).ready, roster.tally(1).prepared) == (1, 1)
    assert (roster.tally(2).ready, roster.tally(2).prepared) == (1, 1)


def test_how_the_devices_have_settled_is_counted_in_words() -> None:
    roster = Roster()
    settled: list[State] = [
        Complete(41),
        Complete(50),
        Unconfirmed(45, 3),
        Released(),
        Failed(Reason.CLOCK_OFF, ""),
    ]
    for number, state in enumerate(settled):
        roster.note(dev_eui(number), standing(state))
    assert roster.outcomes() == {"complete": 2, "unconfirmed": 1, "released": 1, "clock-off": 1}
    tally = roster.tally(1)
    assert tally.all_settled
    assert (tally.settled, tally.complete) == (5, 2)
