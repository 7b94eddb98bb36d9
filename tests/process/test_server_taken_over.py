"""The server on a database that the ChirpStack FUOTA Server has left."""

from pathlib import Path

from fuota.bridge import open_loop
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from tests.postgres.schemas import BEGIN, DEVICE, END, OLD, OLD_ROWS, REFERENCE, run
from tests.process.generations import Generation
from tests.process.live import Installation, Site, instant
from tests.process.operators import operator


async def test_deployments_of_the_reference_server_can_still_be_read(
    tmp_path: Path, dsn: str, generation: Generation
) -> None:
    """By its own clients and by ours; they are not resumed."""
    run(dsn, REFERENCE + OLD_ROWS)
    nowhere = {"server": "127.0.0.1:1"}
    installation = Installation.make(tmp_path, {"postgresql": {"dsn": dsn}, generation.api: nowhere})
    async with open_loop(), installation.serving() as server:
        async with generation.client(server.api) as client:
            await their_clients(Site(server, client, generation=generation))
        async with operator(server.api, generation) as ask:
            found = await ask.get(str(OLD))
            [listed] = (await ask("ListDeployments", pb.ListDeploymentsRequest())).deployments
            devices = await ask("ListDevices", pb.ListDevicesRequest(deployment_id=str(OLD)))
        assert (await server.look("debug/actors?path=/deployments"))["children"] == []
        assert await server.stop() == 0
    deployment = found.deployment
    assert listed == deployment
    assert (deployment.id, deployment.state) == (str(OLD), pb.DEPLOYMENT_STATE_UNRECORDED)
    assert deployment.milestones == pb.Milestones(mc_group_setup_completed_at=END)
    assert not deployment.HasField("plan")
    assert list(found.device_counts) == [pb.DeviceCount(state=pb.DEVICE_STATE_UNRECORDED, count=1)]
    [device] = devices.devices
    assert (device.dev_eui, device.state) == (str(DEVICE), pb.DEVICE_STATE_UNRECORDED)
    assert device.milestones == pb.Milestones(frag_status_completed_at=END)
    assert "resumes" not in installation.stderr
    assert "Traceback" not in installation.stderr


async def their_clients(site: Site) -> None:
    old, dev_eui = site.generation.told(OLD), site.generation.octets(DEVICE.octets)
    status = await site.status(old)
    [device] = status.pop("deviceStatus")
    assert device.pop("devEui") == dev_eui
    for told, milestone in ((status, "mcGroupSetupCompletedAt"), (device, "fragStatusCompletedAt")):
        times = {name: instant(text) for name, text in told.items()}
        assert times == {"createdAt": BEGIN, "updatedAt": END, milestone: END}
    answer = await site.client("GetDeploymentDeviceLogs", deploymentId=old, devEui=dev_eui)
    assert [(instant(row["createdAt"]), row["command"], row.get("fields", {})) for row in answer["logs"]] == [
        (BEGIN, "McGroupSetupReq", {"mc_group_id": "0", "mc_addr": "01020304"}),
        (END, "McGroupSetupAns", {}),
    ]
