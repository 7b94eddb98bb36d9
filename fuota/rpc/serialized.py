"""Long answers are made into octets piece by piece: while protobuf writes, no other thread runs."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import attrs
from google.protobuf.message import Message
from grpclib.encoding.proto import ProtoCodec

M = TypeVar("M")
P = TypeVar("P", bound=Message)


@attrs.frozen
class Serialized(Generic[M]):
    """A message on the wire."""

    octets: bytes = attrs.field(repr=False)

    @classmethod
    def merged(cls, pieces: Iterable[P]) -> "Serialized[P]":
        """Of all pieces one message: repeated fields follow on each other.

        (Protocol Buffers, Encoding: concatenated messages are parsed as if they had been merged.)
        """
        return Serialized(b"".join(piece.SerializeToString() for piece in pieces))


class Codec(ProtoCodec):
    """grpclib's, which also takes what is serialized already."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        if isinstance(message, Serialized):
            return message.octets
        return super().encode(message, message_type)
