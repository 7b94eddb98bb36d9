"""Creates a deployment and watches it, with the messages and stubs that come with fuota.

    python create_deployment_grpclib.py localhost:8070 APPLICATION_ID firmware.bin devices.csv

devices.csv is as for create_deployment.py. The exit code is 0 if everything was sent. It is plain asyncio and
grpclib: nothing of the server runs here.
"""

import asyncio
import csv
import math
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from grpclib.client import Channel
from grpclib.exceptions import GRPCError

from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceStub
from fuota.generated.fuota_v1 import deployment_pb2 as v1
from fuota.generated.fuota_v1.deployment_grpc import DeploymentServiceStub

FRAGMENT_SIZE = 200
SECONDS_PER_FRAGMENT = 3
"""How long the network takes to send one, generously: it decides how long the devices listen.

Between two downlinks of a class C group ChirpStack leaves its multicast_gateway_delay, 2 s by default, and
that once for each gateway that sends.
"""


def read(path: str) -> list[tuple[str, str]]:
    with Path(path).open(newline="") as file:
        return [(row[0], row[1]) for row in csv.reader(file)]


def deployment(application_id: int, firmware: bytes, devices: list[tuple[str, str]]) -> pb.Deployment:
    fragments = math.ceil(len(firmware) / FRAGMENT_SIZE)
    redundancy = fragments // 5 + 10
    return pb.Deployment(
        application_id=application_id,
        devices=[
            pb.DeploymentDevice(dev_eui=bytes.fromhex(dev_eui), mc_root_key=bytes.fromhex(mc_root_key))
            for dev_eui, mc_root_key in devices
        ],
        multicast_group_type=pb.CLASS_C,
        multicast_dr=5,
        multicast_frequency=869_525_000,
        multicast_group_id=0,
        multicast_timeout=math.ceil(math.log2((fragments + redundancy) * SECONDS_PER_FRAGMENT)),
        unicast_timeout=timedelta(seconds=60),  # longer than the devices' uplink interval
        unicast_attempt_count=5,
        fragmentation_fragment_size=FRAGMENT_SIZE,
        fragmentation_redundancy=redundancy,
        payload=firmware,
        request_fragmentation_session_status=pb.AFTER_SESSION_TIMEOUT,
    )


async def watch(stub: DeploymentServiceStub, deployment_id: str) -> str | None:
    """Until it has ended; then why, unless everything was sent."""
    while True:
        found = await stub.GetDeployment(v1.GetDeploymentRequest(id=deployment_id), timeout=30)
        state = v1.DeploymentState.Name(found.deployment.state).removeprefix("DEPLOYMENT_STATE_")
        of = sum(each.count for each in found.device_counts)
        done = sum(each.count for each in found.device_counts if each.state == v1.DEVICE_STATE_COMPLETE)
        print(f"{state}: {done} of {of} devices have the whole image", found.trouble)
        if found.deployment.state == v1.DEPLOYMENT_STATE_ENDED:
            end = found.deployment.end
            why = f"{v1.EndReason.Name(end.reason).removeprefix('END_REASON_')} {end.detail}"
            return None if end.reason == v1.END_REASON_DONE else why
        await asyncio.sleep(5)


async def run(server: str, ordered: pb.Deployment) -> str | None:
    host, _, port = server.rpartition(":")
    async with Channel(host, int(port)) as channel:
        stub = FUOTAServerServiceStub(channel)
        created = await stub.CreateDeployment(pb.CreateDeploymentRequest(deployment=ordered), timeout=30)
        deployment_id = str(UUID(bytes=created.id))
        print("deployment", deployment_id)
        return await watch(DeploymentServiceStub(channel), deployment_id)


def main(server: str, application_id: str, firmware: str, devices: str) -> str | None:
    ordered = deployment(int(application_id), Path(firmware).read_bytes(), read(devices))
    return asyncio.run(run(server, ordered))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except GRPCError as error:
        sys.exit(f"{error.status.name}: {error.message}")
