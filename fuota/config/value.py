"""Values of the configuration: each function reads one kind, from TOML or from the text of a variable.

They take what the reference server's configuration takes, so numbers and booleans may also be text.
All raise ValueError whose message says what would be right, to be put after the key and its value.
"""

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path

import attrs

Read = Callable[[object], object]

WHITE = " \t\n\v\f\r"


@attrs.frozen
class Bind:
    """An address to listen on or to call: a host name or IP address, and a TCP port.

    An empty host is every interface, port 0 any free port. Written `host:port`, `:port`, `[::1]:port`.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Bind":
        """Raises ValueError with what would be right."""
        found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:/@\s]*)):([0-9]{1,5})", text)
        if found is None or int(found[3]) > 65535:
            raise ValueError("must be HOST:PORT, such as 0.0.0.0:8070, [::]:8070 or :8070")
        host = found[1] or found[2] or ""
        try:
            host.encode("idna")  # as it is when the address is looked up
        except UnicodeError:
            raise ValueError("must be HOST:PORT with a host name that DNS allows") from None
        return cls(host, int(found[3]))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class MasterKey:
    """A key of 32 octets, and its number, by which what it has sealed is known."""

    number: int
    key: bytes = attrs.field(repr=False)

    @property
    def line(self) -> str:
        """As the key file has it; the first one needs no number."""
        return self.key.hex() if self.number == 1 else f"{self.number} {self.key.hex()}"


def text(raw: object) -> str:
    """Any text; an undecodable octet of a variable is refused, for it could not be written to a file."""
    if not isinstance(raw, str):
        raise ValueError("must be text in quotes")
    if any("\ud800" <= character <= "\udfff" for character in raw):
        raise ValueError("must be UTF-8")
    if "\0" in raw:
        raise ValueError("must be text without NUL")
    return raw


def _trimmed(raw: object) -> str:
    """A secret without the white space around it, such as the line end of the file that it was in.

    None but white space is refused: without a token anybody would be let in.
    """
    written = text(raw)
    if written and not written.strip(WHITE):
        raise ValueError("must be more than white space")
    return written.strip(WHITE)


def bearer(raw: object) -> str:
    """A token that a header can bring."""
    written = _trimmed(raw)
    if re.search(r"[\n\v\f\r]", written):
        raise ValueError("must be one line")
    return written


def token(raw: object) -> str:
    """A token that gRPC can send in the metadata of a call."""
    written = _trimmed(raw)
    if not all(" " <= character <= "~" for character in written):
        raise ValueError("must be printable ASCII, without a line end (LF, CR)")
    return written


def choice(*allowed: str) -> Read:
    """One of some words."""

    def read(raw: object) -> str:
        if raw not in allowed:
            raise ValueError("must be " + " or ".join(f'"{word}"' for word in allowed))
        return str(raw)

    return read


def whole(least: int, most: int) -> Callable[[object], int]:
    """A whole number in a range, its ends included."""

    def read(raw: object) -> int:
        try:
            number = int(raw) if isinstance(raw, str) else raw
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return read


def connections(raw: object) -> int:
    """How many there may be to the database; 0 leaves it to the server."""
    number = whole(0, 10_000)(raw)
    if number == 1:
        raise ValueError(
            "must be 2 or more, for one is for the ownership alone, or 0 for as many as are needed"
        )
    return number


def boolean(raw: object) -> bool:
    """true or false, and what Go reads as them: 1, t, 0, f."""
    match raw.lower() if isinstance(raw, str) else raw:
        case "true" | "t" | "1" | int(1):
            return True
        case "false" | "f" | "0" | int(0):
            return False
    raise ValueError("must be true or false")


def bind(raw: object) -> Bind:
    """An address to listen on."""
    return Bind.parse(text(raw))


def server(raw: object) -> Bind:
    """An address to call, maybe with gRPC's prefix for names."""
    try:
        address = Bind.parse(text(raw).removeprefix("dns:///"))
    except ValueError:
        address = Bind("", 0)
    if not address.host or not address.port:
        raise ValueError("must be HOST:PORT without a scheme, such as localhost:8080")
    return address


def file(raw: object) -> Path | None:
    """A file, or None for empty text; `~` is the home directory."""
    try:
        return Path(text(raw)).expanduser() if raw != "" else None
    except RuntimeError:
        raise ValueError("must be a path; there is no home directory of that user") from None


def data_home() -> Path:
    """$XDG_DATA_HOME/fuota. Raises ValueError if there is neither that nor a home directory."""
    home = os.environ.get("XDG_DATA_HOME", "")
    try:
        return (Path(home) if home.startswith("/") else Path.home() / ".local/share") / "fuota"
    except RuntimeError:
        raise ValueError("this user has no home directory: set XDG_DATA_HOME") from None


def data_path(name: str) -> Read:
    """A path, made absolute; `name` in `data_home()` for empty text."""

    def read(raw: object) -> Path:
        return (file(raw) or data_home() / name).absolute()

    return read


def master_key(raw: object) -> MasterKey | None:
    """32 octets as 64 hexadecimal digits or as base64, maybe after a number; None for empty text."""
    written = text(raw).strip()
    if not written:
        return None
    number, _, octets = written.rpartition(" ")
    try:
        key = bytes.fromhex(octets) if len(octets) == 64 else base64.b64decode(octets, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32 or not re.fullmatch("[0-9]{0,3}", number) or not 1 <= int(number or 1) <= 255:
        raise ValueError(
            "must be 32 octets: 64 hexadecimal digits, or base64; "
            "before them there may be the number of the key, from 1 to 255, and a space"
        )
    return MasterKey(int(number or 1), key)
