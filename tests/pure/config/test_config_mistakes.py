"""A mistake in the settings is told in one line, which names it and says what would be right."""

from pathlib import Path

import pytest

from fuota.config.file import load
from fuota.config.mistake import ConfigError


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
            "general.log_levle: there is no such key; did you mean general.log_level?",
        ),
        ("[general]\nxyz = 4", "general.xyz: there is no such key"),
        ("[chirpsatck]\nxyz = 4", "[chirpsatck]: there is no such table"),
        ("general = 4", "general: must be a table: [general]"),
        ('[debug]\n"a\\nb\\u001b[31m" = 1', "debug.a\\nb\\x1b[31m: there is no such key"),
        ('["a\\u009b31m"]', "[a\\x9b31m]: there is no such table"),
        (
            '[general]\nlog_level = "\\u001b\\u009b\\u007f\\u202e"',
            'general.log_level = "\\u001b\\x9b\\x7f\\u202e": must be a whole number from 0 to 5',
        ),
        (f"[general]\nlog_level = {'9' * 5000}", "has a number that is too long"),
        (
            f"[general]\nlog_level = 0x{'f' * 5000}",
            "general.log_level = (a number that is too long): must be a whole number from 0 to 5",
        ),
        (
            f"[general]\nlog_to_syslog = 0x{'f' * 5000}",
            "general.log_to_syslog = (a number that is too long): must be true or false",
        ),
        (
            "[debug]\ntoken = 'hush'\nTOKEN = ''",
            "debug.token: is there twice, for upper and lower case are the same",
        ),
        (
            "[general]\nlog_level = 4\n[General]\nlog_to_syslog = true",
            "general: is there twice, for upper and lower case are the same",
        ),
        ("[[general]]\nlog_level = 4", "general: must be a table: [general]"),
        (
            "[general]\nlog_level = [4]",
            "general.log_level = (an array): must be a whole number from 0 to 5",
        ),
        (
            "[general.log_to_syslog]\nlog_level = 4",
            "general.log_to_syslog = (a table): must be true or false",
        ),
        (
            "[postgresql]\nmax_open_connections = 1",
            "postgresql.max_open_connections = 1: "
            "must be 2 or more, for one is for the ownership alone, or 0 for as many as are needed",
        ),
        ("[postgresql]\ndsn = 5", "postgresql.dsn = (a secret): must be text in quotes"),
        (
            "[application_server.api]\ntokne = 'hush'",
            "application_server.api.tokne: there is no such key; did you mean application_server.api.token?",
        ),
        (
            "[application_server.api]\nserver = 'http://localhost:8080'",
            'application_server.api.server = "http://localhost:8080": '
            "must be HOST:PORT without a scheme, such as localhost:8080",
        ),
        (
            "[application_server.api]\nserver = 'http://user:h@sh@localhost:8080'",
            'application_server.api.server = "…@localhost:8080": '
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
            "secrets.master_key = (a secret): must be 32 octets: 64 hexadecimal digits, or base64; "
            "before them there may be the number of the key, from 1 to 255, and a space",
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
            "POSTGRESQL__AUTOMIGRAET: there is no such key; did you mean POSTGRESQL__AUTOMIGRATE?",
        ),
        (
            "DEBUG__BIND",
            "8071",
            'DEBUG__BIND = "8071": must be HOST:PORT, such as 0.0.0.0:8070, [::]:8070 or :8070',
        ),
        *(
            (
                f"{table}__API__TOKEN",
                f"hu{end}sh",
                f"{table}__API__TOKEN = (a secret): must be printable ASCII, without a line end (LF, CR)",
            )
            for table in ("APPLICATION_SERVER", "CHIRPSTACK")
            for end in ("\r", "\n", "\r\n", "ü", "\t", "\x7f")
        ),
        *(
            (f"{variable}__TOKEN", "hu\nsh", f"{variable}__TOKEN = (a secret): must be one line")
            for variable in ("DEBUG", "CHIRPSTACK__EVENT_HANDLER__HTTP")
        ),
        *(
            (f"{variable}__TOKEN", "\r\n", f"{variable}__TOKEN = (a secret): must be more than white space")
            for variable in ("DEBUG", "APPLICATION_SERVER__API", "APPLICATION_SERVER__EVENT_HANDLER__HTTP")
        ),
        ("DEBUG__TOKEN", "\udcff", "DEBUG__TOKEN = (a secret): must be UTF-8"),
    ],
)
def test_a_mistake_in_the_environment_is_named_in_one_line(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(environ={variable: value})
    assert str(raised.value) == f"environment: {message}"


@pytest.mark.parametrize(
    "content",
    [
        "[secrets]\nkey = 'hush'",
        "[secrets]\nkeyring = ['hush']",
        "[[secrets]]\nmaster_key = 'hush'",
        "[secrets.key_file]\nmaster_key = 'hush'",
        "secrets = 'hush'",
        "[application_server.api]\nsecret = 'hush'",
        "[application_server.api.server]\ntoken = 'hush'",
        "[application_server.api]\nserver = 'https://user:hush@localhost:8080'",
        "[application_server.api]\nserver = 'hush@localhost:8080'",
        "[chirpstack]\napi = [{token = 'hush'}]",
        "[debug]\nbearer = 'hush'",
        "[debug]\nbind = ['hush']",
        "[[debug]]\ntoken = 'hush'",
        "[chirpstack.event_handler.http]\nbearer = 'hush'",
        "dsn = 'postgres://u:hush@h/d'",
        "postgresql = 'postgres://u:hush@h/d'",
        "[postgres]\ndsn = 'hush'",
    ],
)
def test_what_may_be_a_secret_is_not_shown(file: Path, content: str) -> None:
    """Under a name that is no key, in the place of a table, or with what it does not belong to."""
    file.write_text(content)
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("variable", ["SECRETS__KEY", "DEBUG__BEARER", "POSTGRESQL__DNS", "POSTGRESQL__XYZ"])
def test_nor_is_it_of_the_environment(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"^environment: {variable}: there is no such key") as raised:
        load(environ={variable: "postgres://u:hush@h/d"})
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [f" = {'[' * 3000}", f" = {'{a=' * 3000}", f"{'.a' * 3000} = 1", f" = [{{a{'.a' * 3000} = 1}}]"],
    ids=["arrays", "tables", "names", "names in an array"],
)
@pytest.mark.parametrize("key", ["log_level", "log_to_syslog", "xyz"])
def test_what_is_nested_deep_is_one_short_line(file: Path, key: str, value: str) -> None:
    """Which mistake it is found to be hangs on how deep Python goes."""
    file.write_text(f"[general]\n{key}{value}\n")
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    said = str(raised.value)
    assert said.startswith(f"{file}: ")
    assert "\n" not in said
    assert len(said) < 400


def test_an_unreadable_file_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fuota server.toml: can not be read: No such file or directory"):
        load(file, {})
    with pytest.raises(ConfigError, match="can not be read: Is a directory"):
        load(tmp_path, {})
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="must be UTF-8, but octet 0 is not"):
        load(file, {})


def test_a_value_of_any_length_makes_one_short_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(environ={"DEBUG__BIND": "x" * 10_000})
    assert len(str(raised.value)) < 400
