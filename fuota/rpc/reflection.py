"""Tells clients such as grpcurl what is served (grpc.reflection.v1 and v1alpha)."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.reflection.service import ServerReflection

if TYPE_CHECKING:
    from grpclib._typing import IServable

T = TypeVar("T")


def with_reflection(services: Collection["IServable"]) -> list["IServable"]:
    """These services and the ones that describe them, from whichever pool their messages are of."""
    pools = {
        method.request_type.DESCRIPTOR.file.pool: None
        for service in services
        for method in service.__mapping__().values()
    }
    pools[descriptor_pool.Default()] = None
    return ServerReflection.extend(services, pool=_Pools(tuple(pools)))


@attrs.frozen
class _Pools:
    """Several pools as one: what grpclib's reflection asks of a pool, answered by the first that knows."""

    pools: tuple[DescriptorPool, ...]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def find(*args: Any) -> Any:
            for pool in self.pools:
                try:
                    return getattr(pool, name)(*args)
                except KeyError:
                    continue
            raise KeyError(*args)

        return find
