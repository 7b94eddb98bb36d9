"""Where settings come from in these tests: a file of the test's own, and nothing of this machine."""

from pathlib import Path

import pytest

import fuota.config.file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fuota server.toml"


@pytest.fixture(autouse=True)
def _nothing_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of this machine is found, and the data directory is known."""
    monkeypatch.setattr(fuota.config.file, "SEARCHED", (tmp_path / "first", tmp_path / "second"))
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
