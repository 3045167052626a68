"""Signing keys: sealed at rest, opened by the right passphrase for the right labeler only, shown nowhere."""

import traceback
from pathlib import Path

import coincurve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler import rotation
from labeler.label import Label, check, sign
from labeler.signing_key import (
    KeyFaultError,
    KeyRing,
    Signer,
    did_key,
    generate,
    key_of_hex,
    open_sealed,
    seal,
    signers,
)
from labeler.vocabulary import Declared
from models import labelers
from models.database import open_database, sql, writing
from tests.didnet import plc
from tests.world.keys import BASE58
from xrpc.key import parse_did_key

PASSPHRASE = "canary passphrase 1234"
SECRET = "ca" * 32
CHEAP = 1
DID = plc(1)


def declared(did: str) -> Declared:
    return Declared(did, "https://labels.example.org", frozenset(), {}, frozenset(("!warn",)), None, None, None)


def test_the_public_form_is_the_did_key_of_the_compressed_point() -> None:
    """Made here from base58 by hand: 0xe7 0x01 before the 33 bytes."""
    key = generate()
    number, digits = int.from_bytes(b"\xe7\x01" + key.public_key.format(), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE58[digit] + digits
    assert did_key(key) == "did:key:z" + digits and did_key(key).startswith("did:key:zQ3s")
    label = Label(DID, plc(2), "", "spoiler", neg=False, cts=1_700_000_000_000)
    assert check(sign(key, label), parse_did_key(did_key(key)))
    assert generate().secret != key.secret


@settings(max_examples=60)
@given(
    st.integers(1, 2**255),
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1),
    st.integers(0, 77),
    st.integers(1, 255),
)
def test_a_sealed_key_opens_again_and_nothing_of_it_may_change(
    number: int, passphrase: str, at: int, flip: int
) -> None:
    key = coincurve.PrivateKey.from_int(number)
    sealed = seal(key, passphrase, DID, cost=CHEAP)
    public = did_key(key)
    assert open_sealed(sealed, passphrase, DID, public).secret == key.secret
    assert key.secret not in sealed and sealed != seal(key, passphrase, DID, cost=CHEAP)
    bad = sealed[:at] + bytes((sealed[at] ^ flip,)) + sealed[at + 1 :]
    if at == 1 and not 1 <= bad[1] <= 12:
        bad = sealed[:-1]  # a high cost is refused or slow, and tested below
    for other in (
        (bad, passphrase, DID, public),
        (sealed, passphrase + "x", DID, public),
        (sealed, passphrase, plc(2), public),
        (sealed, passphrase, DID, did_key(generate())),
        (sealed[:-1], passphrase, DID, public),
        (b"", passphrase, DID, public),
    ):
        with pytest.raises(KeyFaultError):
            open_sealed(*other)


def test_a_row_that_asks_for_endless_work_is_refused() -> None:
    sealed = seal(generate(), PASSPHRASE, DID, cost=CHEAP)
    with pytest.raises(KeyFaultError, match="damaged"):
        open_sealed(sealed[:1] + b"\x28" + sealed[2:], PASSPHRASE, DID, "did:key:z")


def test_the_wrong_passphrase_says_so() -> None:
    key = generate()
    with pytest.raises(KeyFaultError, match="COMMUNITIES_LABELER_PASSPHRASE does not open the key of did:plc"):
        open_sealed(seal(key, PASSPHRASE, DID, cost=CHEAP), "another one", DID, did_key(key))


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 32, "ff" * 32, SECRET[:-2], SECRET + "00", "é" * 64])
def test_s169_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(KeyFaultError, match="must be 64 hexadecimal digits") as refused:
        key_of_hex(text)
    shown = "".join(traceback.format_exception(refused.value))
    assert not text or text not in shown


def test_s169_keys_and_passphrases_are_in_no_repr_and_no_traceback() -> None:
    key = key_of_hex(SECRET)
    ring = KeyRing(PASSPHRASE, SECRET)
    signer = Signer(1, DID, 2, key)
    sealed = seal(key, PASSPHRASE, DID, cost=CHEAP)
    row = labelers.KeyRow(1, did_key(key), sealed, "active", 1)
    other = KeyRing("other canary 99")
    with pytest.raises(KeyFaultError) as refused:
        other.open(plc(2), row)
    shown = f"{ring} {ring!r} {signer} {[signer]} {key!r} {sealed!r} {row}"
    shown += "".join(traceback.format_exception(refused.value))
    assert SECRET not in shown and PASSPHRASE not in shown and "other canary 99" not in shown
    assert repr(key.secret) not in shown and key.secret not in sealed


def test_who_signs_with_which_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeler.signing_key._COST", CHEAP)
    database = open_database(tmp_path / "communities.db")
    ring = KeyRing(PASSPHRASE)
    assert signers(sql(database), [declared(DID)], ring) == {}
    keys = {did: generate() for did in (DID, plc(2), plc(3))}
    with writing(database) as connection:
        for did, key in keys.items():
            labeler = labelers.enter(connection, did)
            row = rotation.begin(connection, labeler, did_key(key), seal(key, PASSPHRASE, did, cost=CHEAP), 5)
            if did != plc(3):
                rotation.switch(connection, labeler, None, row.id)
    found = signers(sql(database), [declared(did) for did in (*keys, plc(4))], ring)
    assert {one.src: one.key.secret for one in found.values()} == {did: keys[did].secret for did in (DID, plc(2))}
    assert all(number == one.labeler for number, one in found.items())
    assert signers(sql(database), [declared(DID)], ring).keys() == {1}, "only those of the file"

    refused: dict[str, str] = {}
    none = signers(sql(database), [declared(DID)], KeyRing(), lambda did, error: refused.update({did: str(error)}))
    assert none == {} and "must be set" in refused[DID]
    with pytest.raises(KeyFaultError, match="does not open"):
        signers(sql(database), [declared(DID)], KeyRing("other canary 99"))
    database.close()


def test_a_key_from_the_settings_is_not_stored(tmp_path: Path) -> None:
    key = key_of_hex(SECRET)
    ring = KeyRing("", SECRET)
    assert ring.keep(key, DID) is None
    with pytest.raises(KeyFaultError, match="COMMUNITIES_LABELER_PASSPHRASE must be set"):
        ring.keep(generate(), DID)
    database = open_database(tmp_path / "communities.db")
    with writing(database) as connection:
        labeler = labelers.enter(connection, DID)
        rotation.switch(connection, labeler, None, rotation.begin(connection, labeler, did_key(key), None, 5).id)
    (signer,) = signers(sql(database), [declared(DID)], ring).values()
    assert signer.key.secret == key.secret
    with pytest.raises(KeyFaultError, match="is not stored; give it in COMMUNITIES_LABELER_KEY"):
        signers(sql(database), [declared(DID)], KeyRing(PASSPHRASE))
    database.close()
    assert all(key.secret not in path.read_bytes() for path in tmp_path.iterdir())
