"""Bad input made of good: what hostile and broken peers send is mostly nearly right."""

from collections.abc import Callable, Sequence
from random import Random

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
Mutation = Callable[[Random, bytearray], None]


def mutated(random: Random, samples: Sequence[bytes], most: int = 4) -> bytes:
    """One of the samples with some mutations; now and then noise, or all of a sample."""
    if random.random() < 0.05:
        return random.randbytes(random.choice((0, 1, 7, 64, 300)))
    made = bytearray(random.choice(samples))
    for _ in range(random.randint(0, most)):
        random.choice(MUTATIONS)(random, made)
        if random.random() < 0.1:
            made += random.choice(samples)
    return bytes(made)


def _flip(random: Random, made: bytearray) -> None:
    if made:
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)


def _set(random: Random, made: bytearray) -> None:
    if made:
        made[random.randrange(len(made))] = random.choice(INTERESTING)


def _cut(random: Random, made: bytearray) -> None:
    del made[random.randint(0, len(made)) :]


def _remove(random: Random, made: bytearray) -> None:
    start = random.randint(0, len(made))
    del made[start : start + random.randint(1, 8)]


def _insert(random: Random, made: bytearray) -> None:
    start = random.randint(0, len(made))
    made[start:start] = random.randbytes(random.randint(1, 8))


def _repeat(random: Random, made: bytearray) -> None:
    start = random.randint(0, len(made))
    piece = made[start : start + random.randint(1, 40)]
    made[start:start] = piece * random.randint(1, 30)


def _number(random: Random, made: bytearray) -> None:
    """Another number where one is written in digits."""
    places = [index for index, octet in enumerate(made) if 0x30 <= octet <= 0x39]
    if places:
        at = random.choice(places)
        made[at : at + 1] = random.choice((b"-1", b"0", b"99999999999999999999", b"0x10", b"1e9", b"\xb2"))


MUTATIONS: Sequence[Mutation] = (_flip, _set, _cut, _remove, _insert, _repeat, _number)
