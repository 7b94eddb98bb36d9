"""Events for the integration's endpoint, and what comes through it."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import trio
from google.protobuf import json_format
from quart.typing import TestClientProtocol as Client

from fuota.actor import Actor, Child, open_tree
from fuota.clock import TrioClock
from fuota.dispatcher import Outcome, Route
from fuota.fate import Fate
from fuota.generated.chirpstack3.integration_pb2 import UplinkEvent
from fuota.integration import chirpstack3
from fuota.integration.endpoint import Marshaler, endpoint
from fuota.lorawan.eui import EUI64
from fuota.uplink import Uplink

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEV_EUI = bytes.fromhex("70b3d50000000001")
PROTOBUF, JSON = {"Content-Type": "application/octet-stream"}, {"Content-Type": "application/json"}


class Dispatcher(Actor[Route]):
    """Gives each uplink the outcome it is made for."""

    def __init__(self, settle: Callable[[Route], None]) -> None:
        self.uplinks: list[Uplink] = []
        self._settle = settle

    async def receive(self, route: Route) -> None:
        self.uplinks.append(route.uplink)
        self._settle(route)


def take(route: Route) -> None:
    route.reply.give(Outcome.TAKEN)


@attrs.define
class Posted:
    """The endpoint, and the uplinks that came through it."""

    client: Client
    uplinks: list[Uplink]
    fates: list[Fate]
    late: Counter[str]
    """How often it was said that an uplink is not safe in time."""

    async def __call__(
        self, body: bytes | str, headers: dict[str, str] = PROTOBUF, path: str = "/?event=up"
    ) -> tuple[int, str]:
        response = await self.client.post(path, data=body, headers=headers)
        assert response.mimetype == "text/plain"
        return response.status_code, (await response.get_data(as_text=True)).strip()

    async def only(self, body: bytes | str, headers: dict[str, str] = PROTOBUF) -> Uplink:
        """The uplink that this event is read as."""
        assert await self(body, headers) == (200, "taken")
        (uplink,) = self.uplinks
        return uplink


@asynccontextmanager
async def opened(
    settle: Callable[[Route], None] = take, *, marshaler: Marshaler = "protobuf", token: str = ""
) -> AsyncIterator[Posted]:
    dispatcher = Dispatcher(settle)
    with trio.fail_after(100):
        async with open_tree([Child("dispatcher", lambda: dispatcher)]) as tree:
            ref = tree.find("/dispatcher")
            assert ref is not None
            fates, late = list[Fate](), Counter[str]()
            app = endpoint(
                chirpstack3,
                ref,
                TrioClock(NOW),
                tell=fates.append,
                late=lambda: late.update(["late"]),
                marshaler=marshaler,
                token=token,
            )
            yield Posted(app.test_client(), dispatcher.uplinks, fates, late)


def event(**fields: Any) -> UplinkEvent:
    given: dict[str, Any] = {
        "dev_eui": DEV_EUI,
        "f_port": 200,
        "f_cnt": 7,
        "data": b"\x02\x00",
        "dev_addr": b"\x01\x02\x03\x04",
    }
    return UplinkEvent(**(given | fields))


def in_json(**fields: Any) -> str:
    written: str = json_format.MessageToJson(event(**fields), always_print_fields_with_no_presence=True)
    return written


def plain_json(**fields: Any) -> str:
    given = {"devEUI": base64.b64encode(DEV_EUI).decode(), "fPort": 200, "fCnt": 7, "data": "AgA="}
    return json.dumps(given | fields)


UPLINK = Uplink(dev_eui=EUI64(DEV_EUI), f_port=200, f_cnt=7, data=b"\x02\x00", received_at=NOW)
