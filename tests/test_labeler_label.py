"""A label's bytes: the golden vector, the official ones, what is never produced (S161), and how it looks as JSON."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import cbor2
import coincurve
import libipld
import pytest
from cbrrr import decode_dag_cbor, encode_dag_cbor
from hypothesis import given
from hypothesis import strategies as st

from labeler.label import (
    _USUAL_SUBJECT,
    Label,
    all_to_json,
    check,
    fault_of_subject,
    fault_of_value,
    fields,
    sign,
    timestamp,
    to_json,
)
from xrpc.key import PublicKey, parse_did_key, parse_multikey, verify
from xrpc.syntax import is_did, parse_at_uri

GOLDEN = Label(
    "did:plc:n3timvoib5nau7gvwd6cshap", "did:plc:44ybard66vv44zksje25o7dz", "", "bladerunner", False, 1_729_705_879_128
)
GOLDEN_KEY = parse_multikey("zQ3shcnfWLQN1bY4d2patsEAYFzy4xp1zdckEvHsV7S4ocTnC")
GOLDEN_SIG = base64.b64decode(
    "uCRNA5mTzh078T5xZtkvLEt/O+z0gsKM3aqRI/lVAB8ZtbMnznwS/JwHopZE40JhNNDj80z8gsDLAp/hWqG5Pg=="
)
GOLDEN_CBOR = (
    "a5636374737818323032342d31302d32335431373a35313a31392e3132385a6373726378206469643a706c633a6e3374696d766f6962356e6175"
    "37677677643663736861706375726978206469643a706c633a343479626172643636767634347a6b736a6532356f37647a6376616c6b626c6164"
    "6572756e6e65726376657201"
)
KEY = coincurve.PrivateKey(bytes(range(1, 33)))
PUBLIC = PublicKey("ES256K", KEY.public_key.format(compressed=False), KEY.public_key)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TRAP = bytes.fromhex(
    "01d53cfba9251694d6f5a48b1143c11b4edf91e7854bb1efdd9f04a3d83b9f0b"
    "6f9a8200c7dd4347392034847d92a6f599c7577ac0af83402d04060e61779a69"
)
"""A signature that one encoder of DAG-CBOR takes for a CID."""

labels = st.builds(
    Label,
    st.just("did:plc:n3timvoib5nau7gvwd6cshap"),
    st.sampled_from(
        ("did:plc:44ybard66vv44zksje25o7dz", "at://did:plc:44ybard66vv44zksje25o7dz/app.bsky.feed.post/3k")
    ),
    st.sampled_from(("", "bafyreigaybpqtvuxgfqkhntmslwtqvnrhxhc4jbdm3vb6bvnpvm2vksbmy")),
    st.sampled_from(("spam", "!hide", "very-long" * 10)),
    st.booleans(),
    st.integers(0, 253_402_300_799_999),
    st.none() | st.integers(0, 253_402_300_799_999),
)


def signed_with(sig: bytes, **more: Any) -> bytes:
    return encode_dag_cbor({**fields(GOLDEN), **more, "sig": sig})


def test_the_golden_vector() -> None:
    data = encode_dag_cbor(fields(GOLDEN))
    assert data.hex() == GOLDEN_CBOR and len(data) == 128
    assert hashlib.sha256(data).hexdigest() == "a133884893b7a7e4a21c44b9708b0d3cb9c2fff041f12b6ec52ff92fad6b5ad7"
    assert check(signed_with(GOLDEN_SIG), GOLDEN_KEY)
    assert not check(signed_with(GOLDEN_SIG, neg=False), GOLDEN_KEY), "S161"
    high = GOLDEN_SIG[:32] + (ORDER - int.from_bytes(GOLDEN_SIG[32:], "big")).to_bytes(32, "big")
    assert not check(signed_with(high), GOLDEN_KEY), "S161"


def test_the_official_signatures_hold_for_labels_as_for_commits(shared_data: Path) -> None:
    """What `check` believes is what the vectors say is a valid signature, low-S included."""
    vectors = json.loads((shared_data / "interop/crypto/signature-fixtures.json").read_text())
    assert {vector["algorithm"] for vector in vectors} == {"ES256", "ES256K"}
    for vector in vectors:
        message, signature = (
            base64.b64decode(vector[name] + "=" * (-len(vector[name]) % 4))
            for name in ("messageBase64", "signatureBase64")
        )
        said: Any = decode_dag_cbor(message)
        right = verify(parse_did_key(vector["publicKeyDid"]), message, signature, low_s=True)
        assert right is vector["validSignature"]
        if isinstance(said, dict):
            assert check(encode_dag_cbor({**said, "sig": signature}), parse_did_key(vector["publicKeyDid"])) is right


@given(labels)
def test_what_is_signed_is_the_fields_alone_in_their_canonical_form(label: Label) -> None:
    """S161: no other field, no null, no `neg` that is false, low-S; three decoders read the same."""
    data = sign(KEY, label)
    said: Any = decode_dag_cbor(data)
    assert libipld.decode_dag_cbor(data) == said == cbor2.loads(data)
    assert cbor2.dumps(said, canonical=True) == data
    assert set(said) <= {"ver", "src", "uri", "cid", "val", "neg", "cts", "exp", "sig"} and None not in said.values()
    assert said.get("neg", True) is True and ("neg" in said) == label.neg and ("cid" in said) == bool(label.cid)
    assert len(said["sig"]) == 64 and int.from_bytes(said["sig"][32:], "big") <= ORDER // 2
    assert check(data, PUBLIC)
    shown = to_json(data)
    assert base64.b64decode(shown["sig"]["$bytes"] + "=" * (-len(shown["sig"]["$bytes"]) % 4)) == said["sig"]
    assert {**shown, "sig": 0} == {**said, "sig": 0} and json.dumps(shown)


@given(st.lists(labels, min_size=1, max_size=3), st.sampled_from((0, 1, 23, 24, 250, 255, 256, 500)))
def test_many_labels_as_json_are_what_another_library_says_of_each(some: list[Label], count: int) -> None:
    signed = ([sign(KEY, one) for one in some] * count)[:count]
    assert all_to_json(signed) == [decode_dag_cbor(one, atjson_mode=True) for one in signed]


@pytest.mark.parametrize("name", ["src", "uri", "val", "cts", "exp"])
def test_a_label_of_which_a_word_was_changed_is_not_believed(name: str) -> None:
    said: Any = decode_dag_cbor(sign(KEY, GOLDEN._replace(exp=GOLDEN.cts + 1)))
    assert not check(encode_dag_cbor({**said, name: said[name].replace("2", "3") + "x"}), PUBLIC)
    assert not check(sign(coincurve.PrivateKey(), GOLDEN), PUBLIC), "S161"


@pytest.mark.parametrize("data", [b"\xa0", b"\x80", b"\xa1\x63sig\x01"])
def test_what_is_no_label(data: bytes) -> None:
    with pytest.raises(ValueError, match="label"):
        check(data, PUBLIC)


def test_a_signature_that_looks_like_a_cid_stays_a_byte_string() -> None:
    """The trap of one encoder, measured on random signatures: one in a thousand frames would be corrupt."""
    data = signed_with(TRAP)
    assert bytes.fromhex("63736967" + "5840") + TRAP in data
    assert cbor2.loads(data)["sig"] == TRAP
    assert bytes.fromhex("d82a") in libipld.encode_dag_cbor({"sig": TRAP}), "this is what is not to be used"

    class Trap:
        def sign_recoverable(self, digest: bytes, hasher: object) -> bytes:
            return TRAP + b"\0"

    assert sign(Trap(), GOLDEN) == data  # type: ignore[arg-type]


@given(st.integers(0, 253_402_300_799_999), st.integers(0, 253_402_300_799_999))
def test_times_compare_as_their_texts_do(one: int, other: int) -> None:
    assert (timestamp(one) < timestamp(other)) == (one < other)
    assert len(timestamp(one)) == len("2024-10-23T17:51:19.128Z")


@pytest.mark.parametrize("val", ["spam", "a", "!hide", "!warn", "off-topic", "a" * 100])
def test_values_that_clients_show(val: str) -> None:
    assert fault_of_value(val) is None


@pytest.mark.parametrize(
    "val",
    ["", "Spam", "spam1", "a b", "-a", "a-", "a--b", "!", "!!hide", "ñ", "😀", "a" * 101, "a" * 129, "!takedown",
     "!suspend", "spam\n", "a_b", "a\0"],
)  # fmt: skip
def test_s162_values_that_are_never_issued(val: str) -> None:
    assert fault_of_value(val)


@pytest.mark.parametrize(
    "uri", ["did:plc:44ybard66vv44zksje25o7dz", "did:web:a.example", "at://did:plc:a/app.bsky.feed.post/3k"]
)
def test_subjects(uri: str) -> None:
    assert fault_of_subject(uri) is None


@given(st.from_regex(_USUAL_SUBJECT, fullmatch=True))
def test_what_is_taken_for_usual_is_good(uri: str) -> None:
    parts = parse_at_uri(uri)
    assert parts is not None and is_did(parts.authority)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "at://a.example/app.bsky.feed.post/3k",
        "https://x.example",
        "did:",
        "at://",
        "at://did:plc:a/x",
        "did:plc:a b",
    ],
)
def test_s162_what_is_no_subject(uri: str) -> None:
    assert fault_of_subject(uri)
