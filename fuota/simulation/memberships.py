"""A simulated device's side of remote multicast setup (TS005)."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import attrs

from fuota.deployment.plan import BEACON_PERIOD, MulticastClass
from fuota.lorawan import keys
from fuota.lorawan.multicast import (
    McClassBSessionAns,
    McClassBSessionReq,
    McClassCSessionAns,
    McClassCSessionReq,
    McGroup,
    McGroupDeleteAns,
    McGroupDeleteReq,
    McGroupSetupAns,
    McGroupSetupReq,
    McGroupStatusAns,
    McGroupStatusReq,
)
from fuota.lorawan.package import Command
from fuota.simulation import frames
from fuota.simulation.answer import Answer
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Channel
from fuota.simulation.timekeeping import Timekeeping

FOREVER = 0xFFFFFF
"""TimeToStart of a start that does not fit, or that is not believed."""


@attrs.frozen
class Window:
    """When the device listens to a group, in true time, and where."""

    channel: Channel
    start: datetime
    end: datetime


@attrs.define
class Membership:
    """One group of the device."""

    mc_addr: int
    mc_nwk_s_key: bytes = attrs.field(repr=False)
    mc_app_s_key: bytes = attrs.field(repr=False)
    next_f_cnt: int
    """The least frame counter that is still accepted."""
    max_f_cnt: int
    window: Window | None = None

    def listens(self, channel: Channel, now: datetime) -> bool:
        window = self.window
        return window is not None and channel == window.channel and window.start <= now < window.end


@attrs.define
class Memberships:
    """The groups of the device and their sessions."""

    _mc_root_key: bytes = attrs.field(repr=False)
    _time: Timekeeping
    _behaviour: Behaviour
    _groups: dict[int, Membership] = attrs.field(factory=dict, init=False)

    def obey(self, command: Command, now: datetime) -> Iterator[Answer]:
        """What the device sends because of `command`."""
        match command:
            case McGroupStatusReq(req_group_mask=mask):
                yield Answer(self._status(mask))
            case McGroupSetupReq():
                self._set_up(command)
                yield Answer(McGroupSetupAns(mc_group_id=command.mc_group_id, id_error=False))
            case McGroupDeleteReq(mc_group_id=group_id):
                undefined = self._groups.pop(group_id, None) is None
                yield Answer(McGroupDeleteAns(mc_group_id=group_id, mc_group_undefined=undefined))
            case McClassBSessionReq() | McClassCSessionReq():
                yield self._arrange(command, now)

    def hear(self, frame: bytes, channel: Channel, now: datetime) -> tuple[int, frames.Payload] | None:
        """McGroupID and payload of a frame, if a window for it is open and it is what the group accepts.

        min <= FCnt < max and never the same twice (TS005 section 3.2).
        """
        if (header := frames.header(frame)) is None:
            return None
        for group_id, group in self._groups.items():
            if group.mc_addr != header.dev_addr or not group.listens(channel, now):
                continue
            f_cnt = frames.full_f_cnt(header.f_cnt, group.next_f_cnt)
            if f_cnt >= group.max_f_cnt:
                continue
            payload = frames.unseal(
                frame,
                mc_addr=group.mc_addr,
                f_cnt=f_cnt,
                mc_nwk_s_key=group.mc_nwk_s_key,
                mc_app_s_key=group.mc_app_s_key,
            )
            if payload is not None:
                group.next_f_cnt = f_cnt + 1
                return group_id, payload
        return None

    def _set_up(self, request: McGroupSetupReq) -> None:
        mc_key = keys.unwrap_mc_key(self._mc_root_key, request.mc_key_encrypted)
        known = self._groups.get(request.mc_group_id)
        self._groups[request.mc_group_id] = Membership(
            mc_addr=request.mc_addr,
            mc_nwk_s_key=keys.mc_nwk_s_key(mc_key, request.mc_addr),
            mc_app_s_key=keys.mc_app_s_key(mc_key, request.mc_addr),
            next_f_cnt=request.min_mc_fcnt,
            max_f_cnt=request.max_mc_fcnt,
            # the timer of a session that was agreed to goes on when its group is set up again
            window=known.window if known is not None and known.mc_addr == request.mc_addr else None,
        )

    def _status(self, mask: int) -> McGroupStatusAns:
        asked = [group_id for group_id in sorted(self._groups) if mask & 1 << group_id]
        return McGroupStatusAns(
            ans_group_mask=sum(1 << group_id for group_id in asked),
            nb_total_groups=len(self._groups),
            items=tuple(
                McGroup(mc_group_id=group_id, mc_addr=self._groups[group_id].mc_addr) for group_id in asked
            ),
        )

    def _arrange(self, request: McClassBSessionReq | McClassCSessionReq, now: datetime) -> Answer:
        """Answer a session request, and open the window if it can be met.

        TimeToStart counts from the uplink, so the answer is made when that is sent (TS005 section 3.5).
        """
        if isinstance(request, McClassBSessionReq):
            mc_class, periodicity, unit = MulticastClass.B, request.periodicity, BEACON_PERIOD
            answer: Callable[..., Command] = partial(McClassBSessionAns, mc_group_id=request.mc_group_id)
        else:
            mc_class, periodicity, unit = MulticastClass.C, 0, timedelta(seconds=1)
            answer = partial(McClassCSessionAns, mc_group_id=request.mc_group_id)
        lora_mac_node = self._behaviour.stack is Stack.LORAMAC_NODE
        group = self._groups.get(request.mc_group_id)
        if group is None:
            return Answer(answer(mc_group_undefined=True, freq_error=lora_mac_node, dr_error=lora_mac_node))
        start = self._time.instant(request.session_time)
        if start <= now:
            return Answer(answer(mc_group_undefined=lora_mac_node, start_missed=not lora_mac_node))
        channel = Channel(mc_class, request.dl_frequency, request.dr, periodicity)
        group.window = Window(channel, start, start + (1 << request.time_out) * unit)

        def agree(at: datetime) -> Command:
            return answer(time_to_start=min(max(0, request.session_time - self._time.gps(at)), FOREVER))

        return Answer(agree(now) if self._behaviour.early_time_to_start else agree)
