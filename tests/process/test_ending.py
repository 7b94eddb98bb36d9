"""How the process ends, whatever its event loop does."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest

SERVER = """
import os, signal, trio
from fuota import ending, log, server
from fuota.config.settings import General

async def signals():
    yield signal.SIGTERM
    await trio.sleep_forever()

async def main():
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as serving:
            nursery.start_soon(server._obey, signals(), serving)
            try:
                await trio.sleep_forever()
            finally:
                print("told to stop", flush=True)
                while BUSY: pass
        nursery.cancel_scope.cancel()

log.set_up(General())
ending.AT_MOST = 0.1
trio.run(main)
print("over")
"""


def run(program: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=False, text=True, timeout=60, stdout=subprocess.PIPE, stderr=stderr)


def test_a_server_that_is_too_busy_to_stop_is_cut_off() -> None:
    ended = run(SERVER.replace("BUSY", "True"))
    assert (ended.returncode, ended.stdout) == (0, "told to stop\n")
    assert "stopping is cut off [fuota.ending] after=0.1" in ended.stderr


def test_one_that_has_stopped_is_not_cut_off() -> None:
    ended = run(SERVER.replace("BUSY", "False"))
    assert (ended.returncode, ended.stdout) == (0, "told to stop\nover\n")
    assert "cut off" not in ended.stderr


NO_MORE = """
import threading

def no_more(*arguments, **named):
    raise RuntimeError("can't start new thread")

"""
REFUSING = "threading._start_new_thread = threading._start_joinable_thread = no_more"
"""By the names of Python 3.11 and 3.13."""


def test_one_that_can_have_no_more_threads_stops() -> None:
    """As where a limit to a user's processes (ulimit -u) is reached."""
    ended = run(NO_MORE + SERVER.replace("BUSY", "False").replace("trio.run", f"{REFUSING}; trio.run"))
    assert (ended.returncode, ended.stdout) == (0, "told to stop\nover\n")
    assert "Traceback" not in ended.stderr


def test_one_that_can_say_no_more_is_cut_off() -> None:
    ended = run(NO_MORE + SERVER.replace("while BUSY: pass", f"{REFUSING}\n                while True: pass"))
    assert (ended.returncode, ended.stdout) == (0, "told to stop\n")


def test_one_whose_log_nobody_reads_is_cut_off() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    try:
        ended = run(SERVER.replace("BUSY", "False"), stderr=writing)
    finally:
        os.close(reading)
        os.close(writing)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize("code", [0, 1])
def test_what_the_process_holds_is_not_freed_at_its_end(code: int) -> None:
    ended = run(
        "import weakref; from fuota import ending\n"
        "class Held: pass\n"
        "held = Held(); weakref.finalize(held, print, 'freed')\n"
        f"print('stopped', flush=True); ending.leave({code})"
    )
    assert (ended.returncode, ended.stdout) == (code, "stopped\n")
