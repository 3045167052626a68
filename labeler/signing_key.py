"""The keys that sign labels: made, sealed at rest, opened, and who signs with which.

A key is K-256 (every consumer checks it). In the database it is sealed with a passphrase: scrypt makes a key of that,
AES-256-GCM encrypts, and binds the labeler's DID and the public key, so that a sealed key put into another row does not
open. A service with one labeler may be given the key itself instead; then none is stored.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import coincurve
import libipld
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from labeler.vocabulary import Declared
from models import labelers
from models.database import Connection
from models.labelers import KeyRow

_VERSION, _COST, _MOST_COST = 1, 16, 20
"""Cost: the power of two of scrypt's n, with r = 8, p = 1; 16 takes 64 MiB and half a second a key, once at start."""
_SALT, _NONCE, _SECRET, _TAG = 16, 12, 32, 16
_HEAD = 2 + _SALT + _NONCE
_K256_PREFIX = b"\xe7\x01"


class KeyFaultError(Exception):
    """A key cannot be used; the message says why and what to do, and nothing of the key."""


class Signer(NamedTuple):
    """Who signs with which key. `labeler`: the number of the row; `src`: the DID; `key_id`: the number of the key."""

    labeler: int
    src: str
    key_id: int
    key: coincurve.PrivateKey

    def __repr__(self) -> str:
        return f"Signer({self.labeler}, {self.src}, key {self.key_id})"


def generate() -> coincurve.PrivateKey:
    """A new key, from the system's random numbers."""
    return coincurve.PrivateKey()


def did_key(key: coincurve.PrivateKey) -> str:
    """The public form, as DID documents of did:plc and `ozone-metadata.json` have it: `did:key:zQ3s...`."""
    return "did:key:" + str(libipld.encode_multibase("z", _K256_PREFIX + key.public_key.format(compressed=True)))


def key_of_hex(text: str) -> coincurve.PrivateKey:
    """The key that is written as 64 hexadecimal digits. Raises KeyFaultError."""
    try:
        secret = bytes.fromhex(text)
        if len(secret) == _SECRET:
            return coincurve.PrivateKey(secret)
    except ValueError:  # no digits, or not of the curve: the message would hold them
        pass
    raise KeyFaultError("COMMUNITIES_LABELER_KEY is no key of secp256k1; it must be 64 hexadecimal digits") from None


def seal(key: coincurve.PrivateKey, passphrase: str, did: str, *, cost: int = 0) -> bytes:
    """The key as it is stored, openable with the passphrase for this labeler only. `cost`: 0 for the usual one."""
    head = bytes((_VERSION, cost or _COST)) + secrets.token_bytes(_SALT + _NONCE)
    return head + _cipher(passphrase, head).encrypt(head[-_NONCE:], key.secret, _bound(head, did, did_key(key)))


def open_sealed(sealed: bytes, passphrase: str, did: str, public: str) -> coincurve.PrivateKey:
    """The key that was sealed for `did` and has the public form `public`. Raises KeyFaultError."""
    head = sealed[:_HEAD]
    if len(sealed) != _HEAD + _SECRET + _TAG or head[0] != _VERSION or not 1 <= head[1] <= _MOST_COST:
        raise KeyFaultError(f"the stored key of {did} is damaged; put back a backup, or make a new key (rotate-key)")
    try:
        secret = _cipher(passphrase, head).decrypt(head[-_NONCE:], sealed[_HEAD:], _bound(head, did, public))
    except InvalidTag:
        raise KeyFaultError(
            f"COMMUNITIES_LABELER_PASSPHRASE does not open the key of {did}: it was sealed with another passphrase, or"
            " the row was changed"
        ) from None
    return coincurve.PrivateKey(secret)


def _cipher(passphrase: str, head: bytes) -> AESGCM:
    salt = head[2 : 2 + _SALT]
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << head[1], r=8, p=1).derive(passphrase.encode("utf-8")))


def _bound(head: bytes, did: str, public: str) -> bytes:
    return b"\x00".join((b"communities label key", head, did.encode(), public.encode()))


class KeyRing:
    """Opens the stored keys, each once: that is slow by intent. Shows nothing of what it holds."""

    def __init__(self, passphrase: str = "", key: str = "") -> None:
        """`key`: the one key of a service that stores none, as hexadecimal digits. Raises KeyFaultError."""
        self._passphrase = passphrase
        self._given = key_of_hex(key) if key else None
        self._opened: dict[tuple[str, str], coincurve.PrivateKey] = {}

    @property
    def can_keep(self) -> bool:
        """Whether there is a passphrase to seal keys with."""
        return bool(self._passphrase)

    @property
    def given(self) -> coincurve.PrivateKey | None:
        """The key from the settings."""
        return self._given

    def keep(self, key: coincurve.PrivateKey, did: str) -> bytes | None:
        """What to store of a key: itself sealed; None for the key from the settings. Raises KeyFaultError."""
        if self._given is not None and key.secret == self._given.secret:
            return None
        if not self._passphrase:
            raise KeyFaultError(
                "COMMUNITIES_LABELER_PASSPHRASE must be set: it seals the signing keys in the database. Choose a long"
                " one (openssl rand -base64 24) and keep it in .env and in your password store"
            )
        return seal(key, self._passphrase, did)

    def open(self, did: str, row: KeyRow) -> coincurve.PrivateKey:
        """The private key of a row. Raises KeyFaultError."""
        known = self._opened.get((did, row.public))
        if known is not None:
            return known
        if self._given is not None and did_key(self._given) == row.public:
            key = self._given
        elif row.secret is None:
            raise KeyFaultError(
                f"the key {row.public} of {did} is not stored; give it in COMMUNITIES_LABELER_KEY, or make a new one"
                " (communities labeler rotate-key)"
            )
        elif not self._passphrase:
            raise KeyFaultError(f"COMMUNITIES_LABELER_PASSPHRASE must be set: the key of {did} is sealed with one")
        else:
            key = open_sealed(row.secret, self._passphrase, did, row.public)
        self._opened[did, row.public] = key
        return key


def signers(
    connection: Connection,
    declared: Iterable[Declared],
    ring: KeyRing,
    fault: Callable[[str, KeyFaultError], None] | None = None,
) -> dict[int, Signer]:
    """Who signs now, by the number of the labeler: those of the file that have an active key.

    A key that cannot be opened raises KeyFaultError, or is given to `fault` with the labeler's DID.
    """
    found = {}
    for one in declared:
        labeler = labelers.find(connection, one.did)
        row = None if labeler is None else labelers.active_key(connection, labeler)
        if labeler is None or row is None:
            continue
        try:
            found[labeler] = Signer(labeler, one.did, row.id, ring.open(one.did, row))
        except KeyFaultError as error:
            if fault is None:
                raise
            fault(one.did, error)
    return found


def public_keys(connection: Connection, declared: Iterable[Declared]) -> Mapping[str, str]:
    """The did:key of each labeler's active key, by its DID, without opening any."""
    found = {}
    for one in declared:
        labeler = labelers.find(connection, one.did)
        if labeler is not None and (row := labelers.active_key(connection, labeler)):
            found[one.did] = row.public
    return found
