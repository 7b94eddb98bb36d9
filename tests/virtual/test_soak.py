"""A short soak; `just soak` is the long one."""

import pytest

from tests.soak.__main__ import soak


@pytest.mark.parametrize("seed", range(1, 9))
def test_whatever_happens_every_deployment_ends(seed: int) -> None:
    score = soak(seed, deployments=3, devices=5)
    assert score.deployments
