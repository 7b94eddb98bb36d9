"""The devices' keys at rest: sealed with AES-256-GCM under a master key that is not in the database.

A sealed key is one octet that says which master key sealed it, 96 random bits of nonce, the ciphertext,
and 128 bits of tag. What it belongs to is authenticated with it, so a sealed key that is moved to another
row does not open.
"""

import os
from collections.abc import Mapping
from enum import Enum
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fuota.journal.port import JournalError
from fuota.lorawan.eui import EUI64

MASTER_KEY_SIZE = 32
NONCE_SIZE = 12


class Kind(Enum):
    """Which key was sealed; authenticated with it."""

    MC_KEY = b"McKey"
    MC_ROOT_KEY = b"McRootKey"


class BadMasterKey(JournalError):
    """The master key can not be used."""


class NotOpened(JournalError):
    """A sealed key does not open."""


class Keyring:
    """The master keys by their number, 1–255; `current` seals, any of them opens."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        for key in keys.values():
            if len(key) != MASTER_KEY_SIZE:
                raise BadMasterKey(f"master key: wanted {MASTER_KEY_SIZE} octets, got {len(key)}")
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        self.current = current

    @classmethod
    def from_hex(cls, text: str) -> "Keyring":
        """One master key, as 64 hexadecimal digits. Raises `BadMasterKey`."""
        try:
            key = bytes.fromhex(text)
        except ValueError:
            # The text stays out of the message: most of it may be right.
            raise BadMasterKey("master key: wanted 64 hexadecimal digits") from None
        return cls({1: key}, current=1)

    def seal(self, key: bytes, kind: Kind, deployment_id: UUID, dev_eui: EUI64 | None = None) -> bytes:
        nonce = os.urandom(NONCE_SIZE)
        cipher = self._ciphers[self.current]
        return (
            bytes([self.current]) + nonce + cipher.encrypt(nonce, key, _owner(kind, deployment_id, dev_eui))
        )

    def open(self, sealed: bytes, kind: Kind, deployment_id: UUID, dev_eui: EUI64 | None = None) -> bytes:
        """Raises `NotOpened`."""
        owner = f"device {dev_eui}" if dev_eui else f"deployment {deployment_id}"
        what = f"the {kind.value.decode()} of {owner}"
        if len(sealed) <= 1 + NONCE_SIZE:
            raise NotOpened(f"{what} is not sealed at all: {len(sealed)} octets")
        number, nonce, ciphertext = sealed[0], sealed[1 : 1 + NONCE_SIZE], sealed[1 + NONCE_SIZE :]
        if number not in self._ciphers:
            raise NotOpened(
                f"{what} is sealed with master key {number}, which is not at hand: "
                "see [secrets] key_file, and whether master_key is still set"
            )
        try:
            return self._ciphers[number].decrypt(nonce, ciphertext, _owner(kind, deployment_id, dev_eui))
        except InvalidTag:
            raise NotOpened(
                f"{what} was sealed with another master key {number}, or altered: "
                "see [secrets] master_key and key_file"
            ) from None


def _owner(kind: Kind, deployment_id: UUID, dev_eui: EUI64 | None) -> bytes:
    return deployment_id.bytes + (dev_eui.octets if dev_eui else b"") + kind.value
