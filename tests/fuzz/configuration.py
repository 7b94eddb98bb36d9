"""Configuration files and environments: settings, or one line that says what is wrong."""

import tempfile
from pathlib import Path
from random import Random

from fuota.config import Settings
from fuota.configfile import ConfigError, dump, load
from tests.fuzz.mutate import mutated

KEYS = (
    "POSTGRESQL__DSN",
    "DEBUG__BIND",
    "GENERAL__LOG_LEVEL",
    "SECRETS__MASTER_KEY",
    "FUOTA_SERVER__API__CA_CERT",
)


def fuzz(random: Random, inputs: int) -> None:
    samples = [
        dump(Settings()).encode(),
        b"[general]\nlog_level = 4\n[debug]\nbind = '[::1]:1'\ntoken = 'a'\n",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuota.toml")
        for number in range(inputs):
            octets = mutated(random, samples, most=2)
            path.write_bytes(octets)
            name = random.choice(KEYS)
            text = mutated(random, [b"127.0.0.1:80", b"a5" * 32, b"4", b"true"]).decode("latin-1")
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
