"""When an uplink was received is what the best clock of its event says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from google.protobuf import json_format

from fuota.lorawan import gpstime
from tests.virtual.posted import JSON, NOW, UPLINK, event, in_json, opened, plain_json

GPS = timedelta(seconds=gpstime.gps_seconds(NOW))
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("rx_info", "published_at", "received_at"),
    [
        pytest.param([], None, NOW, id="nothing known"),
        pytest.param([{"time_since_gps_epoch": GPS - 2.5 * SECOND}], None, NOW - 2.5 * SECOND, id="GPS"),
        pytest.param([{"time": NOW - SECOND}], None, NOW - SECOND, id="time"),
        pytest.param([], NOW - SECOND, NOW - SECOND, id="published"),
        pytest.param(
            [{"time": NOW - SECOND}, {"time": NOW - 9 * SECOND, "time_since_gps_epoch": GPS - 3 * SECOND}],
            NOW,
            NOW - 3 * SECOND,
            id="GPS of any gateway before the time of another",
        ),
        pytest.param([{"time": NOW + 2 * SECOND}], None, NOW + 2 * SECOND, id="a clock a little fast"),
        pytest.param([{"time": NOW + 6 * SECOND}], NOW - SECOND, NOW - SECOND, id="a clock too fast"),
        pytest.param([{"time_since_gps_epoch": GPS + 6 * SECOND}], None, NOW, id="GPS too fast"),
        pytest.param([{"time": NOW - 23 * HOUR}], None, NOW - 23 * HOUR, id="kept through an outage"),
        pytest.param([{"time": NOW - 25 * HOUR}], None, NOW, id="too old"),
        pytest.param([{"time": datetime(1970, 1, 1, 5, tzinfo=UTC)}], None, NOW, id="no clock at all"),
        pytest.param([{"time_since_gps_epoch": timedelta(days=3_000_000)}], None, NOW, id="beyond all years"),
    ],
)
@pytest.mark.parametrize("form", ["protobuf", "json", "json with the message's own names"])
async def test_when_it_was_received(
    autojump_clock: object,
    form: str,
    rx_info: list[dict[str, Any]],
    published_at: datetime | None,
    received_at: datetime,
) -> None:
    fields = {"rx_info": rx_info, "published_at": published_at}
    async with opened() as post:
        if form == "protobuf":
            uplink = await post.only(event(**fields).SerializeToString())
        elif form == "json":
            uplink = await post.only(in_json(**fields), JSON)
        else:
            own = json_format.MessageToJson(event(**fields), preserving_proto_field_name=True)
            assert '"dev_eui"' in own
            uplink = await post.only(own, JSON)
        assert uplink == attrs.evolve(UPLINK, received_at=received_at)


@pytest.mark.parametrize("name", ["AAAAAAAAAAE=", "0000000000000001"], ids=["base64", "hexadecimal"])
async def test_a_gateway_that_is_behind_is_known_by_all_that_it_brings(
    name: str, autojump_clock: object
) -> None:
    """Also by uplinks that are for others, and in either form."""
    async with opened() as post:
        for seconds in (0, 2):
            behind = {"gateway_id": bytes(7) + b"\1", "time": NOW + (seconds - 60) * SECOND}
            await post(event(f_port=2, rx_info=[behind]).SerializeToString())
            await trio.sleep(2)
        said = plain_json(rxInfo=[{"gatewayID": name, "time": "2026-03-01T11:59:03.5Z"}])
        assert (await post.only(said, JSON)).received_at == NOW + 3.5 * SECOND


@pytest.mark.parametrize("name", ["", "x", "☃" * 16, 5, None, "AAAA"])
async def test_no_event_is_refused_for_its_gateway(name: object, autojump_clock: object) -> None:
    async with opened() as post:
        said = plain_json(rxInfo=[{"gatewayID": name, "time": "2026-03-01T11:59:59Z"}])
        assert (await post.only(said, JSON)).received_at == NOW - SECOND


async def test_times_that_no_protobuf_library_would_write(autojump_clock: object) -> None:
    wild = event(rx_info=[{}])
    wild.rx_info[0].time.seconds = 1 << 62
    wild.rx_info[0].time.nanos = -5
    wild.rx_info[0].time_since_gps_epoch.seconds = -(1 << 62)
    async with opened() as post:
        assert await post.only(wild.SerializeToString()) == UPLINK
