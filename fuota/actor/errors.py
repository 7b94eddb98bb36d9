"""What can go wrong between actors."""

import trio


class ActorError(Exception):
    """An actor did not do what was asked of it."""


class Stopped(ActorError):
    """The actor has ended and takes no more messages."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} has stopped")


class Crashed(ActorError):
    """The actor crashed with the question in hand; its error is the `__cause__`."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} crashed before it answered")


class TooLate(ActorError, trio.TooSlowError):
    """The actor gave no answer in time; it may still act on the question."""

    def __init__(self, path: str, within: float) -> None:
        super().__init__(f"{path} did not answer within {within:g} s")


class TooManyCrashes(ActorError):
    """A supervisor's children crash faster than its budget allows; the last error is the `__cause__`."""

    def __init__(self, path: str, crashes: int, seconds: float) -> None:
        super().__init__(f"{path} crashed and its supervisor has seen {crashes} crashes in {seconds:g} s")
