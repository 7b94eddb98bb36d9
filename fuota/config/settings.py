"""The settings: what each key is called, means, and is without being set.

The keys and defaults are those of the ChirpStack FUOTA Server; ours are added beside them. A class is a
table of the TOML file, its docstring the comment above it; `file.py` reads and writes the file.
"""

from pathlib import Path
from typing import Any, Literal

from attrs import Factory, field, frozen

from fuota.config import value
from fuota.config.value import Bind, MasterKey


def key(read: value.Read, doc: str) -> dict[str, Any]:
    """How a key's value is read, and the comment above it in the file."""
    return {"read": read, "doc": doc}


@frozen
class General:
    """General settings."""

    log_level: int = field(
        default=4, metadata=key(value.whole(0, 5), "debug=5, info=4, warning=3, error=2, fatal=1, panic=0.")
    )
    log_to_syslog: bool = field(
        default=False, metadata=key(value.boolean, "Write the log to syslog instead of the console.")
    )
    grpc_default_resolver_scheme: str = field(
        default="",
        metadata=key(value.text, "Of the ChirpStack FUOTA Server: accepted, and without effect here."),
    )


@frozen
class PostgreSQL:
    """The database: PostgreSQL 10 or newer with hstore at hand or, without a dsn, the embedded PostgreSQL."""

    dsn: str = field(
        default="",
        repr=False,
        metadata=key(
            value.text,
            "postgres://user:password@hostname/database?sslmode=disable or "
            "'user=fuota dbname=fuota sslmode=disable', with all the parameters of libpq and of a session. "
            "Empty: an embedded PostgreSQL is started and stopped with the server.",
        ),
    )
    automigrate: bool = field(
        default=True, metadata=key(value.boolean, "Bring the tables up to date at the start.")
    )
    max_open_connections: int = field(
        default=0,
        metadata=key(
            value.connections,
            "The most connections at once, of which two are needed; with two, all else waits while an order "
            "is written. 0 leaves it to the server to choose.",
        ),
    )
    max_idle_connections: int = field(
        default=2, metadata=key(value.whole(0, 10_000), "The most connections kept open while unused.")
    )
    data_dir: Path = field(
        factory=lambda: value.data_home() / "postgresql",
        metadata=key(
            value.data_path("postgresql"),
            "Where the embedded PostgreSQL keeps its data. "
            "Empty: $XDG_DATA_HOME/fuota/postgresql, which is usually ~/.local/share/fuota/postgresql.",
        ),
    )


@frozen
class EventHandlerHttp:
    """The HTTP endpoint that ChirpStack's HTTP integration posts events to."""

    bind: Bind = field(default=Bind("0.0.0.0", 8090), metadata=key(value.bind, "IP:PORT to listen on."))
    token: str = field(
        default="",
        repr=False,
        metadata=key(
            value.bearer,
            "When set, an event needs the header 'Authorization: Bearer TOKEN', "
            "which the HTTP integration can be told to send.",
        ),
    )


@frozen
class EventHandler:
    """Events from ChirpStack."""

    marshaler: Literal["protobuf", "json"] = field(
        default="protobuf",
        metadata=key(
            value.choice("protobuf", "json"),
            'How an event is encoded whose Content-Type does not say: "protobuf" or "json". '
            "It says with application/octet-stream or application/json.",
        ),
    )
    http: EventHandlerHttp = Factory(EventHandlerHttp)


@frozen
class ChirpStackApi:
    """ChirpStack's gRPC API."""

    server: Bind = field(default=Bind("localhost", 8080), metadata=key(value.server, "Its HOST:PORT."))
    token: str = field(default="", repr=False, metadata=key(value.token, "The API token."))
    tls_enabled: bool = field(
        default=False, metadata=key(value.boolean, "Use TLS, and trust the authorities this system trusts.")
    )


@frozen
class ApplicationServer:
    """The ChirpStack Application Server (v3)."""

    event_handler: EventHandler = Factory(EventHandler)
    api: ChirpStackApi = Factory(ChirpStackApi)


@frozen
class ChirpStackEventHandler(EventHandler):
    """Events from ChirpStack."""

    clock_sync: bool = field(
        default=True,
        metadata=key(
            value.boolean,
            "Answer devices that ask for the time (AppTimeReq). ChirpStack 4.12 and newer may do so itself, "
            "as the device profile says: then false, or a device gets two answers.",
        ),
    )


@frozen
class ChirpStack:
    """ChirpStack 4; a configuration has this table or [application_server], for ChirpStack 3, never both."""

    event_handler: ChirpStackEventHandler = Factory(ChirpStackEventHandler)
    api: ChirpStackApi = Factory(ChirpStackApi)


@frozen
class FuotaServerApi:
    """The gRPC API, for the clients of this server."""

    bind: Bind = field(default=Bind("0.0.0.0", 8070), metadata=key(value.bind, "IP:PORT to listen on."))
    ca_cert: Path | None = field(
        default=None,
        metadata=key(value.file, "When set, clients need a certificate of this authority (a PEM file)."),
    )
    tls_cert: Path | None = field(
        default=None, metadata=key(value.file, "The server's certificate (a PEM file). Empty: no TLS.")
    )
    tls_key: Path | None = field(
        default=None, metadata=key(value.file, "The key of that certificate (a PEM file).")
    )


@frozen
class FuotaServer:
    """This server."""

    api: FuotaServerApi = Factory(FuotaServerApi)


@frozen
class Debug:
    """The endpoint for operators: the tree of actors, health, metrics."""

    bind: Bind = field(default=Bind("127.0.0.1", 8071), metadata=key(value.bind, "IP:PORT to listen on."))
    token: str = field(
        default="",
        repr=False,
        metadata=key(
            value.bearer,
            "When set, all but /healthz and /readyz need the header 'Authorization: Bearer TOKEN', or once "
            "/?token=TOKEN in the browser.",
        ),
    )


@frozen
class Secrets:
    """The master key, which seals the devices' keys in the database: lose it, and they are lost."""

    master_key: MasterKey | None = field(
        default=None,
        repr=False,
        metadata=key(
            value.master_key,
            "32 octets, as 64 hexadecimal digits or as base64, or a line of the key file, which has the "
            "number of its key before them. Empty: it is read from the key file.",
        ),
    )
    key_file: Path = field(
        factory=lambda: value.data_home() / "master.key",
        metadata=key(
            value.data_path("master.key"),
            "The file of the master key, made at the first start. "
            "Empty: $XDG_DATA_HOME/fuota/master.key, which is usually ~/.local/share/fuota/master.key.",
        ),
    )


@frozen
class Settings:
    """All settings."""

    general: General = Factory(General)
    postgresql: PostgreSQL = Factory(PostgreSQL)
    application_server: ApplicationServer = Factory(ApplicationServer)
    chirpstack: ChirpStack = Factory(ChirpStack)
    generation: Literal[3, 4] = field(default=3, metadata={"chosen": True})
    """Of ChirpStack: which of the two tables counts."""
    fuota_server: FuotaServer = Factory(FuotaServer)
    debug: Debug = Factory(Debug)
    secrets: Secrets = Factory(Secrets)

    @property
    def network(self) -> ApplicationServer | ChirpStack:
        """The table that counts."""
        return self.chirpstack if self.generation == 4 else self.application_server

    @property
    def clock_sync(self) -> bool:
        """Whether devices that ask for the time are answered."""
        return self.generation == 3 or self.chirpstack.event_handler.clock_sync
