"""Posts events to a FUOTA server as ChirpStack's HTTP integration does: each once, come what may."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal
from uuid import uuid4

import attrs
import structlog
import trio
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from fuota.fate import Fate, OnAir
from fuota.generated.chirpstack3.integration_pb2 import ErrorEvent, ErrorType, TxAckEvent, UplinkEvent
from fuota.generated.chirpstack4.integration_pb2 import DeviceInfo, LogCode, LogEvent, LogLevel
from fuota.generated.chirpstack4.integration_pb2 import TxAckEvent as TxAckEvent4
from fuota.generated.chirpstack4.integration_pb2 import UplinkEvent as UplinkEvent4
from fuota.lorawan.gpstime import gps_seconds
from fuota.simulation.chirpstack4 import item_id
from fuota.simulation.post import Poster, PostError
from fuota.uplink import Uplink

log = structlog.get_logger(__name__)

PATIENCE = 10
"""Seconds that ChirpStack waits for the answer."""
GATEWAY = bytes.fromhex("0016c001ff10a235")

Marshaler = Literal["protobuf", "json"]
Generation = Literal[3, 4]


@attrs.define
class Webhook:
    """The HTTP integration of one application; made by `open_webhook`."""

    _url: str
    _application_id: str
    _generation: Generation
    _marshaler: Marshaler
    _token: str = attrs.field(repr=False)
    _posters: dict[str, Poster] = attrs.field(factory=dict, init=False, repr=False)
    """By the kind of event."""
    _closed: bool = attrs.field(default=False, init=False)
    taken: int = attrs.field(default=0, init=False)
    """Events answered 2xx."""
    lost: int = attrs.field(default=0, init=False)
    """Events refused or not answered: nobody sends them again."""

    async def deliver(self, uplink: Uplink) -> None:
        """Post the event of an uplink; a failure is logged and counted."""
        problem = await self._post("up", EVENTS[self._generation](uplink, self._application_id))
        if problem:
            log.warning("event lost", dev_eui=str(uplink.dev_eui), f_cnt=uplink.f_cnt, problem=problem)

    async def tell(self, fate: Fate) -> None:
        """Post the event of a downlink that was sent or dropped."""
        kind, made = FATES[self._generation](fate, self._application_id)
        problem = await self._post(kind, made)
        if problem:
            log.warning("event lost", dev_eui=str(fate.dev_eui), item=fate.item, problem=problem)

    async def aclose(self) -> None:
        """Close its connections; what is posted from now on has one of its own."""
        self._closed = True
        for poster in self._posters.values():
            await poster.aclose()

    async def _post(self, kind: str, made: Message) -> str:
        """What went wrong, if anything."""
        if self._marshaler == "json":
            body, content_type = MessageToJson(made).encode(), "application/json"
        else:
            body, content_type = made.SerializeToString(), "application/octet-stream"
        headers = {"Content-Type": content_type}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if kind not in self._posters:
            self._posters[kind] = Poster(f"{self._url}{'&' if '?' in self._url else '?'}event={kind}")
        if self._closed:
            await self._posters[kind].aclose()
        try:
            with trio.fail_after(PATIENCE):
                status = await self._posters[kind].post(body, headers)
        except (PostError, trio.TooSlowError) as error:
            problem = repr(error)
        else:
            if 200 <= status < 300:
                self.taken += 1
                return ""
            problem = f"status {status}"
        self.lost += 1
        return problem


@asynccontextmanager
async def open_webhook(
    url: str,
    *,
    generation: Generation = 3,
    application_id: str = "1",
    marshaler: Marshaler = "protobuf",
    token: str = "",
) -> AsyncIterator[Webhook]:
    """An integration that posts to `url`, an `http://` one, with `?event=up` and the like.

    `generation`: of the ChirpStack that it is.
    """
    webhook = Webhook(url, application_id, generation, marshaler, token)
    try:
        yield webhook
    finally:
        await webhook.aclose()


def event(uplink: Uplink, application_id: str) -> UplinkEvent:
    """The uplink as the Application Server v3 tells of it."""
    made = UplinkEvent(
        application_id=int(application_id),
        application_name="simulation",
        device_name=str(uplink.dev_eui),
        dev_eui=uplink.dev_eui.octets,
        f_cnt=uplink.f_cnt,
        f_port=uplink.f_port,
        data=uplink.data,
    )
    reception = made.rx_info.add(gateway_id=GATEWAY, rssi=-80, lora_snr=7.5)
    reception.time.FromDatetime(uplink.received_at)
    reception.time_since_gps_epoch.FromTimedelta(_since_epoch(uplink))
    return made


def event4(uplink: Uplink, application_id: str) -> UplinkEvent4:
    """The uplink as ChirpStack 4 tells of it."""
    made = UplinkEvent4(
        deduplication_id=str(uuid4()),
        time=uplink.received_at,
        device_info=DeviceInfo(
            application_id=application_id,
            application_name="simulation",
            device_name=str(uplink.dev_eui),
            dev_eui=str(uplink.dev_eui),
        ),
        f_cnt=uplink.f_cnt,
        f_port=uplink.f_port,
        data=uplink.data,
    )
    reception = made.rx_info.add(gateway_id=GATEWAY.hex(), rssi=-80, snr=7.5)
    reception.gw_time.FromDatetime(uplink.received_at)
    reception.time_since_gps_epoch.FromTimedelta(_since_epoch(uplink))
    return made


def fate3(fate: Fate, application_id: str) -> tuple[str, Message]:
    """The kind of event, and what became of the downlink, as the Application Server v3 tells of it."""
    made: TxAckEvent | ErrorEvent
    if isinstance(fate, OnAir):
        kind, made = "txack", TxAckEvent(gateway_id=GATEWAY)
    else:
        kind, made = "error", ErrorEvent(type=ErrorType.DOWNLINK_PAYLOAD_SIZE, error=fate.reason)
    made.application_id, made.application_name = int(application_id), "simulation"
    made.device_name, made.dev_eui = str(fate.dev_eui), fate.dev_eui.octets
    made.f_cnt = int(fate.item)
    return kind, made


def fate4(fate: Fate, application_id: str) -> tuple[str, Message]:
    """The same as ChirpStack 4 tells of it."""
    device = DeviceInfo(application_id=application_id, dev_eui=str(fate.dev_eui))
    item = item_id(str(fate.dev_eui), int(fate.item))
    if isinstance(fate, OnAir):
        sent = TxAckEvent4(device_info=device, queue_item_id=item, gateway_id=GATEWAY.hex())
        return "txack", sent
    return "log", LogEvent(
        device_info=device,
        level=LogLevel.ERROR,
        code=LogCode.DOWNLINK_PAYLOAD_SIZE,
        description=fate.reason,
        context={"queue_item_id": item},
    )


def _since_epoch(uplink: Uplink) -> timedelta:
    at = uplink.received_at
    return timedelta(seconds=gps_seconds(at), microseconds=at.microsecond)


EVENTS: Mapping[Generation, Callable[[Uplink, str], Message]] = {3: event, 4: event4}
FATES: Mapping[Generation, Callable[[Fate, str], tuple[str, Message]]] = {3: fate3, 4: fate4}
