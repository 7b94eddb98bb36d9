"""How both generations of ChirpStack spell ids and keys.

What can not be read is an `ApiError` that names the field.
"""

from uuid import UUID

from fuota.lorawan.eui import EUI64
from fuota.simulation.chirpstack import ApiError


def group_id(field: str, text: str) -> str:
    """A group's id: a UUID in any of its spellings."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise invalid(field, f"{text!r} is no UUID") from error


def dev_eui(text: str) -> EUI64:
    return eui("dev_eui", text)


def eui(field: str, text: str) -> EUI64:
    try:
        return EUI64.parse(text)
    except ValueError as error:
        raise invalid(field, str(error)) from error


def invalid(field: str, problem: str) -> ApiError:
    return ApiError("INVALID_ARGUMENT", f"{field}: {problem}")


def octets(field: str, text: str, length: int) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != length:
        raise invalid(field, f"wanted {2 * length} hexadecimal digits")
    return octets
