"""Where a token is set, nothing but the health is shown without it."""

import pytest

from tests.virtual.debugged import opened

PROTECTED = ["/", "/debug/actors", "/metrics", "/nothing"]


@pytest.mark.parametrize("path", PROTECTED)
async def test_without_the_token_nothing_is_shown(autojump_clock: object, path: str) -> None:
    async with opened(token="secret") as debug:
        await debug.get(path, 401)
        await debug.get(f"{path}?token=other", 401)
        await debug.get(path, 401, Authorization="Bearer other")
        await debug.get(path, 401, Cookie="fuota-debug=secret")
        await debug.get(path, 404 if path == "/nothing" else 200, Authorization="Bearer secret")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_whoever_watches_over_the_process_needs_no_token(autojump_clock: object, path: str) -> None:
    async with opened(token="secret") as debug:
        await debug.get(path)


async def test_the_token_in_the_address_is_needed_once(autojump_clock: object) -> None:
    async with opened(token="secret") as debug:
        response = await debug.client.get("/?open=/&token=secret&show=9")
        assert (response.status_code, response.headers["Location"]) == (302, "/?open=/&show=9")
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie  # or a link to it from another site would end in 401
        assert "secret" not in cookie
        assert "deployments" in await debug.get("/")  # the client keeps cookies
