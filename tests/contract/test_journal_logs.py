"""What every journal keeps of the commands of a device, whatever texts they hold."""

import attrs
import pytest

from fuota.device import states as device
from fuota.journal.port import Journal
from tests.contract.entries import DEVICES, later, logged, of_device, ordered, other


async def test_log_rows_stay_in_the_order_of_their_writing(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    request = logged(new.id, "McGroupSetupReq", mc_group_id="1", mc_addr="01020304")
    again = attrs.evolve(request, created_at=later(-5))  # a clock may be set back
    answer = logged(new.id, "McGroupSetupAns", mc_group_id="1", id_error="false")
    await journal.record([request, again])
    await journal.record([logged(new.id, "McGroupSetupReq", DEVICES[2])])
    await journal.commit(of_device(new.id, 2, device.Prepared(), logs=[answer]))
    await journal.record([request])
    await journal.record([])
    assert await journal.logs(new.id, DEVICES[1]) == [request, again, answer, request]
    assert await journal.logs(new.id, DEVICES[2]) == [logged(new.id, "McGroupSetupReq", DEVICES[2])]
    assert await journal.logs(new.id, DEVICES[0]) == []


async def test_log_rows_of_a_device_belong_to_one_deployment(journal: Journal) -> None:
    first, second = ordered(), ordered(other(3, 3))
    await journal.create(first)
    await journal.create(second)
    await journal.record([logged(first.id, "McGroupSetupReq"), logged(second.id, "FragSessionSetupReq")])
    assert await journal.logs(second.id, DEVICES[1]) == [logged(second.id, "FragSessionSetupReq")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"quote": 'a "b" => \\c, {}'},
        {"": "", "null": "NULL", "line": "a\nb\tc"},
        {"ü": "日本 🎉"},
    ],
    ids=str,
)
async def test_log_fields_are_any_texts(journal: Journal, fields: dict[str, str]) -> None:
    new = ordered()
    await journal.create(new)
    row = attrs.evolve(logged(new.id, "DataFragment"), fields=fields)
    await journal.record([row])
    assert await journal.logs(new.id, DEVICES[1]) == [row]


async def test_what_the_database_can_not_hold_is_replaced(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    failed = device.Failed(device.Reason.NETWORK_REFUSED, "a\0b\ud800")
    row = logged(new.id, "McGroupSetupAns", field="\0")
    await journal.commit(attrs.evolve(of_device(new.id, 2, failed, logs=[row]), cause="Refused\0"))
    stored = {one.dev_eui: one for one in await journal.devices(new.id)}[DEVICES[1]]
    assert stored.state == device.Failed(device.Reason.NETWORK_REFUSED, "a�b?")
    assert await journal.logs(new.id, DEVICES[1]) == [logged(new.id, "McGroupSetupAns", field="�")]
