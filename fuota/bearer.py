"""Who may speak to an HTTP endpoint that has a token."""

from hmac import compare_digest


def allowed(authorization: str | None, token: str) -> bool:
    """Whether this header's value is `Bearer` and the token, compared in constant time.

    No token: everybody may. Header values are Latin-1 as WSGI and ASGI applications see them, and are
    compared by the octets they came as: NBSP and NEL are white space, but may be the end of an à or Å.
    """
    if not token:
        return True
    scheme, _, credentials = (authorization or "").partition(" ")
    return same(credentials.strip(" \t").encode("latin-1", "replace"), token) and scheme.lower() == "bearer"


def same(credentials: bytes, token: str) -> bool:
    """Whether the credentials are the token, in constant time."""
    return compare_digest(credentials, token.encode())
