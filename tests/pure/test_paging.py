"""Page tokens: those of this server bring a client back, all others are refused."""

import base64
import json
from uuid import UUID

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hypothesis import given
from hypothesis import strategies as st

from fuota.api import paging
from fuota.api.service import read_place
from fuota.lorawan.eui import EUI64

OF = ("a deployment", [1, 2])
PLACE = "70b3d57ed0000001"


def refused(token: str) -> str:
    with pytest.raises(GRPCError) as raised:
        paging.place(token, OF, EUI64.parse)
    assert raised.value.status is Status.INVALID_ARGUMENT
    assert raised.value.message is not None
    return raised.value.message


def test_there_and_back() -> None:
    assert paging.place(paging.token(PLACE, OF), OF, EUI64.parse) == EUI64.parse(PLACE)
    assert paging.place("", OF, EUI64.parse) is None


def test_a_token_of_another_list() -> None:
    assert refused(paging.token(PLACE, "another")) == (
        "page_token belongs to another query: repeat the same filter"
    )


def test_a_place_that_is_none() -> None:
    assert refused(paging.token("70b3", OF)) == "page_token was not issued by this server"


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_anything_else(text: str) -> None:
    for token in (text, base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode()):
        if token:
            assert refused(token) == "page_token was not issued by this server"


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-"])
def test_a_time_that_is_none(at: str) -> None:
    with pytest.raises(GRPCError) as raised:
        paging.place(paging.token(f"{at} {UUID(int=0)}", OF), OF, read_place)
    assert raised.value.status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1000, 1000), (2**32 - 1, 1000)])
def test_sizes(asked: int, size: int) -> None:
    assert paging.size(asked) == size


@pytest.mark.parametrize(("found", "page"), [("", ("", False)), ("ab", ("ab", False)), ("abc", ("ab", True))])
def test_a_page_ends_before_the_entry_that_is_one_too_many(found: str, page: tuple[str, bool]) -> None:
    assert paging.page(found, 2) == page
