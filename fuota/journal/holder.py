"""Who holds the ownership: what its row says of a process, and what can be known of that.

    host [boot namespace token], process 12

A host name and a pid are not enough: containers may share the name, and each has a process 1. The boot of the
kernel and the pid namespace say among which processes the pid counts, the token is the process's own. Without
them, as in a row of an earlier version or where there is no Linux, nothing is concluded. An earlier version
takes what is in brackets for a part of a host name that is not its own, so it concludes nothing either.
"""

import os
import re
import secrets
import socket
from pathlib import Path

NOBODY = "nobody"
"""Is the holder before the first owner, and after one that has stopped in order."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")
UNKNOWN = "? ?"

TOKEN = secrets.token_hex(8)

PROCESS = re.compile(
    r"(?P<host>.*) \[(?P<place>\S+ \S+) (?P<token>\S+)\], process (?P<pid>[0-9]{1,9})", re.DOTALL
)


def this_process() -> str:
    """As a holder."""
    return f"{socket.gethostname()} [{_place()} {TOKEN}], process {os.getpid()}"


def shown(holder: str) -> str:
    """For people: the host and the pid."""
    process = PROCESS.fullmatch(holder)
    return f"{process['host']}, process {process['pid']}" if process else holder


def gone(holder: str) -> bool:
    """Whether it is known that `holder` acts no more: it has said so, or was a process whose end we see."""
    if holder == NOBODY:
        return True
    process, place = PROCESS.fullmatch(holder), _place()
    if process is None or place == UNKNOWN:
        return False
    if (process["host"], process["place"]) != (socket.gethostname(), place):
        return False
    pid = int(process["pid"])
    if pid == os.getpid():
        return process["token"] != TOKEN
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    return False


def _place() -> str:
    """Where our pid means this process: two of the same place see each other's end."""
    try:
        boot, namespace = BOOT.read_text("ascii").strip(), NAMESPACE.stat().st_ino
    except (OSError, ValueError):
        return UNKNOWN
    return f"{boot} {namespace}" if boot else UNKNOWN
