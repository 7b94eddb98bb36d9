"""What the suites of the journal write."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import attrs

from fuota.deployment import states as deployment
from fuota.deployment.plan import MulticastClass, Plan, StatusRequest
from fuota.device import states as device
from fuota.journal.port import ActorId, LogRow, Milestone, NewDeployment, NewDevice, Transition
from fuota.lorawan.eui import EUI64

T0 = datetime(2026, 11, 24, 10, 0, 0, 123_456, tzinfo=UTC)
FIRMWARE = bytes(range(256)) * 8
DEVICES = [EUI64.parse(f"70b3d500000000{number:02x}") for number in (0xFE, 1, 3, 2)]
SESSION = deployment.Session(1, T0 + timedelta(seconds=100), T0 + timedelta(seconds=164))
SETTING_UP_SESSION = device.SettingUpSession(
    SESSION, 2, T0 + timedelta(seconds=40), device.Failed(device.Reason.CLOCK_OFF, "17 s behind")
)
PLAN = Plan(
    application_id="12",
    mc_class=MulticastClass.C,
    mc_group_id=1,
    mc_addr=0x01020304,
    frequency=869_525_000,
    dr=5,
    time_out=6,
    periodicity=0,
    unicast_timeout=timedelta(seconds=10),
    unicast_attempts=3,
    frag_index=2,
    frag_size=50,
    redundancy=10,
    frag_algo=0,
    block_ack_delay=0,
    descriptor=bytes(4),
    status_request=StatusRequest.AFTER_SESSION_TIMEOUT,
    firmware_size=len(FIRMWARE),
    firmware_sha256=hashlib.sha256(FIRMWARE).digest(),
)


def later(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def ordered(
    plan: Plan = PLAN, devices: Sequence[EUI64] = DEVICES, created_at: datetime = T0
) -> NewDeployment:
    return NewDeployment(
        id=uuid4(),
        plan=plan,
        mc_key=bytes(range(16)),
        firmware=FIRMWARE,
        devices=[NewDevice(dev_eui=dev_eui, mc_root_key=dev_eui.octets * 2) for dev_eui in devices],
        created_at=created_at,
        state=deployment.CreatingGroup(),
        device_state=device.Waiting(),
    )


def of_deployment(
    deployment_id: UUID, version: int, state: deployment.State, *milestones: Milestone, live: bool = True
) -> Transition:
    return Transition(
        actor=ActorId(deployment_id),
        version=version,
        at=later(version),
        cause="Settled",
        state=state,
        live=live,
        milestones=milestones,
    )


def of_device(
    deployment_id: UUID,
    version: int,
    state: device.State,
    *milestones: Milestone,
    dev_eui: EUI64 = DEVICES[1],
    live: bool = True,
    logs: Sequence[LogRow] = (),
) -> Transition:
    return Transition(
        actor=ActorId(deployment_id, dev_eui),
        version=version,
        at=later(version),
        cause="Answered",
        state=state,
        live=live,
        milestones=milestones,
        logs=tuple(logs),
    )


def logged(deployment_id: UUID, command: str, dev_eui: EUI64 = DEVICES[1], **fields: str) -> LogRow:
    return LogRow(
        deployment_id=deployment_id,
        dev_eui=dev_eui,
        created_at=later(5),
        f_port=200,
        command=command,
        fields=fields,
    )


def other(mc_group_id: int, frag_index: int) -> Plan:
    return attrs.evolve(PLAN, mc_group_id=mc_group_id, frag_index=frag_index)
