"""Lists deployments, looks at one, or cancels it, with the stubs that come with fuota.

    python deployments.py localhost:8070              every deployment, the latest first
    python deployments.py localhost:8070 ID           one, and the devices of it that have failed
    python deployments.py localhost:8070 ID cancel

If the server has TLS, add --ca ca.pem, the authority of its certificate; if it has a ca_cert, too, also
--cert client.pem --key client.key. It is plain asyncio and grpclib: nothing of the server runs here.
"""

import argparse
import asyncio
import ssl
import sys
from collections.abc import AsyncIterator

from grpclib.client import Channel
from grpclib.exceptions import GRPCError

from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.generated.fuota_v1.deployment_grpc import DeploymentServiceStub

TIMEOUT = 30


def state(deployment: pb.Deployment) -> str:
    """`TRANSMITTING 60/120`, `ENDED DONE`."""
    name = pb.DeploymentState.Name(deployment.state).removeprefix("DEPLOYMENT_STATE_")
    if deployment.HasField("end"):
        return f"{name} {pb.EndReason.Name(deployment.end.reason).removeprefix('END_REASON_')}"
    if deployment.fragments_sent:
        return f"{name} {deployment.fragments_sent}/{deployment.fragment_count}"
    return name


async def deployments(stub: DeploymentServiceStub) -> AsyncIterator[pb.Deployment]:
    request = pb.ListDeploymentsRequest()
    while True:
        answer = await stub.ListDeployments(request, timeout=TIMEOUT)
        for deployment in answer.deployments:
            yield deployment
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


async def failed(stub: DeploymentServiceStub, deployment_id: str) -> AsyncIterator[pb.Device]:
    request = pb.ListDevicesRequest(deployment_id=deployment_id, states=[pb.DEVICE_STATE_FAILED])
    while True:
        answer = await stub.ListDevices(request, timeout=TIMEOUT)
        for device in answer.devices:
            yield device
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


async def show(stub: DeploymentServiceStub, deployment_id: str) -> None:
    found = await stub.GetDeployment(pb.GetDeploymentRequest(id=deployment_id), timeout=TIMEOUT)
    since = found.state_since.ToDatetime()
    print(f"{state(found.deployment)} since {since:%Y-%m-%d %H:%M:%S} UTC", found.trouble)
    for each in found.device_counts:
        print(f"{each.count:7} {pb.DeviceState.Name(each.state).removeprefix('DEVICE_STATE_')}")
    async for device in failed(stub, deployment_id):
        reason = pb.FailureReason.Name(device.reason).removeprefix("FAILURE_REASON_")
        print(f"{device.dev_eui}  {reason}: {device.detail}")


def tls(ca: str, cert: str, key: str) -> ssl.SSLContext:
    """Files in PEM; without a `ca`, those that the system trusts."""
    context = ssl.create_default_context(cafile=ca or None)
    context.set_alpn_protocols(["h2"])
    # Python 3.13 refuses what home-made authorities issue: certificates without a key identifier
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert:
        context.load_cert_chain(cert, key or None)
    return context


async def run(server: str, deployment_id: str, action: str, context: ssl.SSLContext | None) -> None:
    host, _, port = server.rpartition(":")
    async with Channel(host, int(port), ssl=context) as channel:
        stub = DeploymentServiceStub(channel)
        if action == "cancel":
            await stub.CancelDeployment(pb.CancelDeploymentRequest(id=deployment_id), timeout=TIMEOUT)
        if deployment_id:
            await show(stub, deployment_id)
            return
        async for each in deployments(stub):
            print(f"{each.id}  {each.created_at.ToDatetime():%Y-%m-%d %H:%M}  {state(each)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("server")
    parser.add_argument("id", nargs="?", default="")
    parser.add_argument("action", nargs="?", default="", choices=["", "cancel"])
    for name in ("--ca", "--cert", "--key"):
        parser.add_argument(name, default="")
    given = parser.parse_args()
    context = tls(given.ca, given.cert, given.key) if given.ca or given.cert else None
    try:
        asyncio.run(run(given.server, given.id, given.action, context))
    except GRPCError as error:
        sys.exit(f"{error.status.name}: {error.message}")
