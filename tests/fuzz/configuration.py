"""Configuration files and environments: settings, or one line that says what is wrong."""

import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from fuota.config.file import dump, load
from fuota.config.mistake import ConfigError
from fuota.config.settings import Settings
from tests.fuzz.mutate import mutated

ODD = (rb"a\u0000", b"~nobody/x", b"a..b:1", b"[::1%eth0]:1", b"a" * 70 + b":1", rb"\U0010FFFF:0", b"")
"""Texts that mean something to somebody further on."""


def _names(table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from (f"{key}__{name}" for name in _names(value))
        else:
            yield key


KEYS = [name.upper() for name in _names(tomllib.loads(dump(Settings())))]
"""The environment variables that there are."""


def fuzz(random: Random, inputs: int) -> None:
    samples = [
        dump(Settings()).encode(),
        b"[general]\nlog_level = 4\n[debug]\nbind = '[::1]:1'\ntoken = 'a'\n",
        *(b'[debug]\nbind = "%s"\n[postgresql]\ndata_dir = "%s"\n' % (odd, odd) for odd in ODD),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuota.toml")
        for number in range(inputs):
            octets = mutated(random, samples, most=2)
            path.write_bytes(octets)
            name = random.choice(KEYS)
            text = mutated(random, [b"127.0.0.1:80", b"a5" * 32, b"4", b"true", *ODD]).decode(
                "utf-8", "surrogateescape"
            )
            environ = {name: text} if random.random() < 0.5 else {}
            try:
                _load(path, environ)
            except Exception as error:
                error.add_note(f"configuration, input {number}: {octets!r} {environ}")
                raise


def _load(path: Path, environ: dict[str, str]) -> None:
    try:
        settings = load(path, environ)
    except ConfigError as error:
        assert "\n" not in str(error), "one line"
        assert len(str(error)) < 4000
    else:
        path.write_text(dump(settings))
        assert load(path, {}) == settings, "what is written is what was read"
