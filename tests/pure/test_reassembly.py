"""Devices with little memory, against the runs of a real stack with its own limits (decode.json)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fuota.lorawan.decoder import Decoder
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import DataFragment, FragSessionSetupReq, package
from fuota.lorawan.parity import encode, split
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.device import Device
from fuota.simulation.frames import Payload
from fuota.simulation.reassembly import Session

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "decode.json").read_text())


@pytest.mark.parametrize("case", VECTORS["default_limits"], ids=lambda case: case["id"])
def test_a_device_gives_up_where_the_real_one_does(case: dict[str, Any]) -> None:
    nb_frag, frag_size, rule = case["nb_frag"], case["frag_size"], case["payload"]
    block = bytes((i * rule["mul"] + rule["add"]) % 256 for i in range(rule["length"]))
    fragments = [*split(block, frag_size), *encode(block, frag_size, case["redundancy"])]
    setup = FragSessionSetupReq(
        frag_index=0,
        mc_group_bit_mask=1,
        nb_frag=nb_frag,
        frag_size=frag_size,
        frag_algo=0,
        block_ack_delay=0,
        padding=nb_frag * frag_size - len(block),
        descriptor=bytes(4),
    )
    session = Session(setup, Decoder(nb_frag, frag_size))
    for part in case["received"].split(","):
        first, last = (int(n) for n in (part.split("-") * 2)[:2])
        for n in range(first, last + 1):
            session.take(n, fragments[n - 1].tobytes(), case["limits"]["frag_max_redundancy"])
    seen = case["LoRaMac_node"]
    assert session.lost == seen["frag_nb_lost"]
    assert session.out_of_memory == bool(seen["matrix_error"])
    assert session.decoder.complete == seen["block_correct"]


def two_octets_each(nb_frag: int) -> FragSessionSetupReq:
    return FragSessionSetupReq(
        frag_index=0,
        mc_group_bit_mask=1,
        nb_frag=nb_frag,
        frag_size=2,
        frag_algo=0,
        block_ack_delay=0,
        padding=0,
        descriptor=bytes(4),
    )


def test_a_fragment_that_no_sender_numbers_so_is_passed_over() -> None:
    device = Device(dev_eui=EUI64(bytes(8)), mc_root_key=bytes(16))
    setup = two_octets_each(1)
    for octets in (package.write(setup, version=1), b"\x08\0\0ab", b"\x08\1\0ab"):
        device.take(Payload(201, octets), datetime.now(UTC))
    assert device.image == b"ab"


@pytest.mark.parametrize("stack", Stack)
def test_stacks_in_the_field_drop_uncoded_fragments_that_come_late(stack: Stack) -> None:
    device = Device(dev_eui=EUI64(bytes(8)), mc_root_key=bytes(16), behaviour=Behaviour(stack=stack))
    setup = two_octets_each(3)
    device.take(Payload(201, package.write(setup, version=1)), datetime.now(UTC))
    for n in (1, 3, 2):
        fragment = DataFragment(frag_index=0, n=n, data=b"%02d" % n)
        device.take(Payload(201, package.write(fragment, version=1)), datetime.now(UTC))
    assert device.image == (b"010203" if stack is Stack.TEXT else None)
