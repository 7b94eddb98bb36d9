"""What a newer version has written is shown as far as it can be read, and hides nothing else."""

import psycopg
import pytest

from fuota.deployment import states as deployment
from fuota.device import states as device
from fuota.device.states import Reason
from fuota.journal.encoding import Unreadable
from fuota.journal.port import NewDeployment
from fuota.journal.retry import try_keys
from tests.contract.entries import DEVICES, of_deployment, of_device, ordered, other
from tests.postgres.owners import opened

FIRST, SECOND, THIRD, LAST = sorted(DEVICES)


def dream(dsn: str, new: NewDeployment) -> None:
    """As a newer version would: the deployment and two of its devices are in states of its own."""
    with psycopg.connect(dsn) as connection:
        of_new = {"id": new.id, "first": FIRST.octets, "second": SECOND.octets}
        connection.execute(
            """update deployment set plan = '{}', state = '{"state": "dreaming"}' where id = %(id)s""", of_new
        )
        connection.execute(
            """update deployment_device set state = '{"state": "dreaming"}'
            where deployment_id = %(id)s and dev_eui = %(first)s""",
            of_new,
        )
        connection.execute(
            """update deployment_device set state = state || '{"reason": "eaten"}'
            where deployment_id = %(id)s and dev_eui = %(second)s""",
            of_new,
        )


async def test_what_a_newer_version_has_written_hides_nothing_else(dsn: str) -> None:
    newer, ours = ordered(), ordered(other(2, 3))
    failed = device.Failed(Reason.NO_ANSWER, "")
    async with opened(dsn) as journal:
        for new in (newer, ours):
            await journal.create(new)
            await journal.commit(of_deployment(new.id, 2, deployment.SettingUpGroups("g")))
            for dev_eui in (SECOND, THIRD):
                await journal.commit(of_device(new.id, 2, failed, dev_eui=dev_eui, live=False))
        dream(dsn, newer)

        listed = {each.id: each for each in await journal.summaries(most=9)}
        assert (listed[newer.id].plan, listed[newer.id].state) == (None, None)
        assert listed[ours.id].state == deployment.SettingUpGroups("g")
        overview = await journal.overview(newer.id)
        assert overview is not None
        assert overview.devices == {
            (None, None): 2,
            (device.Failed, Reason.NO_ANSWER): 1,
            (device.Waiting, None): 1,
        }
        status, page = await journal.status(newer.id), await journal.device_page(newer.id, most=9)
        assert status is not None
        assert status.state is None
        assert status.devices == page
        assert [each.state for each in status.devices] == [None, None, failed, device.Waiting()]


async def test_nor_does_it_keep_a_server_from_starting(dsn: str) -> None:
    newer, ours = ordered(), ordered(other(2, 3))
    async with opened(dsn) as journal:
        await journal.create(newer)
        await journal.create(ours)
    dream(dsn, newer)
    async with opened(dsn) as journal:
        await try_keys(journal)
        with pytest.raises(Unreadable):
            await journal.load(newer.id)
        assert (await journal.load(ours.id)).plan == other(2, 3)
