"""Protobuf descriptors in pools of our own.

ChirpStack v3 and v4 give different messages the same full names, and protobuf's default pool refuses the
second. So the generated modules of each generation register in a pool of that generation
(docs/decisions/0001-two-generations-one-process.md).
"""

from typing import Any

from google.protobuf import duration_pb2, empty_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_WELL_KNOWN = (duration_pb2, empty_pb2, struct_pb2, timestamp_pb2)


def new_pool() -> DescriptorPool:
    """A pool that holds nothing but the well-known types.

    Its Timestamp and Duration behave like the usual ones but are classes of their own: into a message of
    this pool goes a `datetime` or `timedelta`, not a `timestamp_pb2.Timestamp`.
    """
    pool = DescriptorPool()
    for module in _WELL_KNOWN:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


def define(pool: DescriptorPool, serialized: bytes, namespace: dict[str, Any]) -> FileDescriptor:
    """Add a serialized FileDescriptorProto to the pool, and what it declares to a module's namespace.

    The namespace gets what protoc's own modules have: a class per message, a wrapper per enum and a
    number per enum value. What the file imports must be in the pool already.
    """
    file = pool.AddSerializedFile(serialized)
    for enum in file.enum_types_by_name.values():
        namespace[enum.name] = EnumTypeWrapper(enum)
        namespace.update((value.name, value.number) for value in enum.values)
    for message in file.message_types_by_name.values():
        namespace[message.name] = _message_class(message, namespace["__name__"])
    return file


def _message_class(descriptor: Descriptor, module: str) -> type[Message]:
    cls = GetMessageClass(descriptor)
    cls.__module__ = module
    for nested in descriptor.nested_types:
        setattr(cls, nested.name, _message_class(nested, module))
    return cls
