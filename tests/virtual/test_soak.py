"""A short soak; `./dev soak` is the long one."""

import pytest

from tests.soak.__main__ import soak


@pytest.mark.parametrize("seed", range(1, 9))
def test_whatever_happens_every_deployment_ends(seed: int) -> None:
    score = soak(seed, deployments=3, devices=5)
    assert score.deployments


def test_the_seed_decides_everything() -> None:
    """So that a failure can be looked at."""
    assert len({soak(17, deployments=4, devices=8).fingerprint for _ in range(2)}) == 1
    assert soak(18, deployments=4, devices=8).fingerprint != soak(17, deployments=4, devices=8).fingerprint
