"""Keys of multicast groups (TS005 section 4) and the MIC of data blocks (TS004-2.0.0).

AES-128 throughout. Keys are 16 octets in their natural order; a `ValueError` names the argument that
is not as long as it must be, and never shows it.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


def mc_root_key_from_gen_app_key(gen_app_key: bytes) -> bytes:
    """McRootKey of a LoRaWAN 1.0.x device."""
    return _encrypt("GenAppKey", gen_app_key, bytes(16))


def mc_root_key_from_app_key(app_key: bytes) -> bytes:
    """McRootKey of a LoRaWAN 1.1 device."""
    return _encrypt("AppKey", app_key, b"\x20" + bytes(15))


def mc_ke_key(mc_root_key: bytes) -> bytes:
    """McKEKey, under which a McKey travels to the device."""
    return _encrypt("McRootKey", mc_root_key, bytes(16))


def wrap_mc_key(mc_root_key: bytes, mc_key: bytes) -> bytes:
    """McKey_encrypted as McGroupSetupReq carries it to the device that has this McRootKey.

    The server decrypts, so that a device need only be able to encrypt.
    """
    _check("McKey", mc_key)
    return _aes(mc_ke_key(mc_root_key)).decryptor().update(mc_key)


def unwrap_mc_key(mc_root_key: bytes, mc_key_encrypted: bytes) -> bytes:
    """McKey, as the device finds it."""
    _check("McKey_encrypted", mc_key_encrypted)
    return _encrypt("McKEKey", mc_ke_key(mc_root_key), mc_key_encrypted)


def mc_app_s_key(mc_key: bytes, mc_addr: int) -> bytes:
    """McAppSKey, which encrypts the payloads of the group with this 32-bit McAddr."""
    return _encrypt("McKey", mc_key, b"\x01" + _little_endian("McAddr", mc_addr, 4) + bytes(11))


def mc_nwk_s_key(mc_key: bytes, mc_addr: int) -> bytes:
    """McNwkSKey, which signs the frames of the group with this 32-bit McAddr."""
    return _encrypt("McKey", mc_key, b"\x02" + _little_endian("McAddr", mc_addr, 4) + bytes(11))


def data_block_int_key(key: bytes) -> bytes:
    """DataBlockIntKey, from the GenAppKey of a 1.0.x device or the AppKey of a 1.1 device."""
    return _encrypt("GenAppKey or AppKey", key, b"\x30" + bytes(15))


def block_mic(
    data_block_int_key: bytes, block: bytes, *, session_cnt: int, frag_index: int, descriptor: bytes
) -> bytes:
    """The four octets of MIC in FragSessionSetupReq 2.0.0; `block` comes without its padding."""
    _check("DataBlockIntKey", data_block_int_key)
    _check("Descriptor", descriptor, 4)
    b0 = (
        b"\x49"
        + _little_endian("SessionCnt", session_cnt, 2)
        + _little_endian("FragIndex", frag_index, 1)
        + descriptor
        + bytes(4)
        + _little_endian("block length", len(block), 4)
    )
    cmac = CMAC(algorithms.AES(data_block_int_key))
    cmac.update(b0)
    cmac.update(block)
    return cmac.finalize()[:4]


def _aes(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())


def _encrypt(name: str, key: bytes, block: bytes) -> bytes:
    _check(name, key)
    return _aes(key).encryptor().update(block)


def _check(name: str, octets: bytes, length: int = 16) -> None:
    if len(octets) != length:
        raise ValueError(f"{name}: wanted {length} octets, got {len(octets)}")


def _little_endian(name: str, number: int, octets: int) -> bytes:
    if not 0 <= number < 1 << 8 * octets:
        raise ValueError(f"{name}: wanted 0 to {(1 << 8 * octets) - 1}, got {number}")
    return number.to_bytes(octets, "little")
