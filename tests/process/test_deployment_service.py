"""`fuota.v1.DeploymentService` of a running server, beside either generation of ChirpStack."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import trio
from google.protobuf.message import Message
from grpclib.const import Status

from fuota.deployment.plan import ClassCScheduling
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from tests.process.clients import CallFailed
from tests.process.cluster import Cluster
from tests.process.generations import FOUR, IMAGE, Generation
from tests.process.live import Installation, Site, chirpstack, hold_the_image, quick
from tests.process.operators import GATEWAYS, Operator, operator


async def test_from_the_order_to_the_image(tmp_path: Path, dsn: str, generation: Generation) -> None:
    devices = quick([Behaviour(), Behaviour(silent=True), Behaviour(), Behaviour()])
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with installation.serving() as server, field.posted_to(server):
            async with operator(server.api, generation) as ask:
                deployment_id = await ask.create(devices)
                await field.until(lambda: any(group.members for group in field.groups.values()))
                [group] = field.groups.values()
                assert [str(gateway) for gateway in group.gateways] == [*GATEWAYS] * (generation is FOUR)
                in_step = group.settings.class_c_scheduling is ClassCScheduling.GPS_TIME
                assert in_step == (generation is FOUR)
                found = await ask.until(deployment_id, pb.DEPLOYMENT_STATE_ENDED)
                await tells_of_the_end(ask, found)
                await pages(ask, devices, deployment_id)
                await refusals(ask, deployment_id)
            assert await server.stop() == 0
    assert hold_the_image([devices[0], *devices[2:]])
    assert "Traceback" not in installation.stderr


async def tells_of_the_end(ask: Operator, found: pb.GetDeploymentResponse) -> None:
    deployment = found.deployment
    assert deployment.end.reason == pb.END_REASON_DONE
    assert (deployment.firmware.size, deployment.fragment_count) == (len(IMAGE), 35)
    assert deployment.plan.application_id == ask.generation.application_id
    assert deployment.milestones.HasField("frag_status_completed_at")
    assert found.trouble == ""
    counts = {(each.state, each.reason): each.count for each in found.device_counts}
    assert counts == {
        (pb.DEVICE_STATE_COMPLETE, 0): 3,
        (pb.DEVICE_STATE_FAILED, pb.FAILURE_REASON_NO_ANSWER): 1,
    }


async def pages(ask: Operator, devices: Sequence[Device], deployment_id: str) -> None:
    request = pb.ListDevicesRequest(deployment_id=deployment_id, page_size=3)
    first = await ask("ListDevices", request)
    request.page_token = first.next_page_token
    last = await ask("ListDevices", request)
    assert not last.next_page_token
    told = [*first.devices, *last.devices]
    assert [each.dev_eui for each in told] == sorted(str(each.dev_eui) for each in devices)
    failed = pb.ListDevicesRequest(deployment_id=deployment_id, reasons=[pb.FAILURE_REASON_NO_ANSWER])
    [silent] = (await ask("ListDevices", failed)).devices
    assert silent.dev_eui == str(devices[1].dev_eui)
    assert silent.detail
    request.states.append(pb.DEVICE_STATE_FAILED)
    assert await ask.refusal("ListDevices", request) == (
        Status.INVALID_ARGUMENT,
        "page_token belongs to another query: repeat the same filter",
    )


async def refusals(ask: Operator, deployment_id: str) -> None:
    assert await ask.refusal("CancelDeployment", pb.CancelDeploymentRequest(id=deployment_id)) == (
        Status.FAILED_PRECONDITION,
        f"deployment {deployment_id} has ended: done",
    )
    nobody = str(uuid4())
    for method, request in (
        ("GetDeployment", pb.GetDeploymentRequest(id=nobody)),
        ("ListDevices", pb.ListDevicesRequest(deployment_id=nobody)),
        ("CancelDeployment", pb.CancelDeploymentRequest(id=nobody)),
    ):
        assert await ask.refusal(method, request) == (Status.NOT_FOUND, f"there is no deployment {nobody}")
    status, said = await ask.refusal("GetDeployment", pb.GetDeploymentRequest(id="7"))
    assert (status, said) == (Status.INVALID_ARGUMENT, "id is '7'; it must be a UUID")
    unknown = pb.ListDevicesRequest(deployment_id="7", states=[0, 99], reasons=[-1])  # type: ignore[list-item]
    status, said = await ask.refusal("ListDevices", unknown)
    assert status is Status.INVALID_ARGUMENT
    for field in ("deployment_id", "states[0]", "states[1]", "reasons[0]"):
        assert f"{field} is " in said
    status, said = await ask.refusal("CreateDeployment", pb.CreateDeploymentRequest())
    assert status is Status.INVALID_ARGUMENT
    assert "plan.unicast.attempts is 0; it must be 1 to 1000" in said


async def test_cancelled(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """Also one of many, and the lists that show it."""
    devices = quick([Behaviour(silent=True)] * 5)
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with installation.serving() as server, field.posted_to(server):
            async with operator(server.api, generation) as ask:
                ids = [await ask.create([device], silent=True) for device in devices]
                await field.until(lambda: len(field.groups) == len(devices))
                assert [await ask.cancelled(deployment_id) for deployment_id in ids[:2]] == [True, True]
                ended = await ask.until(ids[0], pb.DEPLOYMENT_STATE_ENDED)
                assert ended.deployment.end == pb.End(reason=pb.END_REASON_CANCELLED, detail="cancelled")
                assert [(each.state, each.reason) for each in ended.device_counts] == [
                    (pb.DEVICE_STATE_FAILED, pb.FAILURE_REASON_ABANDONED)
                ]
                await ask.until(ids[1], pb.DEPLOYMENT_STATE_ENDED)
                await field.until(lambda: len(field.groups) == len(devices) - 2)

                assert [each.id for each in await listed(ask)] == ids[::-1]
                assert [each.id for each in await listed(ask, pb.DEPLOYMENT_STATE_ENDED)] == ids[1::-1]
                assert await listed(ask, pb.DEPLOYMENT_STATE_TRANSMITTING) == []
                assert await ask.cancelled(ids[0])
            assert await server.stop() == 0
    assert "Traceback" not in installation.stderr


async def listed(ask: Operator, *states: "pb.DeploymentState.ValueType") -> list[pb.Deployment]:
    """All pages of two."""
    found: list[pb.Deployment] = []
    request = pb.ListDeploymentsRequest(states=states, page_size=2)
    while True:
        answer = await ask("ListDeployments", request)
        found += answer.deployments
        assert len(answer.deployments) <= 2
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_while_the_database_is_away_nothing_is_cancelled_that_is_said_to_be(
    tmp_path: Path, cluster: Cluster, generation: Generation
) -> None:
    devices = quick([Behaviour(silent=True)])
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(cluster.dsn))
        async with installation.serving() as server, field.posted_to(server):
            async with operator(server.api, generation) as ask:
                deployment_id = await ask.create(devices, silent=True)
                await field.until(lambda: field.groups)
                await cluster.stop()
                async with generation.client(server.api) as client:
                    await nothing_is_known(ask, Site(server, client, generation=generation), deployment_id)
                await cluster.start()
                with trio.fail_after(30):
                    while not await ask.cancelled(deployment_id):
                        pass
                await ask.until(deployment_id, pb.DEPLOYMENT_STATE_ENDED)
                await field.until(lambda: not field.groups)
            assert await server.stop() == 0


async def nothing_is_known(ask: Operator, site: Site, deployment_id: str) -> None:
    """Each call of both services is answered with UNAVAILABLE, and all at once, for each takes its time."""
    told = site.generation.told(UUID(deployment_id))

    async def unavailable(method: str, request: Message) -> None:
        status, said = await ask.refusal(method, request)
        assert status is Status.UNAVAILABLE, (method, said)

    async with trio.open_nursery() as nursery:
        for method, request in (
            ("CancelDeployment", pb.CancelDeploymentRequest(id=deployment_id)),
            ("GetDeployment", pb.GetDeploymentRequest(id=deployment_id)),
            ("ListDeployments", pb.ListDeploymentsRequest()),
            ("ListDevices", pb.ListDevicesRequest(deployment_id=deployment_id)),
        ):
            nursery.start_soon(unavailable, method, request)
        with pytest.raises(CallFailed) as refused:
            await site.status(told)
        assert refused.value.code == "UNAVAILABLE"
