"""When an uplink was received is what the best clock of its event says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from google.protobuf import json_format

from fuota.lorawan import gpstime
from tests.virtual.posted import JSON, NOW, UPLINK, event, in_json, opened

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
        pytest.param([{"time": NOW + 4 * SECOND}], None, NOW + 4 * SECOND, id="a clock a little fast"),
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


async def test_times_that_no_protobuf_library_would_write(autojump_clock: object) -> None:
    wild = event(rx_info=[{}])
    wild.rx_info[0].time.seconds = 1 << 62
    wild.rx_info[0].time.nanos = -5
    wild.rx_info[0].time_since_gps_epoch.seconds = -(1 << 62)
    async with opened() as post:
        assert await post.only(wild.SerializeToString()) == UPLINK
