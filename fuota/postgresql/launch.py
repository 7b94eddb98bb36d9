"""Becomes the given command, after giving up root and asking to be stopped when the parent dies.

    python -I -S launch.py PARENT_PID UID GID COMMAND ARGUMENT…

A process of its own, because between fork and exec a program with threads can do next to nothing safely.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, uid, gid = (int(argument) for argument in sys.argv[1:4])
    command = sys.argv[4:]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    if sys.platform == "linux":
        # Last, because a change of user clears it. SIGINT is PostgreSQL's fast and clean shutdown.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit("the parent was gone before the start")
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"user {os.geteuid()} can not run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
