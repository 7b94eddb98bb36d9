"""Calls the FUOTA service with ChirpStack's own Python client; run in a process of its own.

    PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python official_client.py ADDRESS

Every line of standard input is a call, `{"method": "CreateDeployment", "request": {…}}` with the request as
protobuf's JSON; each is answered by a line with the `response`, or with `code`, `detail` and `violations`.
With `--descriptors` for an address it prints what its .proto files declare, a FileDescriptorSet in base64.
(Its stubs are of the protobuf of 2021: today's runs them only in its pure Python implementation.)
"""

import base64
import json
import sys
from typing import Any

import grpc  # type: ignore[import-untyped]
from chirpstack_api.as_pb.external import api  # type: ignore[import-untyped]
from chirpstack_api.as_pb.integration import integration_pb2  # type: ignore[import-untyped]
from chirpstack_api.fuota import fuota_pb2, fuota_pb2_grpc  # type: ignore[import-untyped]
from chirpstack_api.gw import gw_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status


def descriptors() -> str:
    files = FileDescriptorSet()
    for message in (
        fuota_pb2.Deployment,
        api.MulticastGroup,
        api.DeviceQueueItem,
        integration_pb2.UplinkEvent,
        gw_pb2.UplinkRXInfo,
    ):
        message.DESCRIPTOR.file.CopyToProto(files.file.add())
    return base64.b64encode(files.SerializeToString()).decode()


def answer(stub: Any, method: str, request: dict[str, Any]) -> dict[str, Any]:
    message = ParseDict(request, getattr(fuota_pb2, f"{method}Request")())
    try:
        return {"response": as_dict(getattr(stub, method)(message, timeout=30))}
    except grpc.RpcError as error:
        return {
            "code": error.code().name,
            "detail": error.details(),
            "violations": violations(dict(error.trailing_metadata() or ())),
        }


def as_dict(message: Any) -> dict[str, Any]:
    """As protobuf's JSON; what these stubs take for a list of entries is a map to everybody else."""
    maps = [{entry.key: entry.value for entry in log.fields} for log in getattr(message, "logs", ())]
    for log in getattr(message, "logs", ()):
        log.ClearField("fields")
    made: dict[str, Any] = MessageToDict(message)
    for log, fields in zip(made.get("logs", ()), maps, strict=True):
        log["fields"] = fields
    return made


def violations(metadata: dict[str, bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for detail in Status.FromString(metadata.get("grpc-status-details-bin", b"")).details:
        bad = BadRequest()
        if detail.Unpack(bad):
            found |= {each.field: each.description for each in bad.field_violations}
    return found


def main(address: str) -> None:
    if address == "--descriptors":
        print(descriptors())
        return
    with grpc.insecure_channel(address) as channel:
        stub = fuota_pb2_grpc.FUOTAServerServiceStub(channel)
        for line in sys.stdin:
            print(json.dumps(answer(stub, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
