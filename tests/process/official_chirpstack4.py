"""ChirpStack 4's API as its own Python package has it, before another server: run in a process of its own.

    python official_chirpstack4.py PACKAGE ADDRESS

Every call is read by the official servicers, passed on to the server at ADDRESS as octets, and its answer is
read by the official messages. The address that this one listens on is its line of output. The package lies in
a folder of its own, for that of ChirpStack 3 has the same name.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf.empty_pb2 import Empty


def servicer(grpc: Any, base: type, service: Any, messages: Any, channel: Any) -> Any:
    """An official servicer whose methods pass on what they are asked."""

    def passed_on(method: Any) -> Callable[[Any, Any, Any], Any]:
        path = f"/{service.full_name}/{method.name}"
        answer = getattr(messages, method.output_type.name, Empty)
        forward = channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=answer.FromString,
        )

        def call(self: Any, request: Any, context: Any) -> Any:
            assert type(request).__module__.startswith("chirpstack_api.api.")
            token = [
                (name, value) for name, value in context.invocation_metadata() if name == "authorization"
            ]
            try:
                return forward(request, metadata=token, timeout=10)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return call

    methods = {method.name: passed_on(method) for method in service.methods if hasattr(base, method.name)}
    return type(base.__name__, (base,), methods)()


def main(package: str, address: str) -> None:
    sys.path.insert(0, package)
    import grpc  # type: ignore[import-untyped]
    from chirpstack_api.api import (  # type: ignore[import-untyped]
        device_pb2,
        device_pb2_grpc,
        multicast_group_pb2,
        multicast_group_pb2_grpc,
    )

    channel = grpc.insecure_channel(address)
    server = grpc.server(ThreadPoolExecutor(16))
    for messages, services, name in (
        (multicast_group_pb2, multicast_group_pb2_grpc, "MulticastGroupService"),
        (device_pb2, device_pb2_grpc, "DeviceService"),
    ):
        made = servicer(
            grpc,
            getattr(services, f"{name}Servicer"),
            messages.DESCRIPTOR.services_by_name[name],
            messages,
            channel,
        )
        getattr(services, f"add_{name}Servicer_to_server")(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
