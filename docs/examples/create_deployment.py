"""Creates a deployment and watches it, with ChirpStack's own Python client.

    pip install chirpstack-api==3.12.4
    python create_deployment.py localhost:8070 APPLICATION_ID firmware.bin devices.csv

A line of devices.csv is a DevEUI and the device's McRootKey (TS005 section 4), both in hexadecimal:
70b3d57ed0000001,000102030405060708090a0b0c0d0e0f

It watches until everything was sent. This API does not say that a deployment had to be given up;
deployments.py does.
"""

import csv
import math
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

# The package was generated for the protobuf of 2021; newer ones run it only in pure Python.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import grpc  # type: ignore[import-untyped]
from chirpstack_api.fuota import fuota_pb2 as pb  # type: ignore[import-untyped]
from chirpstack_api.fuota import fuota_pb2_grpc

FRAGMENT_SIZE = 200
SECONDS_PER_FRAGMENT = 3
"""How long the network takes to send one, generously: it decides how long the devices listen.

Between two downlinks of a class C group ChirpStack leaves its multicast_gateway_delay, 2 s by default, and
that once for each gateway that sends.
"""


def read(path: str) -> list[tuple[str, str]]:
    with Path(path).open(newline="") as file:
        return [(row[0], row[1]) for row in csv.reader(file)]


def deployment(application_id: int, firmware: bytes, devices: list[tuple[str, str]]) -> Any:
    fragments = math.ceil(len(firmware) / FRAGMENT_SIZE)
    redundancy = fragments // 5 + 10
    made = pb.Deployment(
        application_id=application_id,
        multicast_group_type=pb.CLASS_C,
        multicast_dr=5,
        multicast_frequency=869_525_000,
        multicast_group_id=0,
        multicast_timeout=math.ceil(math.log2((fragments + redundancy) * SECONDS_PER_FRAGMENT)),
        unicast_attempt_count=5,
        fragmentation_fragment_size=FRAGMENT_SIZE,
        fragmentation_redundancy=redundancy,
        payload=firmware,
        request_fragmentation_session_status=pb.AFTER_SESSION_TIMEOUT,
    )
    made.unicast_timeout.FromSeconds(60)  # longer than the devices' uplink interval
    for dev_eui, mc_root_key in devices:
        made.devices.add(dev_eui=bytes.fromhex(dev_eui), mc_root_key=bytes.fromhex(mc_root_key))
    return made


def main(server: str, application_id: str, firmware: str, devices: str) -> None:
    # The status of some 40 000 devices is more than the 4 MiB that a client takes by default.
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server, options=options) as channel:
        stub = fuota_pb2_grpc.FUOTAServerServiceStub(channel)
        ordered = deployment(int(application_id), Path(firmware).read_bytes(), read(devices))
        created = stub.CreateDeployment(pb.CreateDeploymentRequest(deployment=ordered), timeout=30)
        print("deployment", UUID(bytes=created.id))
        while True:
            status = stub.GetDeploymentStatus(pb.GetDeploymentStatusRequest(id=created.id), timeout=30)
            done = sum(each.HasField("frag_status_completed_at") for each in status.device_status)
            print(f"{done} of {len(status.device_status)} devices have the whole image")
            if status.HasField("frag_status_completed_at"):
                return
            time.sleep(5)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
