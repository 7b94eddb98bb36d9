"""A short soak; `./dev soak` is the long one."""

import os
import subprocess
import sys

import pytest

from tests.soak.__main__ import soak

PRINTED = "from tests.soak.__main__ import soak; print(soak(138, deployments=3, devices=10).fingerprint)"
"""One in which groups are made again, with their members."""


@pytest.mark.parametrize("seed", range(1, 9))
def test_whatever_happens_every_deployment_ends(seed: int) -> None:
    score = soak(seed, deployments=3, devices=5)
    assert score.deployments


def test_the_seed_decides_everything() -> None:
    """So that a failure can be looked at."""
    assert len({soak(17, deployments=4, devices=8).fingerprint for _ in range(2)}) == 1
    assert soak(18, deployments=4, devices=8).fingerprint != soak(17, deployments=4, devices=8).fingerprint


def test_the_order_of_sets_which_each_process_has_for_itself_decides_nothing() -> None:
    """So that a seed fails again in the next process."""
    printed = [
        subprocess.check_output([sys.executable, "-c", PRINTED], env={**os.environ, "PYTHONHASHSEED": hashes})
        for hashes in ("1", "2")
    ]
    assert printed[0] == printed[1] != b""
