"""What devices answer, as the tests of their machine need it."""

from datetime import datetime, timedelta

from fuota.deployment.states import Session
from fuota.device.states import (
    Failed,
    Reason,
    SettingUpSession,
)
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassCSessionAns, McGroupSetupAns

SECOND = timedelta(seconds=1)


def group_answer(*, id_error: bool = False, mc_group_id: int = 1) -> McGroupSetupAns:
    return McGroupSetupAns(mc_group_id=mc_group_id, id_error=id_error)


def fragments_answer(**bits: bool) -> FragSessionSetupAns:
    names = (
        "encoding_unsupported",
        "not_enough_memory",
        "frag_session_index_not_supported",
        "wrong_descriptor",
    )
    return FragSessionSetupAns(frag_index=2, **(dict.fromkeys(names, False) | bits))


def session_answer(time_to_start: int | None, *, mc_group_id: int = 1, **bits: bool) -> McClassCSessionAns:
    names = ("dr_error", "freq_error", "mc_group_undefined")
    return McClassCSessionAns(
        mc_group_id=mc_group_id, time_to_start=time_to_start, **(dict.fromkeys(names, False) | bits)
    )


def asked(session: Session, attempt: int, now: datetime) -> SettingUpSession:
    return SettingUpSession(session, attempt, now, Failed(Reason.NO_ANSWER, "to the session request"))


def status_answer(
    received: int, missing: int, *, no_memory: bool = False, frag_index: int = 2
) -> FragSessionStatusAns:
    return FragSessionStatusAns(
        frag_index=frag_index,
        nb_frag_received=received,
        missing_frag=missing,
        not_enough_matrix_memory=no_memory,
    )
