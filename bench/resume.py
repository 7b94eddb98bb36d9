"""Going on after a restart: seconds until 10 000 devices are at work again, and the longest stall.

    python bench/resume.py [--quick]

A deployment is brought to where each of its devices waits for the answer to McGroupSetupReq, in PostgreSQL;
then the server's actors are ended, and another process begins them anew. Timed there is from the opening
of the journal, migrations and all, until every device has its actor, its place in the registry and its alarm.
The database runs all the while. With --quick there are 1000 devices.
"""

import sys
import tempfile
from pathlib import Path
from time import perf_counter

import trio

from bench import kit
from bench.ordering import dev_euis, order
from fuota.postgresql import open_postgresql


async def resume(dsn: str, devices: int) -> None:
    """Runs in a process of its own; prints the seconds, and the longest stall in ms."""
    kit.prepare()
    begin = perf_counter()
    async with (
        kit.watched() as watch,
        kit.journal(dsn) as journal,
        kit.serving(journal, kit.Accepting()) as server,
    ):
        await kit.until(lambda: server.services.alarms.pending == devices)
        seconds, stall = perf_counter() - begin, watch.stall
    print(seconds, 1000 * stall)


async def main(devices: int) -> None:
    kit.prepare()
    with tempfile.TemporaryDirectory() as folder:
        async with open_postgresql(Path(folder) / "postgresql") as dsn:
            async with kit.journal(dsn) as journal, kit.serving(journal, kit.Accepting()) as server:
                await server.orders.take(order(dev_euis(devices)))
                await kit.until(lambda: server.services.alarms.pending == devices)
            command = [sys.executable, __file__, "--resume", dsn, str(devices)]
            printed = (await trio.run_process(command, capture_stdout=True)).stdout.split()
    seconds, stall = map(float, printed)
    kit.show(
        f"a deployment with {devices} devices, resumed",
        [
            ("until all are at work", f"{seconds:.2f} s"),
            ("for each device", f"{1e6 * seconds / devices:.0f} µs"),
            ("longest stall of the event loop", f"{stall:.0f} ms"),
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--resume"]:
        trio.run(resume, sys.argv[2], int(sys.argv[3]))
    else:
        trio.run(main, 1000 if "--quick" in sys.argv else 10_000)
