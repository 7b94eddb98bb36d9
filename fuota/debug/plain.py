"""What actors say of themselves, as plain data and as words.

Fields with `repr=False` are left out: that is how this project marks keys and tokens.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from itertools import islice
from typing import Any

import attrs

MOST = 20
"""Elements shown of a collection, and fields of a record."""
FEW = 5
"""Elements of a collection up to which a line of words names them."""
LONGEST = 200
"""Characters shown of a text."""
DEEPEST = 5
"""Levels shown of nested values."""


def plain(value: object, depth: int = DEEPEST) -> Any:
    """As data that JSON can hold; a record is an object whose `is` names its class."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if depth == 0:
        return "…"
    if _record(value):
        return {"is": type(value).__name__, **{k: plain(v, depth - 1) for k, v in _fields(value)}}
    if isinstance(value, Mapping):
        return {_text(k): plain(v, depth - 1) for k, v in islice(value.items(), MOST)} | _left_out(value)
    if isinstance(value, list | tuple | set | frozenset):
        shown = [plain(each, depth - 1) for each in islice(value, MOST)]
        return shown + ([f"and {len(value) - MOST} more"] if len(value) > MOST else [])
    return _text(value)


def words(value: object) -> str:
    """In one line, for people: `SettingUpGroup(attempt=2)` is «setting up group · attempt 2».

    What is so unless something has happened is left out.
    """
    return " · ".join(_phrases(value)) if value is not None else ""


def _phrases(value: object) -> Iterable[str]:
    if _record(value):
        yield spaced(type(value).__name__)
        pairs: Iterable[tuple[str, object]] = _told(value)
    elif isinstance(value, Mapping):
        pairs = ((_text(k), v) for k, v in islice(value.items(), MOST))
    else:
        yield _text(value)
        return
    for name, each in pairs:
        if phrase := _phrase(each):
            yield phrase if name == "state" else _named(name, phrase)


def _phrase(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping) and len(value) <= FEW:
        return ", ".join(f"{_text(name)} {_phrase(each)}" for name, each in value.items())
    if isinstance(value, list | tuple | set | frozenset) and len(value) <= FEW:
        return ", ".join(map(_text, value))
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return str(len(value))
    if _record(value):
        inner = ", ".join(_named(name, phrase) for name, each in _told(value) if (phrase := _phrase(each)))
        return spaced(type(value).__name__) + (f" ({inner})" if inner else "")
    return _text(value)


def _named(name: str, phrase: str) -> str:
    """`session` and «session (number 1)» are «session (number 1)»."""
    words = name.replace("_", " ")
    return phrase if phrase.startswith(f"{words} (") else f"{words} {phrase}"


def spaced(name: str) -> str:
    """`SettingUpGroup` -> `setting up group`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def _record(value: object) -> bool:
    """Whether it is known by its fields, and not by a text of its own as a DevEUI is."""
    return attrs.has(type(value)) and type(value).__str__ is object.__str__


def _fields(record: Any) -> list[tuple[str, object]]:
    return [
        (field.name.lstrip("_"), getattr(record, field.name))
        for field in attrs.fields(type(record))
        if field.repr is not False
    ][:MOST]


def _told(record: Any) -> list[tuple[str, object]]:
    usual = {field.name.lstrip("_"): field.default for field in attrs.fields(type(record))}
    return [(name, value) for name, value in _fields(record) if value != usual[name]]


def _left_out(mapping: Mapping[Any, object]) -> dict[str, str]:
    return {"…": f"and {len(mapping) - MOST} more"} if len(mapping) > MOST else {}


def _text(value: object) -> str:
    match value:
        case str():
            text = value
        case Enum():
            text = spaced(value.name).replace("_", " ")
        case datetime():
            text = f"{value:%d %b %H:%M:%S}"
        case timedelta():
            text = f"{value.total_seconds():g} s"
        case bytes() | bytearray() | memoryview():
            text = bytes(value[:LONGEST]).hex()
        case None:
            text = "–"
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6g}"
        case _:
            text = str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
