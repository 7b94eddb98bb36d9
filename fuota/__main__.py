"""The command `fuota`, which is also `python -m fuota`."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run it. Signals are seen to before anything is imported, for that takes a second or two."""
    if sys.argv[1:2] == ["serve"]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
    from fuota.cli import main as command

    command(prog_name="fuota")


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """There is nothing to stop yet: the server has its own receiver of signals before it starts anything.

    SystemExit might be caught by what is being imported.
    """
    os._exit(0)


if __name__ == "__main__":
    main()
