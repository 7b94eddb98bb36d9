"""Settings: defaults of the reference server, file and environment, and written to a file again."""

import base64
import tomllib
from pathlib import Path

import attrs
import pytest

import fuota.config.file
from fuota.config.file import dump, load
from fuota.config.mistake import ConfigError
from fuota.config.settings import Secrets, Settings
from fuota.config.value import Bind, MasterKey
from fuota.database import master_keys
from fuota.journal import keyfile

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


def test_without_a_home_directory_one_line_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(fuota.config.file, "SEARCHED", (Path("~/.config/fuota"),))
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    assert load(environ={}) == Settings()
    monkeypatch.delenv("XDG_DATA_HOME")
    with pytest.raises(ConfigError) as mistake:
        load(environ={})
    assert str(mistake.value) == "this user has no home directory: set XDG_DATA_HOME"
    places = {"POSTGRESQL__DATA_DIR": "/data", "SECRETS__KEY_FILE": "/key"}
    assert 'data_dir = "/data"' in dump(load(environ=places))


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


def test_a_byte_order_mark_is_passed_over(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[general]\nlog_level = 2\n")
    assert load(file, {}).general.log_level == 2


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


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}", "{}\t"])
def test_white_space_around_a_secret_does_not_count(around: str) -> None:
    """The file of a secret ends with a line end, and a header's value can not."""
    settings = load(
        environ={
            "SECRETS__MASTER_KEY": around.format(KEY.hex()),
            "CHIRPSTACK__API__TOKEN": around.format("of the API"),
            "CHIRPSTACK__EVENT_HANDLER__HTTP__TOKEN": around.format("für Ereignisse"),
            "DEBUG__TOKEN": around.format("for operators"),
        }
    )
    assert settings.secrets.master_key == MasterKey(1, KEY)
    assert settings.network.api.token == "of the API"
    assert settings.network.event_handler.http.token == "für Ereignisse"
    assert settings.debug.token == "for operators"


@pytest.mark.parametrize("written", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()])
def test_the_master_key_is_hex_or_base64(written: str) -> None:
    assert load(environ={"SECRETS__MASTER_KEY": written}).secrets.master_key == MasterKey(1, KEY)


@pytest.mark.parametrize("number", [1, 2, 255])
def test_the_master_key_may_be_a_line_of_the_key_file(number: int, file: Path, tmp_path: Path) -> None:
    """What is sealed says the number of its key, and one that was changed is not number 1 any more."""
    path = tmp_path / "master.key"
    keyfile.save(path, {number: KEY})
    settings = load(environ={"SECRETS__MASTER_KEY": path.read_text(), "SECRETS__KEY_FILE": "/nowhere"})
    assert master_keys(settings.secrets) == {number: KEY}
    file.write_text(dump(settings))
    assert load(file, {}) == settings


@pytest.mark.parametrize("number", ["0", "256", "-1", "1 1", "1.0", "two", "\u0662", "1000", "001 "])
def test_a_number_that_no_master_key_has_is_refused(number: str) -> None:
    with pytest.raises(ConfigError, match=r"\(a secret\): must be .* the number of the key, from 1 to 255"):
        load(environ={"SECRETS__MASTER_KEY": f"{number} {KEY.hex()}"})


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


def test_a_printed_file_does_not_say_where_the_home_of_who_printed_it_is(file: Path) -> None:
    assert 'data_dir = ""' in dump(Settings())
    assert 'key_file = ""' in dump(Settings())
    assert 'key_file = "/data/fuota/other.key"' in dump(
        load(environ={"SECRETS__KEY_FILE": "/data/fuota/other.key"})
    )


def test_settings_are_values() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().general.log_level = 5  # type: ignore[misc]
