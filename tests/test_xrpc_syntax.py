from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrpc import syntax

VECTORS = Path(__file__).parent.parent.parent / "shared" / "data" / "interop" / "syntax"
KINDS = {
    "did": syntax.is_did,
    "handle": syntax.is_handle,
    "nsid": syntax.is_nsid,
    "recordkey": syntax.is_rkey,
    "tid": syntax.is_tid,
    "cid": syntax.is_cid,
    "aturi": syntax.is_at_uri,
    "datetime": syntax.is_datetime,
    "atidentifier": syntax.is_at_identifier,
    "language": syntax.is_language,
    "uri": syntax.is_uri,
}


def vectors(name: str) -> list[str]:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the interoperability vectors are not at ../shared/data ({name})")
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("kind", KINDS)
def test_official_vectors(kind: str) -> None:
    good, bad = vectors(f"{kind}_syntax_valid.txt"), vectors(f"{kind}_syntax_invalid.txt")
    assert len(good) > 3 and len(bad) > 3
    assert [text for text in good if not KINDS[kind](text)] == []
    assert [text for text in bad if KINDS[kind](text)] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", ["\n", "\0", " ", "１", "\u2028"])
def test_nothing_may_follow(kind: str, tail: str) -> None:
    for text in vectors(f"{kind}_syntax_valid.txt"):
        assert not KINDS[kind](text + tail)


def test_datetime_vectors_are_times_or_nothing() -> None:
    assert [text for text in vectors("datetime_parse_invalid.txt") if syntax.is_datetime(text)] == []
    assert all(syntax.parse_datetime(text) is None for text in vectors("datetime_parse_invalid.txt"))
    assert all(syntax.parse_datetime(text) is None for text in vectors("datetime_syntax_invalid.txt"))
    for text in vectors("datetime_syntax_valid.txt"):
        assert (syntax.parse_datetime(text) is not None) == (text[:4] >= "1970"), text


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:59:59.999999+01:00", None),
        ("1969-12-31T23:30:00-01:00", 30 * 60 * 1_000_000),
        ("2024-02-29T12:00:00.123456Z", 1_709_208_000_123_456),
        ("2023-02-29T12:00:00Z", None),
        ("2016-12-31T23:59:60Z", None),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ("2024-01-01T00:00:00+24:00", None),
        ("2024-01-01T00:00:00-00:00", None),
        ("2024-01-01T24:00:00Z", None),
        ("２０２４-01-01T00:00:00Z", None),
        ("2024-01-01T00:00:00." + "1" * 60 + "Z", None),
    ],
)
def test_s102_datetime_to_microseconds(text: str, micros: int | None) -> None:
    assert syntax.parse_datetime(text) == micros


@given(st.datetimes(min_value=datetime(1970, 1, 1)))
def test_datetime_agrees_with_the_standard_library(moment: datetime) -> None:
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert syntax.parse_datetime(moment.isoformat(timespec="microseconds") + "Z") == expected


def test_tid_micros() -> None:
    assert syntax.tid_micros("2222222222222") == 0
    assert syntax.tid_micros("7777777777777") == int("5" * 13, 32) >> 10
    assert syntax.tid_micros("3jzfcijpj2z2a") == 1_688_137_381_887_007  # 2023-06-30T15:03:01.887007Z
    with pytest.raises(ValueError, match="TID"):
        syntax.tid_micros("zzzzzzzzzzzzz")


def test_at_uri_parts() -> None:
    uri = syntax.parse_at_uri("at://did:plc:abc/app.bsky.feed.post/3k")
    assert uri == ("did:plc:abc", "app.bsky.feed.post", "3k")
    assert syntax.parse_at_uri("at://alice.example.com") == ("alice.example.com", "", "")


@given(st.text())
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    for judge in KINDS.values():
        assert judge(text) in (True, False)
    syntax.parse_datetime(text)
