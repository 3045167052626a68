import base64
import json
from pathlib import Path

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.didnet import ORDER, Signer
from xrpc.key import BadKey, PublicKey, parse_did_key, parse_multikey, parse_verification_method, verify

VECTORS = Path(__file__).parent.parent.parent / "shared" / "data" / "interop" / "crypto"
MESSAGE = b"the signing input"


def vectors(name: str) -> list[dict[str, str]]:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the interoperability vectors are not at ../shared/data ({name})")
    found: list[dict[str, str]] = json.loads(path.read_text())
    assert found
    return found


def unpad(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def test_official_signature_vectors() -> None:
    for vector in vectors("signature-fixtures.json"):
        key = parse_did_key(vector["publicKeyDid"])
        assert key == parse_multikey(vector["publicKeyDid"].removeprefix("did:key:"))
        signature, message = unpad(vector["signatureBase64"]), unpad(vector["messageBase64"])
        assert verify(key, message, signature, low_s=True) is vector["validSignature"], vector["comment"]
        loose = vector["validSignature"] or "high-s" in vector["tags"]
        assert verify(key, message, signature, low_s=False) is loose, vector["comment"]


@pytest.mark.parametrize("curve", ["K256", "P256"])
def test_official_did_keys(curve: str) -> None:
    for vector in vectors(f"w3c_didkey_{curve}.json"):
        assert parse_did_key(vector["publicDidKey"]).alg == {"K256": "ES256K", "P256": "ES256"}[curve]


@pytest.mark.parametrize("alg", ["ES256", "ES256K"])
def test_s39_all_forms_of_a_key_are_one_key(alg: str) -> None:
    signer = Signer(alg)
    legacy = {"ES256": "EcdsaSecp256r1VerificationKey2019", "ES256K": "EcdsaSecp256k1VerificationKey2019"}[alg]
    forms = [("Multikey", signer.multikey)] + [
        (legacy, libipld.encode_multibase("z", point)) for point in (signer.compressed, signer.uncompressed)
    ]
    keys = [parse_verification_method({"type": kind, "publicKeyMultibase": text}) for kind, text in forms]
    assert len(set(keys)) == 1 and keys[0].point == signer.uncompressed
    assert all(verify(key, MESSAGE, signer.sign(MESSAGE), low_s=True) for key in keys)


def bad_methods() -> list[dict[str, object]]:
    good = Signer("ES256K")
    foreign = libipld.encode_multibase("z", b"\xed\x01" + bytes(32))  # Ed25519
    off_curve = libipld.encode_multibase("z", b"\xe7\x01\x02" + b"\xff" * 32)
    texts = [
        None,
        1,
        "",
        "z",
        "zz",
        "m" + good.multikey[1:],
        good.multikey[:-3],
        good.multikey + "0",
        foreign,
        off_curve,
    ]
    texts += ["z" * 5000, good.multikey + "\n", "z" + "1" * 150]
    return [{"type": "Multikey", "publicKeyMultibase": text} for text in texts] + [
        {},
        {"type": "Multikey"},
        {"type": ["Multikey"], "publicKeyMultibase": good.multikey},
        {"type": "Ed25519VerificationKey2020", "publicKeyMultibase": good.multikey},
        {"type": "EcdsaSecp256k1VerificationKey2019", "publicKeyMultibase": good.multikey},
        {"type": "EcdsaSecp256k1VerificationKey2019", "publicKeyMultibase": off_curve},
    ]


def test_s38_bad_keys_are_refused() -> None:
    for method in bad_methods():
        with pytest.raises(BadKey):
            parse_verification_method(method)
    with pytest.raises(BadKey):
        parse_did_key("did:plc:abc")


@given(st.text(max_size=300), st.sampled_from(["Multikey", "EcdsaSecp256k1VerificationKey2019"]))
def test_any_key_text_is_read_or_refused(text: str, kind: str) -> None:
    for candidate in (text, "z" + text):
        try:
            parse_verification_method({"type": kind, "publicKeyMultibase": candidate})
        except BadKey:
            continue


@pytest.fixture(scope="module", params=["ES256", "ES256K"])
def pair(request: pytest.FixtureRequest) -> tuple[Signer, PublicKey]:
    signer = Signer(request.param)
    return signer, parse_multikey(signer.multikey)


def test_s31_high_s_by_choice(pair: tuple[Signer, PublicKey]) -> None:
    signer, key = pair
    low, high = signer.sign(MESSAGE), signer.sign(MESSAGE, high_s=True)
    assert verify(key, MESSAGE, low, low_s=True) and verify(key, MESSAGE, low, low_s=False)
    assert verify(key, MESSAGE, high, low_s=False) and not verify(key, MESSAGE, high, low_s=True)


def test_s32_malformed_signatures(pair: tuple[Signer, PublicKey]) -> None:
    signer, key = pair
    good = signer.sign(MESSAGE)
    order = ORDER[signer.alg].to_bytes(32, "big")
    zero, r, s = bytes(32), good[:32], good[32:]
    der = b"\x30\x44\x02\x20" + r + b"\x02\x20" + s
    twin = (int.from_bytes(r, "big") + ORDER[signer.alg]) % 2**256
    bad = [b"", good[:63], good + b"\0", der, zero + s, r + zero, order + s, r + order, b"\xff" * 64, s + r]
    bad += [twin.to_bytes(32, "big") + s, zero + zero]
    for signature in bad:
        for low_s in (True, False):
            assert not verify(key, MESSAGE, signature, low_s=low_s)
    assert not verify(key, MESSAGE + b"x", good, low_s=False)
