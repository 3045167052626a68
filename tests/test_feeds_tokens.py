"""Service tokens at the feed methods, with a real directory. The verifier's own cases are tested with the verifier;
here: which door asks for what.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.didnet import Account, Signer, plc
from tests.feed_site import INTERACTIONS, SERVICE, SKELETON, Site, Writer, feed_uri, site_and_writer, token


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("tokens")) as served:
        served[1].post(1)
        yield served


@pytest.fixture
def site(both: tuple[Site, Writer]) -> Iterator[Site]:
    yield both[0]
    both[0].net.status = 200


FEED = f"feed={feed_uri('python')}"
_numbers = iter(range(1000, 2000))


def stranger(site: Site, alg: str = "ES256K") -> Account:
    """An account that was never seen before."""
    return site.account(next(_numbers), alg)


Bad = Callable[[Account, str], str]
BAD: dict[str, tuple[Bad, str]] = {
    "s3 no three parts": (lambda a, lxm: "x.y", "BadJwt"),
    "s4 no base64": (lambda a, lxm: "e30=.e30.e30", "BadJwt"),
    "s6 too long": (lambda a, lxm: token(a, lxm, pad="x" * 5000), "BadJwt"),
    "s8 alg none": (lambda a, lxm: token(a, lxm, {"alg": "none"}), "BadJwtSignature"),
    "s10 another key": (lambda a, lxm: token(a, lxm, {"kid": "#atproto_label"}), "BadJwtKeyId"),
    "s12 an access token": (lambda a, lxm: token(a, lxm, {"typ": "at+jwt"}), "BadJwtType"),
    "s14 for another service": (lambda a, lxm: token(a, lxm, aud="did:web:other.example"), "BadJwtAudience"),
    "s14 for our labeler": (lambda a, lxm: token(a, lxm, aud=f"{SERVICE}#atproto_labeler"), "BadJwtAudience"),
    "s16 no aud": (lambda a, lxm: token(a, lxm, aud=None), "BadJwt"),
    "s17 for another method": (lambda a, lxm: token(a, "app.bsky.feed.getFeed"), "BadJwtLexiconMethod"),
    "s17 for no method": (lambda a, lxm: no_lxm(a), "BadJwtLexiconMethod"),
    "s18 no exp": (lambda a, lxm: token(a, lxm, exp=None), "BadJwt"),
    "s19 expired": (lambda a, lxm: token(a, lxm, exp=int(time.time()) - 60, iat=None), "JwtExpired"),
    "s20 for too long": (lambda a, lxm: token(a, lxm, exp=int(time.time()) + 9000), "BadJwt"),
    "s27 jti no text": (lambda a, lxm: token(a, lxm, jti=7), "BadJwt"),
    "s32 signed by another": (lambda a, lxm: forged(a, lxm), "BadJwtSignature"),
    "s35 iss no DID": (lambda a, lxm: token(a, lxm, iss="alice.example.com"), "BadJwtIss"),
    "s36 iss unknown": (lambda a, lxm: token(a, lxm, iss=plc(next(_numbers))), "BadJwtIss"),
}


def no_lxm(account: Account) -> str:
    return account.token({"aud": SERVICE, "exp": int(time.time()) + 60})


def forged(account: Account, lxm: str) -> str:
    claims = {"aud": SERVICE, "lxm": lxm, "exp": int(time.time()) + 60}
    return account.token(claims, signer=Signer(account.signer.alg))


@pytest.mark.parametrize("alg", ["ES256K", "ES256"])
def test_a_good_token_is_accepted_by_both_methods(site: Site, alg: str) -> None:
    alice = stranger(site, alg)
    assert site.ask(FEED, f"Bearer {token(alice)}").posts
    assert site.send({"interactions": []}, token(alice, INTERACTIONS)).json == {}
    assert site.net.lookups[f"/{alice.did}"] == 1


def test_s13_the_audience_may_name_the_service(site: Site) -> None:
    alice = stranger(site)
    assert site.ask(FEED, f"Bearer {token(alice, aud=f'{SERVICE}#bsky_fg')}").posts


@pytest.mark.parametrize("case", BAD)
def test_a_bad_token_is_named_by_both_methods(site: Site, case: str) -> None:
    make, error = BAD[case]
    alice = stranger(site)
    for lxm in (SKELETON, INTERACTIONS):
        bad = make(alice, lxm)
        reply = site.ask(FEED, f"Bearer {bad}") if lxm == SKELETON else site.send({"interactions": []}, bad)
        assert reply.fault == (401, error)
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert bad not in reply.body.decode()


def test_s1_only_interactions_need_a_token(site: Site) -> None:
    assert site.ask(FEED).posts
    assert site.send({"interactions": []}).fault == (401, "AuthMissing")


def test_s2_other_schemes_and_two_headers(site: Site) -> None:
    alice = stranger(site)
    assert site.ask(FEED, "Basic YTpi").fault == (401, "AuthMissing")
    assert site.ask(FEED, f"DPoP {token(alice)}").fault == (401, "AuthMissing")
    assert site.ask(FEED, f"Bearer {token(alice)}", f"Bearer {token(alice)}").fault == (400, "InvalidRequest")
    assert site.ask(FEED, f"bearer {token(alice)}").posts
    assert site.send({"interactions": []}, headers=[("Authorization", "Basic YTpi")]).fault == (401, "AuthMissing")


def test_s24_a_query_may_be_asked_again_with_the_same_token(site: Site) -> None:
    alice = stranger(site)
    again = token(alice)
    assert {site.ask(FEED, f"Bearer {again}").status for _ in range(5)} == {200}


def test_s37_an_outage_of_the_directory(site: Site) -> None:
    """A public feed is served to nobody in particular; what somebody does is refused for now."""
    alice = stranger(site)
    site.net.status = 500
    expected = site.ask(FEED).body
    assert site.ask(FEED, f"Bearer {token(alice)}").body == expected
    act = token(alice, INTERACTIONS)
    assert site.send({"interactions": []}, act).fault == (502, "UpstreamFailure")
    site.net.status = 200
    assert site.send({"interactions": []}, act).json == {}  # nothing was burnt, nothing cached


def test_s44_parameters_are_judged_before_the_token_and_the_body_after_it(site: Site) -> None:
    assert site.ask("feed=x", "Bearer x").fault == (400, "InvalidRequest")
    assert site.ask(f"feed={feed_uri('no')}", "Bearer x").fault == (400, "UnknownFeed")
    assert site.ask(f"{FEED}&cursor=x", "Bearer x").fault == (401, "BadJwt")
    assert site.send(b"{", "x").fault == (401, "BadJwt")
