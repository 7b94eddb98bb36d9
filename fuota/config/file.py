"""Reads the settings from a TOML file and the environment, and writes such a file.

    [application_server.api]        APPLICATION_SERVER__API__TOKEN=xyz
    token = "xyz"

An environment variable wins over the file, which wins over the default; an empty variable counts as not set.
"""

import difflib
import json
import os
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import attrs

from fuota.config.mistake import ConfigError, Given
from fuota.config.settings import Settings
from fuota.config.value import MasterKey

NAME = "chirpstack-fuota-server"
HEAD = (
    f"{NAME}.toml: the configuration of the FUOTA server.",
    "The environment variable named with a key wins over the file, unless it is empty.",
)
TABLES: Mapping[int, str] = {3: "application_server", 4: "chirpstack"}
"""Of which one counts."""
DEEP = "no key has anything that is nested so deep"
SEARCHED = (Path(), Path("~/.config", NAME), Path("/etc", NAME))


Keys = dict[str, "attrs.Attribute[Any]"]
"""The keys by their dotted names, as in "postgresql.dsn"."""


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the file (without one: of the first found in `SEARCHED`) and the environment.

    Raises ConfigError.
    """
    keys = dict(_keys(Settings))
    path = path or _found()
    given = {**(_of_file(path, keys) if path else {}), **_of_environment(environ, keys)}
    settings: Settings = _build(Settings, "", given)
    _check_tls(settings, given)
    return attrs.evolve(settings, generation=_generation(given))


def _generation(given: Mapping[str, Given]) -> Literal[3, 4]:
    """Of ChirpStack, by the table that is there, if only its heading is."""
    three, four = (
        next((each for name, each in given.items() if name.partition(".")[0] == table), None)
        for table in TABLES.values()
    )
    if three and four:
        why = f"[application_server] is for ChirpStack 3 and [chirpstack] for 4, and {three.place} has "
        raise ConfigError(f"{four.place}: {four.name}: {why}{three.name}: use one of them")
    return 4 if four else 3


def dump(settings: Settings) -> str:
    """A commented TOML file that loads to the same settings, secrets included."""
    return "\n".join(["# " + line for line in HEAD] + list(_lines(settings, ()))) + "\n"


def _keys(section: type, prefix: str = "") -> Iterator[tuple[str, "attrs.Attribute[Any]"]]:
    for attribute in attrs.fields(section):
        name = f"{prefix}{attribute.name}"
        if "chosen" in attribute.metadata:
            continue
        if "read" in attribute.metadata:
            yield name, attribute
        else:
            yield from _keys(attribute.type, f"{name}.")


def _found() -> Path | None:
    for folder in SEARCHED:
        with suppress(RuntimeError):  # there is no home directory
            if (path := folder.expanduser() / f"{NAME}.toml").exists():
                return path
    return None


def _of_file(path: Path, keys: Keys) -> dict[str, Given]:
    """The keys, and the tables."""
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))  # Windows may put a mark before it
    except OSError as error:
        raise ConfigError(f"{path}: can not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8, but octet {error.start} is not") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: must be TOML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: {DEEP}") from None
    except ValueError:  # Python does not read more than some 4000 digits
        raise ConfigError(f"{path}: has a number that is too long") from None
    tables = {name[:dot] for name in keys for dot, letter in enumerate(name) if letter == "."}
    given = {}

    def walk(table: dict[str, object], prefix: str) -> None:
        for written, value in table.items():
            name = f"{prefix}{written.lower()}"  # as the reference server: upper and lower case are the same
            entry = Given(str(path), name, value)
            if name in given:
                raise entry.misplaced("is there twice, for upper and lower case are the same")
            if name in keys:
                given[name] = entry
            elif name not in tables:
                raise _unknown(entry, keys)
            elif isinstance(value, dict):
                walk(value, f"{name}.")
                given[name] = Given(str(path), f"[{name}]", value)  # behind what it has
            else:
                raise entry.misplaced(f"must be a table: [{name}]")

    walk(content, "")
    return given


def _of_environment(environ: Mapping[str, str], keys: Keys) -> dict[str, Given]:
    variables = {name.upper().replace(".", "__"): name for name in keys}
    ours = tuple({f"{variable.partition('__')[0]}__" for variable in variables})
    given = {}
    for variable, value in environ.items():
        if not value or not variable.startswith(ours):
            continue
        entry = Given("environment", variable, value)
        if variable not in variables:
            raise _unknown(entry, variables)
        given[variables[variable]] = entry
    return given


def _unknown(entry: Given, names: Iterable[str]) -> ConfigError:
    """`names` are those that would be right."""
    if isinstance(entry.value, dict):
        return ConfigError(f"{entry.place}: [{entry.name}]: there is no such table")
    near = next(iter(difflib.get_close_matches(entry.name, names, 1)), None)
    return entry.misplaced("there is no such key" + (f"; did you mean {near}?" if near else ""))


def _build(section: type, prefix: str, given: Mapping[str, Given]) -> Any:
    values = {}
    for attribute in attrs.fields(section):
        name = f"{prefix}{attribute.name}"
        if "chosen" in attribute.metadata:
            continue
        if "read" not in attribute.metadata:
            values[attribute.name] = _build(attribute.type, f"{name}.", given)
        elif name in given:
            try:
                values[attribute.name] = attribute.metadata["read"](given[name].value)
            except ValueError as error:
                raise given[name].wrong(str(error), secret=not attribute.repr) from error
    try:
        return section(**values)
    except ValueError as error:  # of a default
        raise ConfigError(str(error)) from error


def _check_tls(settings: Settings, given: Mapping[str, Given]) -> None:
    """TLS that is half set up, or whose files are not there, must not become a server without TLS."""
    api = settings.fuota_server.api
    needs = {"tls_cert": "tls_key", "tls_key": "tls_cert", "ca_cert": "tls_cert"}
    for name, needed in needs.items():
        path: Path | None = getattr(api, name)
        if path is None:
            continue
        entry = given[f"fuota_server.api.{name}"]
        if getattr(api, needed) is None:
            raise entry.wrong(f"fuota_server.api.{needed} must be set too", secret=False)
        try:
            path.open("rb").close()
        except OSError as error:
            raise entry.wrong(f"must be a file that can be read: {error.strerror}", secret=False) from error


def _lines(section: attrs.AttrsInstance, path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield from ["", "", *_comment(type(section).__doc__ or ""), f"[{'.'.join(path)}]"]
    # keys before tables: what stands behind a table's heading belongs to that table
    for attribute in sorted(attrs.fields(type(section)), key=lambda each: "read" not in each.metadata):
        value = getattr(section, attribute.name)
        unused = isinstance(section, Settings) and attribute.name == TABLES[7 - section.generation]
        if unused or "chosen" in attribute.metadata:
            continue
        if "read" not in attribute.metadata:
            yield from _lines(value, (*path, attribute.name))
            continue
        yield from ["", *_comment(attribute.metadata["doc"])]
        yield f"# Environment: {'__'.join((*path, attribute.name)).upper()}"
        yield f"{attribute.name} = {_toml(_shown(attribute, value))}"


def _shown(attribute: "attrs.Attribute[Any]", value: object) -> object:
    """A path that hangs on who asks is left to whoever reads the file."""
    factory = getattr(attribute.default, "factory", None)
    with suppress(ValueError):  # there is no home directory
        if factory is not None and value == factory():
            return None
    return value


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def _toml(value: object) -> str:
    match value:
        case bool() | int():
            return json.dumps(value)
        case MasterKey():
            return json.dumps(value.line)
        case None:
            return '""'
        case _:  # JSON's strings are TOML's, but for DEL
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
