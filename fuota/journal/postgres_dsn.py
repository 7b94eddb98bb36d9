"""What `[postgresql] dsn` means: what it means to lib/pq, the driver of the Go server, and all of libpq's.

lib/pq gives PostgreSQL every parameter that is not its own as a run-time parameter; libpq knows only its own,
and has `options` for all others. Without a host lib/pq takes localhost, where libpq has a socket in mind.
"""

import os
import re
from collections.abc import Mapping
from functools import cache
from urllib.parse import unquote, unquote_plus

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fuota.journal.port import JournalError

LIB_PQ_ONLY = frozenset({"binary_parameters", "disable_prepared_binary_result"})
"""How lib/pq goes about it; this is none of PostgreSQL's business."""

ELSEWHERE = ("PGHOST", "PGHOSTADDR", "PGSERVICE")
"""Environment variables with which libpq knows its host."""

OURS = {
    "fallback_application_name": "fuota",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""Where the dsn says nothing else."""

WORDS: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
"""What libpq takes for these; but it says so only when it is to connect, and then as of an outage."""

NUMBERS = {*OURS, "keepalives", "tcp_user_timeout"} - {"fallback_application_name"}

SCHEMES = ("postgres://", "postgresql://")
URL = re.compile(r"(postgres(?:ql)?://(?:[^@/]*@)?+[^?]*)\?(.*)", re.DOTALL)
USER = re.compile(r"\A(postgres(?:ql)?://)([^/?#]*)(?=@)")
"""With its password, as far as lib/pq takes it: to the last @ of the authority; libpq takes the first."""
ONE_AT = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?+[^@?]*(?:\?.*)?", re.DOTALL)
"""With another @, libpq takes a part of the password for the host or the database, and those are told."""
PAIR = re.compile(r"\s*([^\s=]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)\s*", re.DOTALL)

UNESCAPED = "[postgresql] dsn: in a URI, an @ in a name or a password is to be written %40, and a / %2F"

Parameters = Mapping[str, str]


class BadDsn(JournalError):
    """With this dsn there will never be a connection."""


def conninfo(dsn: str, environment: Mapping[str, str] = os.environ) -> str:
    """`dsn` for libpq, with our parameters where it says nothing. Raises `BadDsn`."""
    dsn = USER.sub(lambda found: found[1] + found[2].replace("@", "%40"), dsn)
    rest, others = _of_url(dsn) if dsn.startswith(SCHEMES) else _of_pairs(dsn)
    try:
        given = conninfo_to_dict(rest)
    except psycopg.ProgrammingError:
        # What libpq says of it may hold the password.
        raise BadDsn(
            "[postgresql] dsn: this is neither a URI nor a list of parameters that libpq understands"
        ) from None
    known = {name: str(value) for name, value in given.items()}
    _check(known)
    if dsn.startswith(SCHEMES) and not ONE_AT.fullmatch(dsn):
        raise BadDsn(UNESCAPED)
    said = [known.get(name) for name in ("host", "hostaddr", "service")]
    if not any(said) and not any(environment.get(name) for name in ELSEWHERE):
        known["host"] = "localhost"
    wanted = [f"-c {_escaped(name)}={_escaped(value)}" for name, value in others.items()]
    if wanted:
        known["options"] = " ".join(
            [known.get("options") or environment.get("PGOPTIONS", ""), *wanted]
        ).strip()
    return make_conninfo("", **{**OURS, **known})


def _check(known: Parameters) -> None:
    """Raise `BadDsn` for what libpq would never take. No value is shown: it may be part of the password of a
    URI that was not escaped."""
    for name, value in known.items():
        if name in WORDS and value not in WORDS[name]:
            raise BadDsn(f"[postgresql] dsn: {name} must be {' or '.join(WORDS[name])}")
        if name in NUMBERS and not re.fullmatch(r"\s*[-+]?[0-9]{1,9}\s*", value):
            raise BadDsn(f"[postgresql] dsn: {name} must be a whole number")
        if name == "port" and not all(not each or _is_port(each) for each in value.split(",")):
            raise BadDsn("[postgresql] dsn: port must be a whole number from 1 to 65535")


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[0-9]{1,5}\s*", text)) and 0 < int(text) < 1 << 16


@cache
def _names() -> frozenset[str]:
    """Of libpq's parameters."""
    return frozenset(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())


def _of_url(dsn: str) -> tuple[str, Parameters]:
    """What libpq understands of it, and the parameters that it does not know."""
    if not (split := URL.fullmatch(dsn)):
        return dsn, {}
    left, others = [], {}
    for part in split[2].split("&"):
        name, _, value = part.partition("=")
        if "@" in name:
            raise BadDsn(UNESCAPED)
        if unquote(name) in _names() | {"ssl"}:  # ssl=true is JDBC's, which libpq takes in a URI
            left.append(f"{name}={value.replace('=', '%3D')}")  # which libpq wants to be written so
        elif unquote(name) not in LIB_PQ_ONLY and part:
            others[unquote_plus(name)] = unquote_plus(value)
    return split[1] + ("?" if left else "") + "&".join(left), others


def _of_pairs(dsn: str) -> tuple[str, Parameters]:
    """The same for `name=value name='value'`; all of it is libpq's, if it is nothing of the kind."""
    place, left, others = 0, [], {}
    while place < len(dsn):
        if not (pair := PAIR.match(dsn, place)):
            return dsn, {}
        place = pair.end()
        name, value = pair.groups()
        if name in _names():
            left.append(pair[0].strip())
        elif name not in LIB_PQ_ONLY:
            bare = value[1:-1] if value.startswith("'") else value
            others[name] = re.sub(r"\\(.)", r"\1", bare, flags=re.DOTALL)
    return " ".join(left), others


def _escaped(text: str) -> str:
    """As PostgreSQL takes `options` apart."""
    return re.sub(r"([\\\s])", r"\\\1", text)
