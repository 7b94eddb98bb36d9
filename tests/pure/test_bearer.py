"""Who has the token, and who has not."""

import pytest

from fuota.bearer import allowed


def seen(header: str) -> str:
    """A header's value as WSGI and ASGI applications see it."""
    return header.encode().decode("latin-1")


@pytest.mark.parametrize("token", ["secret", "se cret", "für", "voilà", "Å", "à\N{NO-BREAK SPACE}"])
def test_who_has_the_token_is_allowed(token: str) -> None:
    for header in (f"Bearer {token}", f"bearer  {token} ", f"Bearer \t{token}\t"):
        assert allowed(seen(header), token)
    assert not allowed(None, token)
    for header in ("", "Bearer", f"Basic {token}", token, f"Bearer {token}x", f"Bearer {token[:-1]}"):
        assert not allowed(seen(header), token)


def test_without_a_token_everybody_is() -> None:
    assert allowed(None, "")
