"""What can be known of the container files without building them: they agree with each other and with us."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from fuota.config import Settings
from fuota.configfile import load

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
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


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_an_image_or_can_be_built(name: str) -> None:
    service = SERVICES[name]
    assert ("image" in service) != ("build" in service)
    if build := service.get("build"):
        assert (DOCKER / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_and_mounts_what_there_is(name: str) -> None:
    service = SERVICES[name]
    for other, waiting in service.get("depends_on", {}).items():
        healthy = "healthcheck" in SERVICES[other]
        assert waiting["condition"] == ("service_healthy" if healthy else "service_started")
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            assert (DOCKER / source).is_file()
            assert Path(target).is_absolute()
        else:
            assert source in COMPOSE["volumes"]


def test_ports_are_published_to_the_same_number() -> None:
    published = {
        name: [port.removesuffix("/udp").split(":") for port in service.get("ports", ())]
        for name, service in SERVICES.items()
    }
    assert all(outside == inside for ports in published.values() for _, outside, inside in ports)
    # Events come from a container, by the network of the compose file.
    events = Settings().application_server.event_handler.http.bind.port
    assert {int(inside) for _, _, inside in published["fuota"]} == PORTS - {events}


def test_the_environment_of_our_server_is_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
        for name, value in SERVICES["fuota"]["environment"].items()
    }
    settings = load(environ=environment)
    assert settings.application_server.api.server.host in SERVICES
    assert settings.debug.bind.port == Settings().debug.bind.port


def test_every_database_that_is_used_is_made() -> None:
    made = (DOCKER / "databases.sql").read_text()
    files = "".join(path.read_text() for path in DOCKER.iterdir() if path.suffix in (".toml", ".yml"))
    used = re.findall(r"postgres://(\w+):(\w+)@(\w+)/(\w+)\?", files)
    assert len(used) == 3
    for user, password, host, database in used:
        assert f"CREATE ROLE {user} LOGIN PASSWORD '{password}';" in made
        assert f"CREATE DATABASE {database} OWNER {user};" in made
        assert host in SERVICES


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*.toml")), ids=lambda path: path.name)
def test_servers_that_are_named_are_services(path: Path) -> None:
    content = path.read_text()
    tomllib.loads(content)
    hosts = set(re.findall(r"(?:tcp|redis|http)://([\w-]+):", content))
    assert hosts
    assert hosts <= set(SERVICES)
