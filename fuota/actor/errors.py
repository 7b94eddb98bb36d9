"""What can go wrong between actors; an error's docstring is its message, after the actor's path."""

import trio


class ActorError(Exception):
    """does not do what is asked of it"""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} {self.__doc__}")


class Stopped(ActorError):
    """has stopped and takes no more messages"""


class Crashed(ActorError):
    """crashed before it answered"""  # its error is the __cause__


class TooLate(ActorError, trio.TooSlowError):
    """did not answer in time"""  # it may still act on the question


class Superseded(Exception):
    """Another process plays this actor. Raised in an actor, it ends the actor for good, and is no crash."""


class TooManyCrashes(ActorError):
    """crashed when its supervisor had no restarts left to give"""  # the error is the __cause__
