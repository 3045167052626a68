from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrpc.errors import InvalidRequest
from xrpc.params import AtUriParam, BoolParam, DidParam, IntParam, ListParam, Params, StringParam

FEED = "at://did:plc:abcdefghijklmnopqrstuvwx/app.bsky.feed.generator/cats"
SKELETON = Params(
    {
        "feed": AtUriParam("app.bsky.feed.generator", required=True),
        "limit": IntParam(1, 100, default=50),
        "cursor": StringParam(512),
    }
)
ASK = f"feed={FEED}"


def refused(params: Params, query: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        params.parse(query)
    return caught.value.message


@pytest.mark.parametrize("limit", ["1", "100", "050", "%31"])
def test_limit_in_range(limit: str) -> None:
    assert SKELETON.parse(f"{ASK}&limit={limit}")["limit"] == int(limit.replace("%31", "1"))


@pytest.mark.parametrize(
    "limit",
    ["0", "-1", "101", "abc", "", "１０", quote("１０"), "1_000", "%205%20", "5+", "+5", "%2B5", "1e3", "1.0"]
    + [str(2**64), "9" * 5000, "0x10", "5%0A", "5%00", "%D9%A5"],
)
def test_s48_limit_refused(limit: str) -> None:
    assert "query string" in (message := refused(SKELETON, f"{ASK}&limit={limit}")) or '"limit"' in message


def test_s48_repeated_parameter_refused() -> None:
    assert refused(SKELETON, f"{ASK}&limit=5&limit=5") == '"limit" is repeated'
    assert refused(SKELETON, f"{ASK}&limit=5&%6Cimit=6") == '"limit" is repeated'


def test_s48_free_text_at_the_end_is_judged_with_what_stands_before_it() -> None:
    for before in ("cursor=a", "curs%6Fr=a", "cursor="):
        assert refused(SKELETON, f"{ASK}&{before}&cursor=b") == '"cursor" is repeated'
        assert refused(SKELETON, f"{ASK}&cursor=b&{before}") == '"cursor" is repeated'
    assert refused(SKELETON, "cursor=b") == '"feed" is required'
    assert refused(SKELETON, "limit=0&cursor=b").startswith('"limit"')
    needed = Params({"q": StringParam(required=True), "n": IntParam(0, 9)})
    assert dict(needed.parse("n=1&q=x")) == dict(needed.parse("q=x&n=1")) == {"q": "x", "n": 1}
    assert dict(needed.parse("q=")) == {"q": "", "n": None}
    assert refused(needed, "n=1") == '"q" is required'
    long = "x" * 2000
    assert SKELETON.parse(f"{ASK}&a={long}&cursor=b")["cursor"] == "b"


@pytest.mark.parametrize(
    "feed",
    ["", "x", "at://alice.example.com/app.bsky.feed.generator/cats", "at://did:plc:abc", FEED[:-5], FEED + "/"]
    + [FEED.replace("generator", "post"), FEED[:-4] + "..", FEED[:-4] + "a" * 513, FEED + "%23x", FEED + "%0A"],
)
def test_s49_feed_refused(feed: str) -> None:
    assert '"feed"' in refused(SKELETON, f"feed={feed}")


def test_s49_feed_is_required() -> None:
    assert refused(SKELETON, "") == '"feed" is required'


@pytest.mark.parametrize(
    "query", ["cursor=%00", "cursor=%FF", "cursor=%", "cursor=%4", "cursor=%zz", "%FF=1", "x=%C0%AF", "x=%ED%A0%80"]
)
def test_s53_bad_encoding_refused(query: str) -> None:
    assert "query string" in refused(SKELETON, f"{ASK}&{query}")


def test_s53_unknown_parameters_ignored() -> None:
    values = SKELETON.parse(f"{ASK}&__proto__=1&__proto__=2&Limit=0&x&&=y")
    assert dict(values) == {"feed": FEED, "limit": 50, "cursor": None}


def test_s51_long_query_and_cursor_refused() -> None:
    assert SKELETON.parse(f"{ASK}&cursor={'a' * 512}")["cursor"] == "a" * 512
    assert '"cursor"' in refused(SKELETON, f"{ASK}&cursor={'a' * 513}")
    assert '"cursor"' in refused(SKELETON, f"{ASK}&cursor={quote('é' * 257)}")
    assert "too long" in refused(SKELETON, f"{ASK}&cursor={'a' * 10_000}")


def test_results_are_shared_and_immutable() -> None:
    values = SKELETON.parse(ASK)
    assert SKELETON.parse(ASK) is values
    with pytest.raises(TypeError):
        values["limit"] = 1  # type: ignore[index]


def test_memo_is_bounded() -> None:
    params = Params({"n": IntParam(0, 9999)})
    for number in range(5000):
        params.parse(f"n={number}")
    info = params._memo.cache_info()
    assert info.currsize == info.maxsize < 5000


def test_other_kinds() -> None:
    params = Params({"flag": BoolParam(), "did": DidParam(), "uris": ListParam(StringParam(5), 2)})
    assert dict(params.parse("")) == {"flag": None, "did": None, "uris": ()}
    values = params.parse("flag=true&did=did%3Aplc%3Aabc&uris=a&uris=b")
    assert dict(values) == {"flag": True, "did": "did:plc:abc", "uris": ("a", "b")}
    for query in ("flag=1", "flag=True", "did=x", "uris=a&uris=b&uris=c", "uris=123456"):
        refused(params, query)


def test_numbers_below_zero_are_taken_where_some_are_allowed() -> None:
    params, above = Params({"n": IntParam(-1, 10)}), Params({"n": IntParam(0, 10)})
    assert [params.parse(f"n={text}")["n"] for text in ("-1", "0", "10")] == [-1, 0, 10]
    for text in ("-2", "-0", "-01", "--1", "-", "%2D1%20", "+1", "11", "-\u0661", "-" + "1" * 19):
        refused(params, f"n={quote(text, safe='%')}")
    refused(above, "n=-1")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=100), st.integers(1, 100))
def test_what_is_encoded_comes_back(cursor: str, limit: int) -> None:
    values = SKELETON.parse(urlencode({"feed": FEED, "limit": limit, "cursor": cursor}))
    assert (values["feed"], values["limit"], values["cursor"]) == (FEED, limit, cursor)


@given(st.one_of(st.text(), st.text(alphabet="feed=limit&cursor%0123456789+:/.at"), st.binary().map(quote)))
def test_any_query_is_answered_or_refused(query: str) -> None:
    for text in (query, f"{ASK}&{query}", f"{ASK}&limit={query}"):
        try:
            values = SKELETON.parse(text)
        except InvalidRequest:
            continue
        assert isinstance(values["limit"], int) and 1 <= values["limit"] <= 100 and values["feed"] == FEED
