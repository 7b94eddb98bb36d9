"""A fleet of simulated devices: made from a seed, and asked what it holds."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from random import Random

from fuota.lorawan.eui import EUI64
from fuota.lorawan.keys import mc_root_key_from_gen_app_key
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device

FIRST_DEV_EUI = 0x70B3D57ED0000001


def fleet(
    size: int, *, seed: int = 0, behaviour: Callable[[int], Behaviour] = lambda _: Behaviour()
) -> list[Device]:
    """Devices with consecutive DevEUIs; `behaviour` says what is special about each, by its place.

    The same seed gives the same keys and the same fortune.
    """
    return [_made(number, Random(f"{seed}/{number}"), behaviour(number)) for number in range(size)]


def holdings(devices: Iterable[Device]) -> dict[bytes | None, list[EUI64]]:
    """Image -> the devices that hold it; None -> those that hold none."""
    held: dict[bytes | None, list[EUI64]] = defaultdict(list)
    for device in devices:
        held[device.image].append(device.dev_eui)
    return dict(held)


def _made(number: int, random: Random, behaviour: Behaviour) -> Device:
    return Device(
        dev_eui=EUI64((FIRST_DEV_EUI + number).to_bytes(8, "big")),
        mc_root_key=mc_root_key_from_gen_app_key(random.randbytes(16)),
        behaviour=behaviour,
        random=random,
    )
