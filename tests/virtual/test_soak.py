"""A short soak; `just soak` is the long one."""

import pytest

from tests.soak import crashes


@pytest.mark.parametrize("seed", range(1, 6))
def test_whatever_happens_every_deployment_ends(seed: int) -> None:
    assert not crashes(seed, deployments=3, devices=5)
