"""What a call to another program can end with."""

from grpclib.const import Status


class RpcError(Exception):
    """A call failed.

    `status` is what the peer said. When it said nothing: DEADLINE_EXCEEDED if the time was up, UNAVAILABLE
    if there was no connection or it broke, INTERNAL if the answer was no gRPC.
    """

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(f"{status.name}: {detail}" if detail else status.name)
        self.status = status
        self.detail = detail
