"""Reads the protobuf JSON mapping field by field, from JSON as `json.loads` gives it.

Only what an event needs is looked at: at a thousand uplinks a second protobuf's own `json_format` is too
slow. `null` stands for an absent field, numbers may be written as strings, and names as the mapping has them
(`fPort`) or as the message does (`f_port`), which some writers prefer. Raises `Malformed`.
"""

import json
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from fuota.integration.event import Malformed

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DURATION = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?s")


def read(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Malformed(f"wanted a JSON object, got {_kind(value)}")
    return value


def given(event: dict[str, Any], name: str) -> Any:
    """The value of a field, by its name in the mapping; None when it is absent."""
    value = event.get(name)
    return event.get(_original(name)) if value is None else value


@cache
def _original(name: str) -> str:
    """What the message calls it."""
    return _HUMP.sub("_", name).lower()


def octets(event: dict[str, Any], name: str) -> bytes:
    """A `bytes` field: base64, in the standard or the URL alphabet, padded or not."""
    text = given(event, name)
    if text is None:
        return b""
    if not isinstance(text, str):
        raise Malformed(f"{name}: wanted base64, got {_kind(text)}")
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (NotBase64, ValueError) as error:
        raise Malformed(f"{name}: wanted base64, got {text[:40]!r}") from error


def unsigned(event: dict[str, Any], name: str, bits: int) -> int:
    """A `uint32` field that has to fit into this many bits."""
    value = given(event, name)
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    elif value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise Malformed(f"{name}: wanted a number from 0 to {(1 << bits) - 1}, got {_kind(value)}")
    return value


def member(event: dict[str, Any], name: str) -> dict[str, Any]:
    """A message field; empty when it is absent or something else."""
    value = given(event, name)
    return value if isinstance(value, dict) else {}


def enum(event: dict[str, Any], name: str, names: Mapping[str, int]) -> int:
    """An enum field, by its name or its number; 0 for a name that is none of its."""
    value = given(event, name)
    if isinstance(value, str) and not value.isdigit():
        return names.get(value, 0)
    return unsigned(event, name, 31)


def objects(event: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A repeated message field; what it holds besides objects is left out."""
    values = given(event, name)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def timestamp(event: dict[str, Any], name: str) -> datetime | None:
    """A `Timestamp` field; None when it is absent or unreadable, for no event is refused for its times."""
    try:
        instant = datetime.fromisoformat(given(event, name))
        return instant.astimezone(UTC) if instant.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def duration(event: dict[str, Any], name: str) -> tuple[int, int]:
    """A `Duration` field as whole seconds and nanoseconds; zero when it is absent or can not be read."""
    text = given(event, name)
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return (int(match[1]), int((match[2] or "").ljust(9, "0"))) if match else (0, 0)


def _kind(value: object) -> str:
    kinds = {str: "string", dict: "object", list: "array", bool: "boolean", type(None): "null"}
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"  # which a float may not hold
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.12g}"
    return kinds.get(type(value), type(value).__name__)
