"""Forward error correction: ours against plain C compiled with `cc -O2`, and what it does to the event loop.

Run as `python bench/fec.py`; it needs a C compiler, and takes a minute. Not counted: the first states of all
generators, which ours tabulates once in a process (about 6 ms, 8 MB).
"""

import ctypes
import random
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

import trio
from rich.console import Console
from rich.table import Table

from fuota.lorawan.parity import encode

SIZES = [(100, 50, 20), (1000, 200, 200), (16383, 200, 1638)]  # fragments, octets each, coded fragments
ROUNDS = 9  # at least, and as many as SECONDS hold
SECONDS = 4.0
ROUND_SECONDS = 0.02  # small sizes are repeated within a round until it takes about so long


def compile_c(folder: Path) -> ctypes.CDLL:
    library = folder / "fec.so"
    source = Path(__file__).with_name("fec.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


def seconds(run: Callable[[int], object], times: int) -> float:
    """For one run, out of so many."""
    start = perf_counter()
    run(times)
    return (perf_counter() - start) / times


def compare(c: ctypes.CDLL, block: bytes, size: int, coded: int, version: int) -> tuple[float, float]:
    """The least seconds of C and of ours, run in turns; they must give the same octets.

    The least: whatever else the machine does makes a round slower, and never quicker.
    """
    out = ctypes.create_string_buffer(coded * size)

    def theirs(times: int) -> None:
        c.repeat(times, block, len(block) // size, size, coded, version, out)

    def ours(times: int) -> None:
        for _ in range(times):
            encode(block, size, coded, version=version)

    theirs(1)
    if encode(block, size, coded, version=version).tobytes() != out.raw:
        raise SystemExit("C and ours differ")
    times = max(1, round(ROUND_SECONDS / seconds(theirs, 1)))
    rounds: list[tuple[float, float]] = []
    until = perf_counter() + SECONDS
    while len(rounds) < ROUNDS or perf_counter() < until:
        rounds.append((seconds(theirs, times), seconds(ours, times)))
    theirs_least, ours_least = map(min, zip(*rounds, strict=True))
    return theirs_least, ours_least


async def worst_stall(work: Callable[[], object]) -> float:
    """The most seconds by which a task that sleeps 1 ms was late while `work` ran in a worker thread."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            due = trio.current_time() + 0.001
            await trio.sleep_until(due)
            worst = max(worst, trio.current_time() - due)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await trio.to_thread.run_sync(work)
        nursery.cancel_scope.cancel()
    return worst


def main() -> None:
    blocks = {(m, size): random.Random(m).randbytes(m * size) for m, size, _ in SIZES}
    speed = Table("fragments x octets + coded", "TS004", "C, ms", "ours, ms", "ours / C")
    with tempfile.TemporaryDirectory() as folder:
        c = compile_c(Path(folder))
        for version in 1, 2:
            for m, size, coded in SIZES:
                theirs, ours = compare(c, blocks[m, size], size, coded, version)
                row = f"{theirs * 1e3:.3f}", f"{ours * 1e3:.3f}", f"{ours / theirs:.2f}"
                speed.add_row(f"{m}x{size}+{coded}", f"{version}.0.0", *row)
    m, size, coded = SIZES[-1]
    works: dict[str, Callable[[], object]] = {
        "nothing": partial(sleep, 0.2),
        "1.0.0": partial(encode, blocks[m, size], size, coded, version=1),
        "2.0.0": partial(encode, blocks[m, size], size, coded, version=2),
    }
    lateness = Table(f"{m}x{size}+{coded} in a thread", "event loop late, ms: median", "worst")
    for name, work in works.items():
        stalls = [trio.run(worst_stall, work) for _ in range(ROUNDS)]
        lateness.add_row(name, f"{statistics.median(stalls) * 1e3:.1f}", f"{max(stalls) * 1e3:.1f}")
    console = Console()
    console.print(speed, lateness)


if __name__ == "__main__":
    main()
