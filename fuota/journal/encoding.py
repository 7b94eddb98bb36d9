"""What is stored of a state and of a plan: JSON with tags that outlive the names of the classes.

The tables below are written out, so that renaming a class does not change what is stored, and a tag is
never used again for something else. A field may be added with a default; a field that is gone is skipped
when it is read. `tests/golden/` holds one stored text for each entry.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from cattrs import Converter
from cattrs.errors import BaseValidationError

from fuota.deployment import states as deployment
from fuota.deployment.plan import Plan
from fuota.device import states as device
from fuota.journal.port import JournalError, State

T = TypeVar("T")

DEPLOYMENT_STATES: Mapping[str, type[deployment.State]] = {
    "creating-group": deployment.CreatingGroup,
    "creating-group-in-vain": deployment.CreatingGroupInVain,
    "setting-up-groups": deployment.SettingUpGroups,
    "setting-up-fragments": deployment.SettingUpFragments,
    "arranging-session": deployment.ArrangingSession,
    "awaiting-start": deployment.AwaitingStart,
    "transmitting": deployment.Transmitting,
    "restoring-group": deployment.RestoringGroup,
    "awaiting-end": deployment.AwaitingEnd,
    "settling": deployment.Settling,
    "repeating": deployment.Repeating,
    "concluding": deployment.Concluding,
    "draining": deployment.Draining,
    "abandoning": deployment.Abandoning,
    "deleting-group": deployment.DeletingGroup,
    "ended": deployment.Ended,
}

DEVICE_STATES: Mapping[str, type[device.State]] = {
    "waiting": device.Waiting,
    "joining-group": device.JoiningGroup,
    "setting-up-group": device.SettingUpGroup,
    "setting-up-fragments": device.SettingUpFragments,
    "prepared": device.Prepared,
    "setting-up-session": device.SettingUpSession,
    "correcting-clock": device.CorrectingClock,
    "listening": device.Listening,
    "unheard": device.Unheard,
    "asking-status": device.AskingStatus,
    "still-listening": device.StillListening,
    "incomplete": device.Incomplete,
    "withdrawing": device.Withdrawing,
    "complete": device.Complete,
    "unconfirmed": device.Unconfirmed,
    "released": device.Released,
    "failed": device.Failed,
}

_TAGS: dict[type[State], str] = {
    **{cls: tag for tag, cls in DEPLOYMENT_STATES.items()},
    **{cls: tag for tag, cls in DEVICE_STATES.items()},
}


class Unreadable(JournalError):
    """What is stored was not written by this version of the server, nor by an older one."""


def storable(text: str) -> str:
    """`text` as PostgreSQL can hold it: neither NUL nor half of a surrogate pair."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def storable_fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {storable(name): storable(text) for name, text in fields.items()}


def dump_state(state: State) -> str:
    return _text({"state": _TAGS[type(state)], **_converter.unstructure(state)})


def tag(cls: type[State] | None) -> str:
    """By which the states of a class are known; empty for None, the state of the reference server's."""
    return "" if cls is None else _TAGS[cls]


def load_deployment_state(text: str) -> deployment.State:
    """Raises `Unreadable`."""
    return cast(deployment.State, _load_state("deployment", DEPLOYMENT_STATES, text))


def load_device_state(text: str) -> device.State:
    """Raises `Unreadable`."""
    return cast(device.State, _load_state("device", DEVICE_STATES, text))


def known(load: Callable[[str], T], text: str | None) -> T | None:
    """What is shown of a stored text: None for what another program, or a newer version, has written."""
    with suppress(Unreadable):
        return None if text is None else load(text)
    return None


def dump_plan(plan: Plan) -> str:
    return _text(_converter.unstructure(plan))


def load_plan(text: str) -> Plan:
    """Raises `Unreadable`."""
    return _structure("plan", json.loads(text), Plan)


def _load_state(actor: str, classes: Mapping[str, type[State]], text: str) -> State:
    fields = json.loads(text)
    tag = fields.get("state")
    if tag not in classes:
        raise Unreadable(f"this version of the server knows no {actor} state {tag!r}")
    return _structure(f"{actor} state {tag!r}", fields, classes[tag])


_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _structure(what: str, fields: object, cls: type[T]) -> T:
    try:
        return _converter.structure(fields, cls)
    except (BaseValidationError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"{what} can not be read: {error!r}") from error


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"wanted a time with its zone, got {at!r}")
    return at.astimezone(UTC).isoformat()


def _make_converter() -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_unstructure_hook(str, storable)
    converter.register_unstructure_hook(datetime, _instant)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
    converter.register_unstructure_hook(bytes, bytes.hex)
    converter.register_structure_hook(bytes, lambda digits, _: bytes.fromhex(digits))
    return converter


_converter = _make_converter()
