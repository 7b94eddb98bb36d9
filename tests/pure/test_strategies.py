"""Who begins anew with whom, as values."""

import pytest

from fuota.actor import Policy, one_for_all, one_for_one, rest_for_one

CHILDREN = ("a", "b", "c", "d")


@pytest.mark.parametrize("failed", CHILDREN)
def test_one_for_one_begins_only_the_failed_one_anew(failed: str) -> None:
    assert one_for_one(CHILDREN, failed) == (failed,)


@pytest.mark.parametrize("failed", CHILDREN)
def test_one_for_all_begins_all_anew(failed: str) -> None:
    assert one_for_all(CHILDREN, failed) == CHILDREN


def test_rest_for_one_begins_those_behind_it_anew() -> None:
    assert rest_for_one(CHILDREN, "a") == ("a", "b", "c", "d")
    assert rest_for_one(CHILDREN, "c") == ("c", "d")
    assert rest_for_one(CHILDREN, "d") == ("d",)


@pytest.mark.parametrize(
    ("policy", "after_a_crash", "after_an_end"),
    [(Policy.PERMANENT, True, True), (Policy.TRANSIENT, True, False), (Policy.TEMPORARY, False, False)],
)
def test_a_policy_says_when_an_actor_begins_anew(
    policy: Policy, after_a_crash: bool, after_an_end: bool
) -> None:
    assert policy.begins_anew(crashed=True) is after_a_crash
    assert policy.begins_anew(crashed=False) is after_an_end
