"""Actors on Trio: what they are and how they fail is in docs/guarantees.md."""

from fuota.actor.alarms import Alarms
from fuota.actor.behaviour import Actor, Me
from fuota.actor.errors import ActorError, Crashed, Stopped, Superseded, TooLate, TooManyCrashes
from fuota.actor.ref import Ref, Reply
from fuota.actor.registry import Registry
from fuota.actor.snapshot import ActorSnapshot
from fuota.actor.supervision import Child, Policy, Strategy, one_for_all, one_for_one, rest_for_one
from fuota.actor.tree import Supervisor, Tree, open_tree

__all__ = [
    "Actor",
    "ActorError",
    "ActorSnapshot",
    "Alarms",
    "Child",
    "Crashed",
    "Me",
    "Policy",
    "Ref",
    "Registry",
    "Reply",
    "Stopped",
    "Strategy",
    "Superseded",
    "Supervisor",
    "TooLate",
    "TooManyCrashes",
    "Tree",
    "one_for_all",
    "one_for_one",
    "open_tree",
    "rest_for_one",
]
