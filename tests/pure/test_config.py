"""Settings: defaults of the reference server, file, environment, and what a mistake is told."""

import base64
import tomllib
from pathlib import Path

import attrs
import pytest

from fuota import configfile
from fuota.config import Bind, Secrets, Settings
from fuota.configfile import ConfigError, dump, load

KEY = bytes(range(32))

REFERENCE_FILE = """
[general]
log_level=5
log_to_syslog=false
grpc_default_resolver_scheme="dns"
[postgresql]
dsn="postgres://localhost/chirpstack_fuota?sslmode=disable"
automigrate=false
max_open_connections=7
max_idle_connections=3
[application_server]
  [application_server.event_handler]
    marshaler="json"
    [application_server.event_handler.http]
      bind="127.0.0.1:9090"
  [application_server.api]
    server="as.example.com:8080"
    token="verysecret"
    tls_enabled=true
[fuota_server]
  [fuota_server.api]
    bind="0.0.0.0:9070"
    ca_cert=""
    tls_cert=""
    tls_key=""
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fuota server.toml"


@pytest.fixture(autouse=True)
def _nothing_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of this machine is found, and the data directory is known."""
    monkeypatch.setattr(configfile, "SEARCHED", (tmp_path / "first", tmp_path / "second"))
    monkeypatch.setenv("XDG_DATA_HOME", "/data")


def test_the_defaults_are_those_of_the_reference_server() -> None:
    settings = load(environ={})
    assert settings == Settings()
    assert settings.general.log_level == 4
    assert settings.postgresql.dsn == ""
    assert settings.postgresql.automigrate is True
    assert settings.postgresql.max_idle_connections == 2
    assert settings.postgresql.data_dir == Path("/data/fuota/postgresql")
    assert settings.application_server.event_handler.marshaler == "protobuf"
    assert settings.application_server.event_handler.http.bind == Bind("0.0.0.0", 8090)
    assert settings.application_server.api.server == Bind("localhost", 8080)
    assert settings.fuota_server.api.bind == Bind("0.0.0.0", 8070)
    assert settings.debug.bind == Bind("127.0.0.1", 8071)
    assert settings.secrets == Secrets(None, Path("/data/fuota/master.key"))


def test_data_is_kept_below_the_home_directory_without_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("HOME", "/home/fuota")
    assert Settings().postgresql.data_dir == Path("/home/fuota/.local/share/fuota/postgresql")


def test_a_file_of_the_reference_server_is_read_as_it_is(file: Path) -> None:
    file.write_text(REFERENCE_FILE)
    settings = load(file, {})
    assert settings.general.log_level == 5
    assert settings.postgresql.dsn == "postgres://localhost/chirpstack_fuota?sslmode=disable"
    assert settings.postgresql.automigrate is False
    assert settings.postgresql.max_open_connections == 7
    assert settings.application_server.event_handler.marshaler == "json"
    assert settings.application_server.event_handler.http.bind == Bind("127.0.0.1", 9090)
    assert settings.application_server.api.server == Bind("as.example.com", 8080)
    assert settings.application_server.api.token == "verysecret"
    assert settings.application_server.api.tls_enabled is True
    assert settings.fuota_server.api.bind == Bind("0.0.0.0", 9070)
    assert settings.fuota_server.api.tls_cert is None


def test_the_first_file_found_is_taken_alone(tmp_path: Path) -> None:
    for folder, level in (("first", 1), ("second", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "chirpstack-fuota-server.toml").write_text(f"[general]\nlog_level = {level}")
    assert load(environ={}).general.log_level == 1


def test_the_environment_wins_and_an_empty_variable_is_none(file: Path) -> None:
    file.write_text(REFERENCE_FILE)
    settings = load(
        file,
        {
            "POSTGRESQL__DSN": "",
            "GENERAL__LOG_LEVEL": "2",
            "APPLICATION_SERVER__API__TOKEN": "from the environment",
            "APPLICATION_SERVER__API__TLS_ENABLED": "0",
            "FUOTA_SERVER__API__BIND": "[::]:8070",
            "HOME": "/root",
        },
    )
    assert settings.postgresql.dsn.startswith("postgres://")
    assert settings.general.log_level == 2
    assert settings.application_server.api.token == "from the environment"
    assert settings.application_server.api.tls_enabled is False
    assert settings.fuota_server.api.bind == Bind("::", 8070)


def test_the_variable_named_with_a_key_sets_it(file: Path) -> None:
    file.write_text(REFERENCE_FILE)
    settings = load(file, {"SECRETS__MASTER_KEY": KEY.hex()})
    lines = dump(settings).splitlines()
    environ = {
        line.removeprefix("# Environment: "): str(*tomllib.loads(lines[number + 1]).values())
        for number, line in enumerate(lines)
        if line.startswith("# Environment: ")
    }
    assert "APPLICATION_SERVER__EVENT_HANDLER__HTTP__BIND" in environ
    assert load(environ=environ) == settings


@pytest.mark.parametrize("written", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()])
def test_the_master_key_is_hex_or_base64(written: str) -> None:
    assert load(environ={"SECRETS__MASTER_KEY": written}).secrets.master_key == KEY


def test_secrets_are_not_in_the_repr() -> None:
    settings = load(
        environ={
            "SECRETS__MASTER_KEY": KEY.hex(),
            "POSTGRESQL__DSN": "postgres://fuota:hush@db/fuota",
            "APPLICATION_SERVER__API__TOKEN": "hush",
            "APPLICATION_SERVER__EVENT_HANDLER__HTTP__TOKEN": "hush",
            "DEBUG__TOKEN": "hush",
        }
    )
    assert "hush" not in repr(settings)
    assert repr(KEY) not in repr(settings)


def test_a_printed_file_loads_to_the_same_settings(file: Path, tmp_path: Path) -> None:
    certificate = tmp_path / 'a "quoted" cert.pem'
    certificate.touch()
    settings = load(
        environ={
            "GENERAL__LOG_LEVEL": "1",
            "GENERAL__LOG_TO_SYSLOG": "true",
            "POSTGRESQL__DSN": "host='/tmp/a b' password='\\\\\"\x7f\tü€😀'",
            "POSTGRESQL__DATA_DIR": "~/elsewhere",
            "APPLICATION_SERVER__EVENT_HANDLER__HTTP__BIND": ":8090",
            "APPLICATION_SERVER__API__SERVER": "dns:///[2001:db8::1]:443",
            "FUOTA_SERVER__API__TLS_CERT": str(certificate),
            "FUOTA_SERVER__API__TLS_KEY": str(certificate),
            "SECRETS__MASTER_KEY": KEY.hex(),
        }
    )
    assert settings.application_server.api.server == Bind("2001:db8::1", 443)
    file.write_text(dump(settings))
    assert load(file, {}) == settings


def test_the_default_file_loads_to_the_defaults(file: Path) -> None:
    file.write_text(dump(Settings()))
    assert load(file, {}) == Settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "[general]\nlog_level = 'high'",
            'general.log_level = "high": must be a whole number from 0 to 5',
        ),
        ("[general]\nlog_level = 6", "general.log_level = 6: must be a whole number from 0 to 5"),
        ("[general]\nlog_level = true", "general.log_level = true: must be a whole number from 0 to 5"),
        ("[general]\nlog_to_syslog = 'ja'", 'general.log_to_syslog = "ja": must be true or false'),
        (
            "[general]\nlog_levle = 4",
            "general.log_levle = 4: there is no such key; did you mean general.log_level?",
        ),
        ("[general]\nxyz = 4", "general.xyz = 4: there is no such key"),
        ("[chirpsatck]\nxyz = 4", "[chirpsatck]: there is no such table"),
        ("general = 4", "general = 4: must be a table: [general]"),
        ("[postgresql]\ndsn = 5", "postgresql.dsn = (a secret): must be text in quotes"),
        (
            "[application_server.api]\ntokne = 'hush'",
            "application_server.api.tokne = (a secret): there is no such key; "
            "did you mean application_server.api.token?",
        ),
        (
            "[application_server.api]\nserver = 'http://localhost:8080'",
            'application_server.api.server = "http://localhost:8080": '
            "must be HOST:PORT without a scheme, such as localhost:8080",
        ),
        (
            "[application_server.event_handler]\nmarshaler = 'xml'",
            'application_server.event_handler.marshaler = "xml": must be "protobuf" or "json"',
        ),
        (
            "[debug]\nbind = 'localhost'",
            'debug.bind = "localhost": must be HOST:PORT, such as 0.0.0.0:8070, [::]:8070 or :8070',
        ),
        (
            "[secrets]\nmaster_key = 'abcd'",
            "secrets.master_key = (a secret): must be 32 octets: 64 hexadecimal digits, or base64",
        ),
        (
            "[fuota_server.api]\ntls_cert = '/'",
            'fuota_server.api.tls_cert = "/": fuota_server.api.tls_key must be set too',
        ),
        (
            "[fuota_server.api]\ntls_cert = '/x.pem'\ntls_key = '/x.pem'",
            'fuota_server.api.tls_cert = "/x.pem": '
            "must be a file that can be read: No such file or directory",
        ),
        (
            "[postgresql]\ndata_dir = '~nobody-of-that-name/x'",
            'postgresql.data_dir = "~nobody-of-that-name/x": '
            "must be a path; there is no home directory of that user",
        ),
        (
            '[debug]\nbind = "a..b:1"',
            'debug.bind = "a..b:1": must be HOST:PORT with a host name that DNS allows',
        ),
        (
            '[postgresql]\ndata_dir = "/a\\u0000"',
            'postgresql.data_dir = "/a\\u0000": must be text without NUL',
        ),
        ("[general\n", "must be TOML: Expected ']' at the end of a table declaration (at line 1, column 9)"),
    ],
)
def test_a_mistake_in_the_file_is_named_in_one_line(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    assert str(raised.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GENERAL__LOG_LEVEL", "info", 'GENERAL__LOG_LEVEL = "info": must be a whole number from 0 to 5'),
        (
            "POSTGRESQL__AUTOMIGRAET",
            "true",
            'POSTGRESQL__AUTOMIGRAET = "true": there is no such key; did you mean POSTGRESQL__AUTOMIGRATE?',
        ),
        (
            "DEBUG__BIND",
            "8071",
            'DEBUG__BIND = "8071": must be HOST:PORT, such as 0.0.0.0:8070, [::]:8070 or :8070',
        ),
        ("DEBUG__TOKEN", "\udcff", "DEBUG__TOKEN = (a secret): must be UTF-8"),
    ],
)
def test_a_mistake_in_the_environment_is_named_in_one_line(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(environ={variable: value})
    assert str(raised.value) == f"environment: {message}"


def test_an_unreadable_file_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fuota server.toml: can not be read: No such file or directory"):
        load(file, {})
    with pytest.raises(ConfigError, match="can not be read: Is a directory"):
        load(tmp_path, {})
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="must be UTF-8, but octet 0 is not"):
        load(file, {})


@pytest.mark.parametrize(
    ("written", "bind"),
    [
        ("0.0.0.0:8070", Bind("0.0.0.0", 8070)),
        (":0", Bind("", 0)),
        ("[::1]:65535", Bind("::1", 65535)),
        ("fuota.example.com:80", Bind("fuota.example.com", 80)),
    ],
)
def test_a_bind_is_read_and_written(written: str, bind: Bind) -> None:
    assert Bind.parse(written) == bind
    assert str(bind) == written


@pytest.mark.parametrize(
    "written", ["", "8070", "::1:8070", "[]:1", "a:65536", "a:-1", "a b:1", "http://a:1"]
)
def test_what_is_no_bind_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        Bind.parse(written)


def test_settings_are_values() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().general.log_level = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")]
    + [(host, False) for host in ("", "0.0.0.0", "::", "192.0.2.1", "localhost.example")],
)
def test_whom_an_address_is_open_to(host: str, loopback: bool) -> None:
    assert Bind(host, 8071).loopback is loopback


def test_the_debug_endpoint_is_for_this_machine_unless_it_is_told_otherwise() -> None:
    assert Settings().debug.bind.loopback


def test_a_value_of_any_length_makes_one_short_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(environ={"DEBUG__BIND": "x" * 10_000})
    assert len(str(raised.value)) < 400


FOUR = """
[general]
log_level=4
grpc_default_resolver_scheme=""

[postgresql]
dsn="postgres://localhost/chirpstack_fuota?sslmode=disable"
automigrate=true

[chirpstack]
  [chirpstack.event_handler]
  marshaler="json"
    [chirpstack.event_handler.http]
    bind="0.0.0.0:8091"
  [chirpstack.api]
  server="chirpstack:8080"
  token="secret"
  tls_enabled=false

[fuota_server.api]
bind="0.0.0.0:8070"
"""
"""As the ChirpStack FUOTA Server v4 has it."""


def test_a_file_of_the_reference_server_v4_works_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "four.toml"
    path.write_text(FOUR)
    settings = load(path, {})
    assert settings.generation == 4
    assert str(settings.network.api.server) == "chirpstack:8080"
    assert settings.network.event_handler.marshaler == "json"
    assert settings.clock_sync
    path.write_text(dump(settings))
    assert load(path, {}) == settings
    assert "\n[application_server" not in path.read_text()


def test_the_generation_is_that_of_the_table_that_is_used(tmp_path: Path) -> None:
    assert load(None, {}).generation == 3
    assert load(None, {"APPLICATION_SERVER__API__TOKEN": "a"}).generation == 3
    four = load(None, {"CHIRPSTACK__EVENT_HANDLER__CLOCK_SYNC": "false"})
    assert (four.generation, four.clock_sync) == (4, False)


def test_both_tables_are_refused_and_both_are_named(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(FOUR)
    with pytest.raises(ConfigError) as raised:
        load(path, {"APPLICATION_SERVER__API__TOKEN": "a"})
    said = str(raised.value)
    for part in (
        str(path),
        "chirpstack.",
        "environment",
        "APPLICATION_SERVER__API__TOKEN",
        "use one of them",
    ):
        assert part in said
    assert "\n" not in said
