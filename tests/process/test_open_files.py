"""A process is allowed few open files by default, and a connection is one."""

import subprocess
import sys

import pytest

LOOK = """
import resource
from fuota.server import FILES, allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_files()
print(*(each if each < FILES else "FILES" for each in resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [(256, 1000, "1000 1000"), (256, 10_000, "FILES FILES"), (9_000, 10_000, "FILES FILES")],
)
def test_the_server_allows_itself_what_it_needs(soft: int, hard: int, allowed: str) -> None:
    command = [sys.executable, "-c", LOOK.format(soft=soft, hard=hard)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == allowed
