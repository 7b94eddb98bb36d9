"""Exits with 0 when the server of this container answers, and says what.

Also with 503: an outage of ChirpStack, or another server that owns the deployments, is no reason to
replace it.
"""

import sys
from http.client import HTTPConnection, HTTPException

from fuota.config.file import load

EVERY_INTERFACE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def main() -> None:
    bind = load().debug.bind
    connection = HTTPConnection(EVERY_INTERFACE.get(bind.host, bind.host), bind.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        body = answer.read(4096).decode(errors="replace")
    except (OSError, HTTPException) as error:
        sys.exit(f"no answer at {bind}: {error}")
    said = f"{answer.status}: {body}"
    if answer.status not in (200, 503):
        sys.exit(said)
    print(said)


if __name__ == "__main__":
    main()
