"""Our messages and services are the official ones."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.rpc.error_details_pb2 import BadRequest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.bridge import open_loop
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import (
    device_queue_pb2,
    fuota_pb2,
    gw_pb2,
    integration_pb2,
    multicast_group_pb2,
)
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceBase
from fuota.rpc.methods import unary
from fuota.rpc.server import serve


def json_name(field: FieldDescriptorProto) -> str:
    """Old protocs leave out what follows from the name."""
    first, *rest = field.name.split("_")
    return field.json_name or first + "".join(word.capitalize() for word in rest)


def declared(file: FileDescriptorProto) -> set[tuple[Any, ...]]:
    """Everything a file declares that is seen on the wire, in JSON or in a gRPC path."""
    found: set[tuple[Any, ...]] = set()
    for enum in file.enum_type:
        found |= {(file.package, enum.name, value.name, value.number) for value in enum.value}
    for service in file.service:
        for each in service.method:
            found.add((file.package, service.name, each.name, each.input_type, each.output_type))

    def walk(message: DescriptorProto, prefix: str) -> None:
        for field in message.field:
            kind = (field.type, field.type_name, field.label)
            found.add((prefix, message.name, field.number, field.name, json_name(field), *kind))
        for nested in message.nested_type:
            walk(nested, f"{prefix}.{message.name}")

    for message in file.message_type:
        walk(message, file.package)
    return found


@pytest.mark.parametrize(
    "module",
    [fuota_pb2, multicast_group_pb2, device_queue_pb2, integration_pb2, gw_pb2],
    ids=lambda module: module.DESCRIPTOR.name,
)
def test_what_we_declare_is_declared_officially(official_descriptors: str, module: Any) -> None:
    official = FileDescriptorSet.FromString(base64.b64decode(official_descriptors))
    ours = declared(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    assert ours
    assert ours - set().union(*(declared(file) for file in official.file)) == set()


def test_the_fuota_service_is_complete(official_descriptors: str) -> None:
    official = FileDescriptorSet.FromString(base64.b64decode(official_descriptors))
    (fuota,) = (file for file in official.file if file.package == "fuota")
    assert declared(FileDescriptorProto.FromString(fuota_pb2.DESCRIPTOR.serialized_pb)) == declared(fuota)


class Fuota(FUOTAServerServiceBase):
    def __init__(self) -> None:
        self.seen: list[fuota_pb2.Deployment] = []

    @unary
    async def CreateDeployment(
        self, request: fuota_pb2.CreateDeploymentRequest
    ) -> fuota_pb2.CreateDeploymentResponse:
        self.seen.append(request.deployment)
        return fuota_pb2.CreateDeploymentResponse(id=bytes(16))

    @unary
    async def GetDeploymentStatus(
        self, request: fuota_pb2.GetDeploymentStatusRequest
    ) -> fuota_pb2.GetDeploymentStatusResponse:
        return fuota_pb2.GetDeploymentStatusResponse(
            created_at=datetime(2024, 2, 29, tzinfo=UTC),
            device_status=[fuota_pb2.DeploymentDeviceStatus(dev_eui=bytes(range(8)))],
        )

    @unary
    async def GetDeploymentDeviceLogs(
        self, request: fuota_pb2.GetDeploymentDeviceLogsRequest
    ) -> fuota_pb2.GetDeploymentDeviceLogsResponse:
        violation = BadRequest.FieldViolation(field="dev_eui", description="must be 8 octets")
        raise GRPCError(
            Status.INVALID_ARGUMENT,
            "dev_eui: must be 8 octets",
            [BadRequest(field_violations=[violation])],
        )


async def test_the_official_client_is_understood(official_client: Any) -> None:
    service = Fuota()
    with trio.fail_after(30):
        async with open_loop(), trio.open_nursery() as nursery:
            address = await nursery.start(serve, [service], Bind("127.0.0.1", 0))
            async with official_client(address) as client:
                created = await client(
                    "CreateDeployment",
                    deployment={
                        "applicationId": "7",
                        "devices": [{"devEui": "AAECAwQFBgc=", "mcRootKey": "AAECAwQFBgcAAQIDBAUGBw=="}],
                        "multicastGroupType": "CLASS_C",
                        "unicastTimeout": "60s",
                        "requestFragmentationSessionStatus": "NO_REQUEST",
                    },
                )
                status = await client("GetDeploymentStatus", id=created["id"])
                with pytest.raises(Exception, match="dev_eui: must be 8 octets") as raised:
                    await client("GetDeploymentDeviceLogs")
            nursery.cancel_scope.cancel()
    assert base64.b64decode(created["id"]) == bytes(16)
    assert status == {"createdAt": "2024-02-29T00:00:00Z", "deviceStatus": [{"devEui": "AAECAwQFBgc="}]}
    assert (raised.value.code, raised.value.violations) == (  # type: ignore[attr-defined]
        "INVALID_ARGUMENT",
        {"dev_eui": "must be 8 octets"},
    )
    (deployment,) = service.seen
    assert (deployment.application_id, deployment.devices[0].dev_eui) == (7, bytes(range(8)))
    assert deployment.multicast_group_type == fuota_pb2.CLASS_C
    assert deployment.unicast_timeout.seconds == 60
    assert deployment.request_fragmentation_session_status == fuota_pb2.NO_REQUEST
