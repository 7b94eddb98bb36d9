"""The command `fuota`, which is also `python -m fuota`."""

import os
import signal
import sys


def main() -> None:
    """Run it. Signals are seen to before anything else is imported, for that takes a second or two."""
    _open_what_is_closed()
    for command, end in (("serve", _end_server), ("demo", _end_demo)):
        if sys.argv[1:2] == [command]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, end)
    from fuota.cli import main as run

    try:
        run(prog_name="fuota")
    except OSError as error:  # what is printed can not be written
        bare = error.filename is None and error.strerror
        print(f"fuota: {bare or error}", file=sys.stderr)
        os._exit(1)  # or Python tries once more, and tells it once more


def _open_what_is_closed() -> None:
    """A standard stream that is closed leads nowhere: else the next file or socket would take its place."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # becomes the first that is closed, which is this one
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r"))


def _end_server(number: int, frame: object) -> None:
    """There is nothing to stop yet: the server has its own receiver of signals before it starts anything.

    SystemExit might be caught by what is being imported.
    """
    os._exit(0)


def _end_demo(number: int, frame: object) -> None:
    """The same, but it has not shown what it was to show."""
    os.write(2, b"fuota: stopped by %s\n" % signal.Signals(number).name.encode())
    os._exit(128 + number)


if __name__ == "__main__":
    main()
