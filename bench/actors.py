"""What actors cost: seconds to start and to stop them, octets for each, messages per second.

    python bench/actors.py [ACTORS] [MESSAGES]

A task tells a dispatcher, which offers every message to the next of all the actors, as uplinks go to devices.
"""

import gc
import sys
from itertools import cycle
from time import perf_counter

import attrs
import trio
import trio.testing

from bench import kit
from fuota.actor import Actor, Child, Me, Ref, open_tree


@attrs.frozen
class Uplink:
    number: int


@attrs.define(eq=False)
class Device(Actor[Uplink]):
    received: int = 0

    async def receive(self, message: Uplink) -> None:
        self.received += 1


@attrs.define(eq=False)
class Fleet(Actor[None]):
    """Has all the devices for children."""

    size: int
    devices: list[Ref[Uplink]] = attrs.field(factory=list)

    async def started(self, me: Me[None]) -> None:
        for number in range(self.size):
            self.devices.append(me.spawn(f"{number:016x}", Device))
            if number % 1000 == 0:
                await trio.lowlevel.checkpoint()


class Dispatcher(Actor[Uplink]):
    def __init__(self, devices: list[Ref[Uplink]], done: trio.Event, last: int) -> None:
        self._next = cycle(devices)
        self._done = done
        self._last = last

    async def receive(self, message: Uplink) -> None:
        if not next(self._next).offer(message):
            raise AssertionError("a device with room for 64 messages did not keep up")
        if message.number == self._last:
            self._done.set()


async def measure(actors: int, messages: int) -> None:
    kit.prepare()
    fleet = Fleet(actors)
    done = trio.Event()
    async with open_tree() as tree:
        gc.collect()
        before, begin = kit.resident(), perf_counter()
        await tree.start(Child("fleet", lambda: fleet))
        await trio.testing.wait_all_tasks_blocked()
        print(f"start {actors} actors    {perf_counter() - begin:10.2f} s")
        gc.collect()
        print(f"memory per actor       {(kit.resident() - before) / actors:10.0f} B")

        dispatcher = tree.spawn("dispatcher", lambda: Dispatcher(fleet.devices, done, messages - 1))
        begin = perf_counter()
        for number in range(messages):
            await dispatcher.tell(Uplink(number))
        await done.wait()
        await trio.testing.wait_all_tasks_blocked()
        print(f"through one dispatcher {messages / (perf_counter() - begin):10.0f} messages/s")

        begin = perf_counter()
        tree.snapshot(limit=actors)
        print(f"snapshot of all        {perf_counter() - begin:10.2f} s")
        begin = perf_counter()
    print(f"stop                   {perf_counter() - begin:10.2f} s")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]] or [100_000]
    trio.run(measure, arguments[0], arguments[1] if len(arguments) > 1 else 200_000)
