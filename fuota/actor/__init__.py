"""Actors on Trio: what they are and how they fail is in docs/guarantees.md."""

from fuota.actor.alarms import Alarms
from fuota.actor.behaviour import Actor, Me
from fuota.actor.durable import Durable
from fuota.actor.errors import ActorError, Crashed, Stopped, TooLate, TooManyCrashes
from fuota.actor.ref import Ref
from fuota.actor.registry import Registration, Registry
from fuota.actor.reply import Reply
from fuota.actor.snapshot import ActorSnapshot
from fuota.actor.strategy import Policy, Strategy, one_for_all, one_for_one, rest_for_one
from fuota.actor.tree import Child, Supervisor, Tree, open_tree

__all__ = [
    "Actor",
    "ActorError",
    "ActorSnapshot",
    "Alarms",
    "Child",
    "Crashed",
    "Durable",
    "Me",
    "Policy",
    "Ref",
    "Registration",
    "Registry",
    "Reply",
    "Stopped",
    "Strategy",
    "Supervisor",
    "TooLate",
    "TooManyCrashes",
    "Tree",
    "one_for_all",
    "one_for_one",
    "open_tree",
    "rest_for_one",
]
