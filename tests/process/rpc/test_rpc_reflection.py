"""The services about the services: health and reflection."""

from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import trio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import Parse
from google.protobuf.message_factory import GetMessageClass
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1 import reflection_grpc, reflection_pb2
from grpclib.reflection.v1alpha import reflection_grpc as alpha_grpc
from grpclib.reflection.v1alpha import reflection_pb2 as alpha_pb2

from fuota.bridge import in_asyncio
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceBase
from fuota.rpc import health as rpc_health
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.rpc.health import HealthService
from fuota.rpc.reflection import with_reflection

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Fuota(FUOTAServerServiceBase):
    async def CreateDeployment(self, stream: Any) -> None:
        raise NotImplementedError

    async def GetDeploymentStatus(self, stream: Any) -> None:
        raise NotImplementedError

    async def GetDeploymentDeviceLogs(self, stream: Any) -> None:
        raise NotImplementedError


class Condition:
    def __init__(self) -> None:
        self.well = True

    def __call__(self) -> bool:
        return self.well


def all_services(serving: Condition) -> list[Any]:
    fuota = Fuota()
    return with_reflection([fuota, HealthService([fuota], serving)])


async def test_health_check(serving: Any) -> None:
    condition = Condition()
    async with serving(services=all_services(condition)) as served, connect(served.bind) as channel:

        async def check(service: str) -> int:
            return (
                await call(HealthStub(channel).Check, HealthCheckRequest(service=service), timeout=10)
            ).status

        assert [await check(""), await check("fuota.FUOTAServerService")] == [SERVING, SERVING]
        condition.well = False
        assert await check("fuota.FUOTAServerService") == NOT_SERVING
        with pytest.raises(RpcError) as raised:
            await check("fuota.Unheard")
        assert raised.value.status is Status.NOT_FOUND


async def test_health_watch(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With grpcio, as a load balancer would; the server's stop ends it at once."""
    monkeypatch.setattr(rpc_health, "LOOK", 0.01)
    condition = Condition()
    seen: list[tuple[str, int]] = []

    def watch(address: str) -> grpc.StatusCode:
        with grpc.insecure_channel(address) as channel:
            method = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )
            unknown = method(HealthCheckRequest(service="fuota.Unheard"), timeout=10)
            seen.append(("unheard", next(unknown).status))
            responses = method(HealthCheckRequest(), timeout=10)
            try:
                for response in responses:
                    seen.append(("all", response.status))
                    trio.from_thread.run_sync(setattr, condition, "well", not condition.well)
                    if len(seen) == 4:
                        trio.from_thread.run_sync(served.stop)
            except grpc.RpcError:
                pass
            code: grpc.StatusCode = responses.code()
            return code

    async with serving(services=all_services(condition)) as served:
        with trio.fail_after(3):
            assert await trio.to_thread.run_sync(watch, str(served.bind)) is grpc.StatusCode.UNAVAILABLE
    assert seen[:4] == [
        ("unheard", HealthCheckResponse.SERVICE_UNKNOWN),
        ("all", SERVING),
        ("all", NOT_SERVING),
        ("all", SERVING),
    ]


async def reflect(stub: Any, messages: Any, channel: Channel, **question: Any) -> Any:
    request = messages.ServerReflectionRequest(**question)
    (response,) = await in_asyncio(stub(channel).ServerReflectionInfo, [request], timeout=10)
    return response


@pytest.mark.parametrize(
    ("stub", "messages"),
    [
        pytest.param(reflection_grpc.ServerReflectionStub, reflection_pb2, id="v1"),
        pytest.param(alpha_grpc.ServerReflectionStub, alpha_pb2, id="v1alpha"),
    ],
)
async def test_reflection_shows_the_official_names(serving: Any, stub: Any, messages: Any) -> None:
    """What a client such as grpcurl does: it makes the messages out of nothing but the answers."""
    async with serving(services=all_services(Condition())) as served, connect(served.bind) as channel:
        listed = await reflect(stub, messages, channel, list_services="")
        names = [each.name for each in listed.list_services_response.service]
        assert names == ["fuota.FUOTAServerService", "grpc.health.v1.Health"]

        pool = DescriptorPool()

        async def load(**question: str) -> None:
            response = await reflect(stub, messages, channel, **question)
            (serialized,) = response.file_descriptor_response.file_descriptor_proto
            for dependency in FileDescriptorProto.FromString(serialized).dependency:
                await load(file_by_filename=dependency)
            pool.AddSerializedFile(serialized)

        for name in names:
            await load(file_containing_symbol=name)
        service = pool.FindServiceByName("fuota.FUOTAServerService")
        create = service.methods_by_name["CreateDeployment"]
        assert create.input_type.full_name == "fuota.CreateDeploymentRequest"
        request = GetMessageClass(create.input_type)()
        Parse('{"deployment": {"unicastTimeout": "60s", "multicastGroupType": "CLASS_C"}}', request)
        assert request.SerializeToString() == bytes.fromhex("0a0618014a02083c")

        unheard = await reflect(stub, messages, channel, file_containing_symbol="fuota.Unheard")
        assert Status(unheard.error_response.error_code) is Status.NOT_FOUND
        extensions = await reflect(stub, messages, channel, all_extension_numbers_of_type="fuota.Deployment")
        assert extensions.all_extension_numbers_response.base_type_name == "fuota.Deployment"
