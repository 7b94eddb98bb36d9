"""A LoRaWAN network with its devices: one task that lets things happen in their time.

The network side is `world.chirpstack`; what is put into a queue there goes to the devices when class A,
B or C allows. Uplinks go to `deliver`. Loss is drawn from a generator per device, so that what one
device loses does not depend on what the others do.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial

import attrs
import trio

from fuota.clock import Clock
from fuota.deployment.plan import MulticastClass
from fuota.fate import Dropped, Fate, OnAir
from fuota.lorawan.airtime import max_payload
from fuota.lorawan.eui import EUI64
from fuota.simulation import frames
from fuota.simulation.chirpstack import ChirpStack, Group
from fuota.simulation.device import Device
from fuota.simulation.frames import Payload
from fuota.simulation.radio import Radio, next_slot
from fuota.simulation.timeline import ClockedTimeline, Timeline
from fuota.uplink import Uplink

Deliver = Callable[[Uplink], Awaitable[None]]
Tell = Callable[[Fate], Awaitable[None]]

SENSOR_READING = Payload(2, b"\x01\x67\x00\xe1")
"""What a device sends of its own accord."""


@attrs.define(eq=False)
class Station:
    """A device as the network sees it."""

    device: Device
    next_uplink: datetime | None = None
    """None: it sends when there is a reason to."""
    f_cnt: int = 0
    dropped: int = 0


class World:
    """Devices and a ChirpStack, joined by radio."""

    def __init__(
        self,
        devices: Iterable[Device],
        *,
        clock: Clock,
        radio: Radio | None = None,
        application_id: str = "1",
        chatty: bool = True,
        timeline: Timeline | None = None,
    ) -> None:
        """`chatty`: devices send their readings, which concern nobody. Otherwise they send only what they
        answer, and where a reading would fetch a downlink that waits: so that idle devices cost nothing."""
        self.clock = clock
        self.radio = radio or Radio()
        self.chatty = chatty
        self.stations = {device.dev_eui: Station(device) for device in devices}
        self.chirpstack = ChirpStack(
            dict.fromkeys(self.stations, application_id), self._enqueued, self._awaited
        )
        self._timeline = timeline or ClockedTimeline(clock)
        self._post: Callable[[Uplink], None]
        self._tell: Callable[[Fate], None] = lambda fate: None
        self._on_air: set[str] = set()
        """Ids of the groups that have a transmission under way or planned."""

    @property
    def devices(self) -> list[Device]:
        return [station.device for station in self.stations.values()]

    async def run(self, deliver: Deliver, tell: Tell | None = None) -> None:
        """Let the world go on, for ever.

        In a task of its own, `deliver` is called for each uplink, and `tell` for each unicast downlink when
        it is sent or dropped.
        """
        if self.chatty:
            for station in self.stations.values():
                self._plan_uplink(station, self._some_time(station))
        async with trio.open_nursery() as nursery:
            self._post = lambda uplink: nursery.start_soon(deliver, uplink)
            if tell is not None:
                self._tell = lambda fate: nursery.start_soon(tell, fate)
            await self._timeline.run()

    # Class A: an uplink, and a downlink in its receive window

    def _plan_uplink(self, station: Station, when: datetime) -> None:
        station.next_uplink = when
        self._timeline.at(when, partial(self._uplink, station, when))

    def _some_time(self, station: Station) -> datetime:
        """The next uplink of a device of which nobody knows when it has sent the last."""
        return self.clock.now() + station.device.random.random() * self.radio.uplink_interval

    def _awaited(self, dev_eui: EUI64) -> None:
        """A downlink waits for the device's next uplink: a reading, where an answer is not due for long."""
        station = self.stations[dev_eui]
        if (
            station.next_uplink is None
            or station.next_uplink > self.clock.now() + self.radio.longest_interval
        ):
            self._plan_uplink(station, self._some_time(station))

    def _uplink(self, station: Station, planned: datetime) -> None:
        if planned != station.next_uplink:
            return  # it has been brought forward
        now, device = self.clock.now(), station.device
        payload = device.send(now) or SENSOR_READING
        f_cnt, station.f_cnt = station.f_cnt, station.f_cnt + 1
        if self.chatty or self.chirpstack.queue(device.dev_eui).items:
            self._plan_uplink(station, now + self.radio.next_uplink(device.random))
        else:
            station.next_uplink = None
        if not self._lost(device, device.behaviour.uplink_loss):
            uplink = Uplink(
                dev_eui=device.dev_eui, f_port=payload.f_port, f_cnt=f_cnt, data=payload.data, received_at=now
            )
            self._timeline.at(now + self.radio.latency, partial(self._post, uplink))
            self._timeline.at(now + self.radio.rx_delay, partial(self._receive_window, station))
        self._hurry(station)

    def _receive_window(self, station: Station) -> None:
        device, queue = station.device, self.chirpstack.queue(station.device.dev_eui)
        if not queue.items:
            return
        item = queue.items.popleft()
        name = str(item.f_cnt)
        if station.dropped < device.behaviour.dropped:
            station.dropped += 1
            self._tell(Dropped(dev_eui=device.dev_eui, item=name, reason="too large"))
            return
        self._tell(OnAir(dev_eui=device.dev_eui, item=name))
        if self._lost(device, device.behaviour.downlink_loss):
            return
        now = self.clock.now()
        device.take(Payload(item.f_port, item.data), now)
        if queue.items:
            # the downlink's FPending bit: the device fetches what else there is
            self._bring_forward(station, now + device.behaviour.answer_delay)
        self._hurry(station)

    def _hurry(self, station: Station) -> None:
        """Send no later than the device has something to say."""
        if (due := station.device.next_uplink) is not None:
            self._bring_forward(station, max(due, self.clock.now() + self.radio.rx_delay))

    def _bring_forward(self, station: Station, when: datetime) -> None:
        if station.next_uplink is None or when < station.next_uplink:
            self._plan_uplink(station, when)

    # Class B and C: a group's queue, one frame after the other

    def _enqueued(self, group: Group) -> None:
        if group.id not in self._on_air:
            self._on_air.add(group.id)
            self._plan_transmission(group, self.clock.now())

    def _plan_transmission(self, group: Group, earliest: datetime) -> None:
        settings = group.settings
        if settings.channel.mc_class is MulticastClass.B:
            earliest = next_slot(settings.mc_addr, settings.channel.periodicity, earliest)
        self._timeline.at(earliest, partial(self._transmit, group))

    def _transmit(self, group: Group) -> None:
        if not group.queue.items or group.id not in self.chirpstack.groups:
            self._on_air.discard(group.id)
            return
        item, settings, now = group.queue.items.popleft(), group.settings, self.clock.now()
        frame = frames.seal(
            Payload(item.f_port, item.data),
            mc_addr=settings.mc_addr,
            f_cnt=item.f_cnt,
            mc_nwk_s_key=settings.mc_nwk_s_key,
            mc_app_s_key=settings.mc_app_s_key,
        )
        largest = max_payload(settings.channel.frequency, settings.channel.dr)
        if largest is None or len(item.data) <= largest:
            for dev_eui in group.members:
                device = self.stations[dev_eui].device
                if not self._lost(device, device.behaviour.downlink_loss):
                    device.hear(frame, settings.channel, now)
                    self._hurry(self.stations[dev_eui])
        self._plan_transmission(group, now + self.radio.pause(settings.channel, frame))

    def _lost(self, device: Device, beside: float) -> bool:
        draw = device.random.random
        return draw() < self.radio.loss or (beside > 0 and draw() < beside)
