"""Multicast data frames as they are on the air (LoRaWAN 1.0.x sections 4.3.3 and 4.4).

Unconfirmed data down with DevAddr = McAddr, no FOpts; encrypted with McAppSKey, signed with McNwkSKey.
"""

from functools import lru_cache
from struct import Struct

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.cmac import CMAC

UNCONFIRMED_DATA_DOWN = 0x60
_HEADER = Struct("<BIBHB")  # MHDR, DevAddr, FCtrl, FCnt, FPort
_BLOCK = Struct("<BIBIIBB")  # A_i and B0: kind, 0, direction, DevAddr, FCnt, 0, i or length
_DOWN = 1
_MIC = 4


@attrs.frozen
class Header:
    """What can be read of a frame without its keys."""

    dev_addr: int
    f_cnt: int
    """The lower 16 bits of the frame counter."""


@attrs.frozen
class Payload:
    """What a frame carries, decrypted."""

    f_port: int
    data: bytes


def seal(payload: Payload, *, mc_addr: int, f_cnt: int, mc_nwk_s_key: bytes, mc_app_s_key: bytes) -> bytes:
    """The PHYPayload of a multicast frame; `f_cnt` is the group's 32-bit counter."""
    header = _HEADER.pack(UNCONFIRMED_DATA_DOWN, mc_addr, 0, f_cnt & 0xFFFF, payload.f_port)
    message = header + _crypt(payload.data, mc_addr, f_cnt, mc_app_s_key)
    return message + _mic(message, mc_addr, f_cnt, mc_nwk_s_key)


@lru_cache(maxsize=64)
def header(frame: bytes) -> Header | None:
    """DevAddr and counter of a multicast data frame; None if it is anything else."""
    if len(frame) < _HEADER.size + _MIC or frame[0] != UNCONFIRMED_DATA_DOWN:
        return None
    _, dev_addr, f_ctrl, f_cnt, _ = _HEADER.unpack_from(frame)
    return None if f_ctrl else Header(dev_addr, f_cnt)


@lru_cache(maxsize=64)  # all members of a group open the same frames with the same keys
def unseal(
    frame: bytes, *, mc_addr: int, f_cnt: int, mc_nwk_s_key: bytes, mc_app_s_key: bytes
) -> Payload | None:
    """What the frame carries; None if its MIC is not of this key and 32-bit counter."""
    message, mic = frame[:-_MIC], frame[-_MIC:]
    if _mic(message, mc_addr, f_cnt, mc_nwk_s_key) != mic:
        return None
    return Payload(message[_HEADER.size - 1], _crypt(message[_HEADER.size :], mc_addr, f_cnt, mc_app_s_key))


def full_f_cnt(lower: int, expected: int) -> int:
    """The least 32-bit counter with these lower 16 bits that is not below `expected`."""
    return expected + ((lower - expected) & 0xFFFF)


def _crypt(data: bytes, dev_addr: int, f_cnt: int, key: bytes) -> bytes:
    """Encrypt or decrypt: A_1, A_2 … differ in their last octet only, which is a counter."""
    first = _BLOCK.pack(1, 0, _DOWN, dev_addr, f_cnt, 0, 1)
    return Cipher(AES(key), CTR(first)).encryptor().update(data)


def _mic(message: bytes, dev_addr: int, f_cnt: int, key: bytes) -> bytes:
    cmac = CMAC(AES(key))
    cmac.update(_BLOCK.pack(0x49, 0, _DOWN, dev_addr, f_cnt, 0, len(message)) + message)
    return cmac.finalize()[:_MIC]
