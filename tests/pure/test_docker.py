"""What can be known of the container files without building them: they agree with each other and with us."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from fuota.config.file import load
from fuota.config.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = {3: DOCKER / "compose.yml", 4: DOCKER / "compose-chirpstack-4.yml"}
"""By the generation of ChirpStack."""

COMPOSE: dict[int, dict[str, Any]] = {
    generation: yaml.safe_load(path.read_text()) for generation, path in FILES.items()
}
SERVICES: dict[int, dict[str, Any]] = {generation: each["services"] for generation, each in COMPOSE.items()}
of_each_generation = pytest.mark.parametrize("generation", FILES)
of_each_service = pytest.mark.parametrize(
    ("generation", "name"), [(generation, name) for generation in FILES for name in SERVICES[generation]]
)
DOCKERFILE = (DOCKER / "Dockerfile").read_text()

PORTS = {
    Settings().fuota_server.api.bind.port,
    Settings().debug.bind.port,
    Settings().application_server.event_handler.http.bind.port,
}


def test_the_image_exposes_the_default_ports() -> None:
    [exposed] = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.M)
    assert {int(port) for port in exposed.split()} == PORTS


def test_the_image_runs_the_server_as_a_numbered_user() -> None:
    [uid] = re.findall(r"--uid (\d+)", DOCKERFILE)
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.M) == [uid]
    assert re.findall(r"^ENTRYPOINT (.*)$|^CMD (.*)$", DOCKERFILE, re.M) == [
        ('["fuota"]', ""),
        ("", '["serve"]'),
    ]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    wanted = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M)
        for source in line.split()[:-1]
    }
    offered = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert wanted == offered
    assert [path for path in wanted if not (ROOT / path).exists()] == []


@of_each_service
def test_a_service_has_an_image_or_can_be_built(generation: int, name: str) -> None:
    service = SERVICES[generation][name]
    assert ("image" in service) != ("build" in service)
    if build := service.get("build"):
        assert (DOCKER / build["context"] / build["dockerfile"]).is_file()


@of_each_service
def test_a_service_waits_for_services_and_mounts_what_there_is(generation: int, name: str) -> None:
    service = SERVICES[generation][name]
    for other, waiting in service.get("depends_on", {}).items():
        healthy = "healthcheck" in SERVICES[generation][other]
        assert waiting["condition"] == ("service_healthy" if healthy else "service_started")
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            assert (DOCKER / source).is_file()
            assert Path(target).is_absolute()
        else:
            assert source in COMPOSE[generation]["volumes"]


@of_each_generation
def test_ports_are_published_to_the_same_number(generation: int) -> None:
    published = {
        name: [port.removesuffix("/udp").split(":") for port in service.get("ports", ())]
        for name, service in SERVICES[generation].items()
    }
    assert all(outside == inside for ports in published.values() for _, outside, inside in ports)
    # Events come from a container, by the network of the compose file.
    events = Settings().application_server.event_handler.http.bind.port
    assert {int(inside) for _, _, inside in published["fuota"]} == PORTS - {events}


@of_each_generation
def test_the_environment_of_our_server_is_a_configuration(
    generation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
        for name, value in SERVICES[generation]["fuota"]["environment"].items()
    }
    settings = load(environ=environment)
    assert settings.generation == generation
    assert settings.network.api.server.host in SERVICES[generation]
    assert settings.debug.bind.port == Settings().debug.bind.port


def configuration(generation: int) -> dict[str, str]:
    """What the files say that containers of this compose file mount."""
    mounted = {
        volume.split(":")[0]
        for service in SERVICES[generation].values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    }
    return {name: (DOCKER / name).read_text() for name in sorted(mounted)}


@of_each_generation
def test_every_database_that_is_used_is_made(generation: int) -> None:
    files = configuration(generation)
    [made] = [text for name, text in files.items() if name.endswith(".sql")]
    everything = "".join(files.values()) + FILES[generation].read_text()
    used = re.findall(r"postgres://(\w+):(\w+)@(\w+)/(\w+)\?", everything)
    assert len(used) == {3: 3, 4: 2}[generation]
    for user, password, host, database in used:
        assert f"CREATE ROLE {user} LOGIN PASSWORD '{password}';" in made
        assert f"CREATE DATABASE {database} OWNER {user};" in made
        assert host in SERVICES[generation]


@of_each_generation
def test_servers_that_are_named_are_services(generation: int) -> None:
    for name, content in configuration(generation).items():
        if name.endswith(".toml"):
            tomllib.loads(content)
            hosts = set(re.findall(r"(?:tcp|redis|http)://([\w-]+):", content))
            assert hosts, name
            assert hosts <= set(SERVICES[generation]), name


@of_each_generation
def test_variables_of_a_file_are_in_the_environment_of_its_service(generation: int) -> None:
    for service in SERVICES[generation].values():
        for volume in service.get("volumes", []):
            if volume.startswith(".") and volume.split(":")[0].endswith(".toml"):
                used = set(re.findall(r"\$(\w+)", (DOCKER / volume.split(":")[0]).read_text()))
                assert used <= set(service.get("environment", {}))


def test_every_file_is_mounted_by_a_compose_file() -> None:
    mounted = {(DOCKER / name).resolve() for generation in FILES for name in configuration(generation)}
    assert {path.resolve() for path in DOCKER.rglob("*.toml")} <= mounted
