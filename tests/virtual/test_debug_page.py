"""The page of the actors: what is open is in its address, and it needs nothing from elsewhere."""

from fuota.debug.page import SHOWN
from tests.virtual.debugged import ONE, opened


async def test_what_is_open_is_in_the_address(autojump_clock: object) -> None:
    async with opened(2, 1) as debug:
        page = await debug.page()
        assert list(page.rows) == ["/", "/deployments", ONE, "/deployments/deployment-1"]
        page = await debug.page(page.links[ONE])
        assert f"{ONE}/device-1" in page.rows
        page = await debug.page(page.links[f"{ONE}/device-1"])
        assert '"attempt": 2' in page.rows[f"{ONE}/device-1"]
        closed = await debug.page(page.links["/"])
        assert list(closed.rows) == ["/"]
        assert (await debug.page(closed.links["/"])).rows.keys() == page.rows.keys()


async def test_all_closed_stays_closed(autojump_clock: object) -> None:
    async with opened(1) as debug:
        assert list((await debug.page("/?open=")).rows) == ["/"]


async def test_more_can_be_shown(autojump_clock: object) -> None:
    async with opened(SHOWN + 10) as debug:
        page = await debug.page(f"/?open=/&open=/deployments&open={ONE}")
        assert page.rows[f"{ONE} …"] == "and 10 more: 10 idle"
        page = await debug.page(page.links[f"{ONE} …"])
        assert f"{ONE} …" not in page.rows
        assert len(page.rows) == 3 + SHOWN + 10


async def test_the_page_loads_nothing_from_elsewhere(autojump_clock: object) -> None:
    async with opened() as debug:
        response = await debug.client.get("/")
        assert response.headers["Content-Security-Policy"].startswith(
            "default-src 'none'; connect-src 'self';"
        )
        assert "http" not in await response.get_data(as_text=True)
