"""What entering a state asks of the world: a pure function of the state, whichever way it was reached."""

from datetime import datetime, timedelta
from typing import assert_never

import attrs

from fuota.deployment.plan import MulticastClass, Plan
from fuota.deployment.states import Session
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
    JoiningGroup,
    Listening,
    Prepared,
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
from fuota.device.verdict import status_patience
from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.gpstime import gps_seconds
from fuota.lorawan.package import Command, Package

VERSION = 1
"""Of the packages TS003, TS004 and TS005 that the devices are spoken to in."""

RESYNC_TRANSMISSIONS = 3


@attrs.define
class Assignment:
    """What a device actor works on, in all its incarnations."""

    plan: Plan
    dev_eui: EUI64
    mc_key_encrypted: bytes = attrs.field(repr=False)
    """McKey, wrapped for this device (TS005 section 4)."""
    ordered_at: datetime
    """When the deployment was created: what the device has sent before is no answer to its requests."""
    nb_frag_before: int | None = None
    """NbFragReceived of an earlier deployment: what the device may tell until it hears a fragment, and has
    told another."""


@attrs.frozen
class Join:
    """Make the device a member of the group; `Joined` or `Refused` comes back."""

    group_id: str


@attrs.frozen
class Ask:
    """Send `command`; `Expired` comes once it has been with the network for as long as `patience`.

    `again`: it was asked before, and may still be in the device's queue. `until`: when one that an earlier
    incarnation may have sent has had its time. `useful_until`: nobody needs an answer after it.

    `dropped`: the network has not sent it, and it is not sent again unless something was away; at `until` an
    answer to an earlier attempt has had its time. `untaken`: no earlier incarnation knew that the network has
    it; it is sent at once, for it is looked for in the device's queue first.
    """

    package: Package
    command: Command
    again: bool
    until: datetime
    patience: timedelta
    useful_until: datetime | None = None
    dropped: bool = False
    untaken: bool = False

    @property
    def payload(self) -> bytes:
        return self.package.write(self.command, version=VERSION)

    def in_time(self, now: datetime) -> bool:
        """When a session has begun nobody is asked: its deployment says what comes next."""
        return self.useful_until is None or now < self.useful_until


@attrs.frozen
class Withdraw:
    """Take back what waits in the device's queue, if all of it is ours; `Withdrawn` comes back."""


@attrs.frozen
class WakeAt:
    """`Expired` comes at this instant."""

    at: datetime


Effect = Join | Ask | Withdraw | WakeAt


def effects(assignment: Assignment, state: State) -> tuple[Effect, ...]:
    """What `state` asks for."""
    plan = assignment.plan
    patience = plan.unicast_timeout
    match state:
        case JoiningGroup(group_id):
            return (Join(group_id),)
        case SettingUpGroup():
            return (_ask(state, multicast.package, _group_setup(assignment), patience),)
        case SettingUpFragments():
            return (_ask(state, fragmentation.package, _fragment_setup(plan), patience),)
        case SettingUpSession(session):
            return (_ask(state, multicast.package, _session_request(plan, session), patience, session.start),)
        case CorrectingClock(deadline=deadline, untaken=untaken):
            resync = clocksync.ForceDeviceResyncReq(nb_transmissions=RESYNC_TRANSMISSIONS)
            return (Ask(clocksync.package, resync, True, deadline, patience, untaken=untaken),)
        case AskingStatus(attempt=attempt):
            request = fragmentation.FragSessionStatusReq(frag_index=plan.frag_index, participants=True)
            return (_ask(state, fragmentation.package, request, status_patience(plan, attempt)),)
        case StillListening(_, deadline):
            return (WakeAt(deadline),)
        case Withdrawing():
            return (Withdraw(),)
        case (
            Waiting()
            | Prepared()
            | Listening()
            | Unheard()
            | Incomplete()
            | Complete()
            | Unconfirmed()
            | Released()
            | Failed()
        ):
            return ()
        case _:
            assert_never(state)


def _ask(
    state: SettingUpGroup | SettingUpFragments | SettingUpSession | AskingStatus,
    package: Package,
    command: Command,
    patience: timedelta,
    useful_until: datetime | None = None,
) -> Ask:
    return Ask(
        package,
        command,
        again=state.attempt > 1 or state.spared > 0,
        until=state.deadline,
        patience=patience,
        useful_until=useful_until,
        dropped=bool(state.dropped),
        untaken=state.untaken,
    )


def _group_setup(assignment: Assignment) -> multicast.McGroupSetupReq:
    plan = assignment.plan
    return multicast.McGroupSetupReq(
        mc_group_id=plan.mc_group_id,
        mc_addr=plan.mc_addr,
        mc_key_encrypted=assignment.mc_key_encrypted,
        min_mc_fcnt=0,
        max_mc_fcnt=plan.max_mc_fcnt,
    )


def _fragment_setup(plan: Plan) -> fragmentation.FragSessionSetupReq:
    return fragmentation.FragSessionSetupReq(
        frag_index=plan.frag_index,
        mc_group_bit_mask=1 << plan.mc_group_id,
        nb_frag=plan.nb_frag,
        frag_size=plan.frag_size,
        frag_algo=plan.frag_algo,
        block_ack_delay=plan.block_ack_delay,
        padding=plan.padding,
        descriptor=plan.descriptor,
    )


def _session_request(plan: Plan, session: Session) -> Command:
    if plan.mc_class is MulticastClass.B:
        return multicast.McClassBSessionReq(
            mc_group_id=plan.mc_group_id,
            session_time=gps_seconds(session.start),
            time_out=plan.time_out,
            periodicity=plan.periodicity,
            dl_frequency=plan.frequency,
            dr=plan.dr,
        )
    return multicast.McClassCSessionReq(
        mc_group_id=plan.mc_group_id,
        session_time=gps_seconds(session.start),
        time_out=plan.time_out,
        dl_frequency=plan.frequency,
        dr=plan.dr,
    )
