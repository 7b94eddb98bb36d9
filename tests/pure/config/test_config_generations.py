"""Which generation of ChirpStack it is, the settings say: one of two tables, never both."""

from pathlib import Path

import pytest

from fuota.config.file import dump, load
from fuota.config.mistake import ConfigError

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


@pytest.mark.parametrize(
    "content",
    ["[chirpstack]", "[ChirpStack.api]\n# token = 'a'", "[chirpstack.event_handler.http]", "chirpstack = {}"],
)
def test_a_table_without_values_says_it_too(content: str, file: Path) -> None:
    file.write_text(content)
    assert load(file, {}).generation == 4
    assert load(file, {"CHIRPSTACK__API__TOKEN": "a"}).generation == 4
    file.write_text(content.lower().replace("chirpstack", "application_server"))
    assert load(file, {}).generation == 3


@pytest.mark.parametrize(
    ("content", "environ", "told"),
    [
        (
            "[application_server.api]\nserver = 'a:1'\n[chirpstack]",
            {},
            "[chirpstack]: [application_server] is for ChirpStack 3 and [chirpstack] for 4, "
            "and {file} has application_server.api.server",
        ),
        (
            "[chirpstack.api]\nserver = 'a:1'\n[application_server]",
            {},
            "chirpstack.api.server: [application_server] is for ChirpStack 3 and [chirpstack] for 4, "
            "and {file} has [application_server]",
        ),
        (
            "[chirpstack.api]",
            {"APPLICATION_SERVER__API__TOKEN": "a"},
            "[chirpstack.api]: [application_server] is for ChirpStack 3 and [chirpstack] for 4, "
            "and environment has APPLICATION_SERVER__API__TOKEN",
        ),
    ],
)
def test_nor_may_one_without_values_stand_beside_the_other(
    content: str, environ: dict[str, str], told: str, file: Path
) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError) as raised:
        load(file, environ)
    assert str(raised.value) == f"{file}: {told.format(file=file)}: use one of them"


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
