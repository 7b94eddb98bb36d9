"""Multicast frames, against the blocks written out from LoRaWAN 1.0.x sections 4.3.3 and 4.4."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from fuota.simulation import frames
from fuota.simulation.frames import Payload

NWK = bytes.fromhex("44024241ed4ce9a68c6a8bc055233fd3")
APP = bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc588")
MC_ADDR = 0x00FF0102
F_CNT = 0x00012345


def sealed(payload: Payload, f_cnt: int = F_CNT) -> bytes:
    return frames.seal(payload, mc_addr=MC_ADDR, f_cnt=f_cnt, mc_nwk_s_key=NWK, mc_app_s_key=APP)


def unsealed(frame: bytes, f_cnt: int = F_CNT, nwk: bytes = NWK, app: bytes = APP) -> Payload | None:
    return frames.unseal(frame, mc_addr=MC_ADDR, f_cnt=f_cnt, mc_nwk_s_key=nwk, mc_app_s_key=app)


def test_a_frame_octet_by_octet() -> None:
    data = bytes(range(40))
    counter = bytes.fromhex("0201ff004523010000")  # DevAddr, FCnt, 0
    stream = b"".join(
        Cipher(algorithms.AES(APP), modes.ECB())
        .encryptor()
        .update(bytes([1, 0, 0, 0, 0, 1]) + counter + bytes([i]))
        for i in (1, 2, 3)
    )
    encrypted = bytes(a ^ b for a, b in zip(data, stream, strict=False))
    message = bytes.fromhex("600201ff00004523c9") + encrypted
    cmac = CMAC(algorithms.AES(NWK))
    cmac.update(bytes([0x49, 0, 0, 0, 0, 1]) + counter + bytes([len(message)]) + message)
    assert sealed(Payload(201, data)) == message + cmac.finalize()[:4]


@given(st.integers(1, 255), st.binary(max_size=242), st.integers(0, 2**32 - 1))
def test_what_is_sealed_can_be_unsealed(f_port: int, data: bytes, f_cnt: int) -> None:
    payload = Payload(f_port, data)
    frame = sealed(payload, f_cnt)
    assert frames.header(frame) == frames.Header(MC_ADDR, f_cnt & 0xFFFF)
    assert unsealed(frame, f_cnt) == payload


def test_with_a_wrong_key_or_counter_there_is_nothing() -> None:
    frame = sealed(Payload(201, b"fragment"))
    assert unsealed(frame, nwk=APP) is None
    assert unsealed(frame, f_cnt=F_CNT + 0x10000) is None
    assert unsealed(frame[:-1] + bytes([frame[-1] ^ 1])) is None
    assert unsealed(frame, app=NWK) != Payload(201, b"fragment")


@pytest.mark.parametrize("octets", ["", "60", "60" + "00" * 11, "40" + "00" * 20, "600000000001" + "00" * 20])
def test_what_is_no_multicast_data_frame(octets: str) -> None:
    assert frames.header(bytes.fromhex(octets)) is None


@pytest.mark.parametrize(
    ("lower", "expected", "full"),
    [(0, 0, 0), (5, 3, 5), (3, 3, 3), (2, 3, 0x10002), (0, 0xFFFF, 0x10000), (0xFFFF, 0x10000, 0x1FFFF)],
)
def test_the_upper_half_of_the_counter_is_what_comes_next(lower: int, expected: int, full: int) -> None:
    assert frames.full_f_cnt(lower, expected) == full
