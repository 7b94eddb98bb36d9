"""A process is allowed few open files by default, and a connection is one."""

import subprocess
import sys

import pytest

from fuota.server import FILES

LOOK = """
import resource
from fuota.places import room
from fuota.server import FILES, allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_files()
print(*(each if each < FILES else "FILES" for each in resource.getrlimit(resource.RLIMIT_NOFILE)), room())
"""


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [
        (256, 1000, "1000 1000 300"),
        (24, 24, "24 24 4"),
        (256, 10_000, "FILES FILES 500"),
        (9_000, 10_000, "FILES FILES 500"),
    ],
)
def test_the_server_allows_itself_what_it_needs_and_has_no_more_places_than_that(
    soft: int, hard: int, allowed: str
) -> None:
    command = [sys.executable, "-c", LOOK.format(soft=soft, hard=hard)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    *warned, last = run.stdout.splitlines()
    assert last == allowed
    assert len(warned) == (hard < 1600)
    assert all(f"limit={hard}" in line and f"enough={FILES}" in line for line in warned)
