"""How long a call is made again, and after what it is not."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio
from trio.testing import MockClock

from fuota.network.port import GroupGone, NetworkError, Refused, TokenRefused, Trouble, Unreachable
from fuota.network.retry import TROUBLED, TROUBLES, Caller, persistently

AWAY = Unreachable("UNAVAILABLE", "connection refused")


def trouble(*, alone: bool) -> Trouble:
    error = Trouble("INTERNAL", "pq: deadlock detected")
    error.alone = alone
    return error


def refused(*, own: bool) -> TokenRefused:
    error = TokenRefused("UNAUTHENTICATED", "not authorized")
    error.alone, error.own = False, own
    return error


def failing(errors: Iterator[NetworkError]) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        for error in errors:
            raise error
        return "done"

    return call


def for_long(error: NetworkError, seconds: float) -> Iterator[NetworkError]:
    began = trio.current_time()
    while trio.current_time() < began + seconds:
        yield error


async def told(call: Callable[[], Awaitable[str]]) -> list[NetworkError]:
    """What the caller was told of until `call` was answered."""
    heard: list[NetworkError] = []
    assert await persistently(call, trouble=heard.append) == "done"
    return heard


async def test_an_outage_is_waited_for(autojump_clock: MockClock) -> None:
    heard = await told(failing(for_long(AWAY, 10 * TROUBLED)))
    assert set(heard) == {AWAY}


async def test_trouble_is_said_for_as_long_as_it_lasts(autojump_clock: MockClock) -> None:
    caller = Caller()
    with trio.move_on_after(10):
        await caller.persistently(failing(for_long(AWAY, 60)))
    assert caller.trouble == "UNAVAILABLE: connection refused"
    await caller.persistently(failing(for_long(AWAY, 60)))
    assert not caller.trouble


async def test_trouble_of_its_own_is_an_answer_after_ten_times(autojump_clock: MockClock) -> None:
    with pytest.raises(Refused, match="deadlock"):
        await told(failing(iter([trouble(alone=True)] * TROUBLES)))
    assert len(await told(failing(iter([trouble(alone=True)] * (TROUBLES - 1))))) == TROUBLES - 1


async def test_trouble_of_all_is_waited_for_but_not_for_ever(autojump_clock: MockClock) -> None:
    await told(failing(for_long(trouble(alone=False), TROUBLED - 10)))
    with pytest.raises(Refused):
        await told(failing(for_long(trouble(alone=False), TROUBLED + 10)))


async def test_a_network_that_comes_back_from_an_outage_may_stumble(autojump_clock: MockClock) -> None:
    """Patience with trouble counts from the first of it, and not from when the call was first made."""

    def outage() -> Iterator[NetworkError]:
        yield trouble(alone=False)
        yield from for_long(AWAY, 2 * TROUBLED)
        yield trouble(alone=False)
        yield from for_long(refused(own=False), 2 * TROUBLED)
        yield trouble(alone=False)

    await told(failing(outage()))


async def test_a_refused_token_is_waited_for_but_not_a_device_that_is_not_the_tokens(
    autojump_clock: MockClock,
) -> None:
    await told(failing(for_long(refused(own=False), 100 * TROUBLED)))
    with pytest.raises(Refused, match="UNAUTHENTICATED"):
        await told(failing(for_long(refused(own=True), TROUBLED + 10)))


async def test_a_group_that_is_gone_is_not_waited_for(autojump_clock: MockClock) -> None:
    with pytest.raises(GroupGone):
        await told(failing(iter([GroupGone("NOT_FOUND", "")])))
    assert trio.current_time() == 0
