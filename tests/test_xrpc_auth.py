import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.didnet import LXM, Account, DidNet, b64, plc
from xrpc.auth import ServiceAuth, Token
from xrpc.egress import egress_session
from xrpc.errors import XrpcError
from xrpc.listener import listen
from xrpc.params import IntParam, Params
from xrpc.resolver import DidResolver
from xrpc.server import Call, Procedure, Query, mount

NOW = 1_800_000_000
SERVICE = "did:web:feeds.example.com"
AUDIENCES = frozenset({SERVICE, SERVICE + "#bsky_fg"})
ACT = "com.example.act"
GOOD = {"aud": SERVICE, "lxm": LXM, "exp": NOW + 60, "iat": NOW, "jti": "7f1c"}


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    net: DidNet
    alice: Account
    wall: Clock
    mono: Clock
    auth: ServiceAuth
    url: str
    client: aiohttp.ClientSession

    async def ask(self, *authorization: str, path: str = LXM) -> tuple[int, str]:
        """The status, and the issuer or the error name."""
        headers = [("Authorization", value) for value in authorization]
        async with self.client.get(f"{self.url}/xrpc/{path}", headers=headers) as response:
            answer = await response.json()
            if response.status == 401:
                assert response.headers["WWW-Authenticate"] == "Bearer"
            return response.status, answer["error"] if "error" in answer else answer["iss"]

    async def present(self, token: str) -> tuple[int, str]:
        return await self.ask(f"Bearer {token}")

    async def claim(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> tuple[int, str]:
        return await self.present(self.alice.token(GOOD | dict(claims), header))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    wall, mono = Clock(NOW), Clock(1000.0)
    async with DidNet() as net, egress_session(("localhost",)) as session, aiohttp.ClientSession() as client:
        resolver = DidResolver(session, net.url, allow=("localhost",), clock=mono, timeout=0.5)
        auth = ServiceAuth(resolver, AUDIENCES, clock=wall)

        async def viewer(call: Call) -> Mapping[str, Any]:
            token = await auth.verify(call.request.headers.getall("Authorization", ()), call.nsid)
            return {"iss": token.iss if token else "nobody"}

        async def authorize(call: Call) -> Token:
            return await auth.require(call.request.headers.getall("Authorization", ()), call.nsid, act=True)

        async def act(call: Call) -> Mapping[str, Any]:
            return {"iss": call.token.iss if call.token else "nobody"}

        app = web.Application()
        params = Params({"limit": IntParam(1, 100, default=50)})
        mount(app, [Query(LXM, params, viewer), Procedure(ACT, params, act, authorize=authorize)])
        listener = await listen(app, "127.0.0.1", 0, shutdown_timeout=1)
        alice = net.publish(Account(plc(1)))
        yield Site(net, alice, wall, mono, auth, f"http://127.0.0.1:{listener.port}", client)
        await listener.close()
        await resolver.close()


async def test_s1_no_header(site: Site) -> None:
    assert await site.ask() == (200, "nobody")
    async with site.client.post(f"{site.url}/xrpc/{ACT}", json={}) as response:
        assert (response.status, (await response.json())["error"]) == (401, "AuthMissing")


async def test_s2_schemes_and_doubled_headers(site: Site) -> None:
    token = site.alice.token(GOOD)
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert await site.ask(f"{scheme} {token}") == (200, site.alice.did)
    for value in ("Basic YWRtaW46YWRtaW4=", f"DPoP {token}", token, "Bearer,", "x"):
        assert (await site.ask(value))[1] == "AuthMissing"
    assert await site.ask(f"Bearer {token}", f"Bearer {token}") == (400, "InvalidRequest")


def shape_cases() -> dict[str, str]:
    good = Account(plc(1)).token(GOOD)
    head, claims, signature = good.split(".")
    deep = b64(b"[" * 10_000 + b"]" * 10_000)
    nested = b64(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}")
    doubled = b64(b'{"iss":"a","iss":"b"}')
    bits = next(signature[:-1] + c for c in "BCDEFGHIJKLMNOP" if signature[-1] in "AQgw")
    return {
        "s3 empty": "",
        "s3 one": "x",
        "s3 two": f"{head}.{claims}",
        "s3 four": good + ".x",
        "s3 empty head": f".{claims}.{signature}",
        "s3 empty claims": f"{head}..{signature}",
        "s3 empty signature": f"{head}.{claims}.",
        "s4 not base64": f"!!.{claims}.{signature}",
        "s4 not json": f"{b64(b'x')}.{claims}.{signature}",
        "s4 not utf-8": f"{b64(bytes([255]))}.{claims}.{signature}",
        "s4 null": f"{head}.{b64(b'null')}.{signature}",
        "s4 list": f"{head}.{b64(b'[]')}.{signature}",
        "s4 deep": f"{head}.{deep[:3000]}.{signature}",
        "s4 nested": f"{head}.{nested}.{signature}",
        "s5 padding": f"{head}=.{claims}.{signature}",
        "s5 standard alphabet": f"{head}.{claims}.{'+/' + signature[2:]}",
        "s5 space": f"{head} .{claims}.{signature}",
        "s5 leading space": " " + good,
        "s5 trailing bits": f"{head}.{claims}.{bits}",
        "s5 length": f"{head}A.{claims}.{signature}AAA",
        "s6 long": "a" * 4097,
        "s7 doubled key": f"{head}.{doubled}.{signature}",
    }


@pytest.mark.parametrize("case", shape_cases())
async def test_s3_to_s7_malformed_tokens(site: Site, case: str) -> None:
    assert await site.present(shape_cases()[case]) == (401, "BadJwt")
    assert site.net.total == 0


async def test_s6_a_header_beyond_the_parser_is_refused(site: Site) -> None:
    assert await site.present("a" * 9000) == (400, "InvalidRequest")


HEADERS: list[tuple[dict[str, Any], str | None]] = [
    *(({"alg": alg}, "BadJwtSignature") for alg in (
        "none", "None", "HS256", "RS256", "EdDSA", "es256k", None, ["ES256K"], 1,
    )),
    *(({"kid": kid}, "BadJwtKeyId") for kid in ("atproto", "#atproto_label", "#x", plc(1) + "#atproto", 1, "")),
    ({"kid": "#atproto"}, None),
    ({"crit": ["exp"]}, "BadJwt"),
    *(({"typ": typ}, "BadJwtType") for typ in (
        "at+jwt", "refresh+jwt", "dpop+jwt", "AT+JWT", "application/at+jwt", "x", 1,
    )),
    ({"typ": None}, None),
    ({"typ": "jwt"}, None),
    ({"typ": "application/JWT"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("header", "error"), HEADERS)
async def test_s8_to_s12_headers(site: Site, header: dict[str, Any], error: str | None) -> None:
    assert await site.claim({}, header) == ((401, error) if error else (200, site.alice.did))
    assert site.net.total == (0 if error else 1)


async def test_s11_keys_in_the_header_are_ignored(site: Site) -> None:
    mallory = Account(plc(1))
    jwk = {"kty": "EC", "crv": "secp256k1", "x": b64(b"x"), "y": b64(b"y")}
    for header in ({"jwk": jwk}, {"jku": site.net.url + "/keys"}, {"x5u": site.net.url + "/keys"}, {"x5c": ["x"]}):
        assert await site.present(mallory.token(GOOD, header)) == (401, "BadJwtSignature")
    assert set(site.net.lookups) == {f"/{site.alice.did}"}


BIG = 2**63
CLAIMS: list[tuple[dict[str, Any], str | None]] = [
    ({"aud": SERVICE + "#bsky_fg"}, None),
    *(({"aud": SERVICE + tail}, "BadJwtAudience") for tail in (
        "#atproto_labeler", "#", "#a#b", "%2e", ".net", "/", ":x",
    )),
    *(({"aud": aud}, "BadJwtAudience") for aud in (SERVICE.upper(), "did:web:labels.example.com", "*", "")),
    *(({"aud": aud}, "BadJwt") for aud in (None, [SERVICE], 1, True, {})),
    *(({"lxm": lxm}, "BadJwtLexiconMethod") for lxm in (None, ACT, "*", "app.bsky.feed", LXM.lower(), [LXM], "")),
    *(({"exp": exp}, "BadJwt") for exp in (None, "1", str(NOW + 60), True, BIG, 1e18, NOW + 60.5, NOW + 3901, [])),
    *(({"exp": exp, "iat": None}, "JwtExpired") for exp in (-1, 0, NOW - 6)),
    *(({"exp": exp, "iat": None}, None) for exp in (NOW, NOW - 5, NOW + 3900)),
    *(({"iat": iat}, "BadJwt") for iat in (NOW + 61, "1", True, {})),
    ({"iat": NOW + 60, "exp": NOW + 59}, "BadJwt"),
    ({"iat": NOW + 60}, None),
    ({"iat": None}, None),
    ({"nbf": NOW + 5}, None),
    *(({"nbf": nbf}, "BadJwt") for nbf in (NOW + 6, "x", False)),
    ({"jti": None}, None),
    ({"jti": "j" * 256}, None),
    *(({"jti": jti}, "BadJwt") for jti in ("j" * 257, "a\0b", 7, "", [])),
    *(({"iss": iss}, "BadJwtIss") for iss in (
        None, "", "alice.example.com", "did:key:zQ3sh", "did:plc:short", plc(1).upper(), plc(1) + "#atproto_labeler",
        1, [], "did:web:example.com:path", "did:web:example.com%3A80", "did:web:10.0.0.1", "did:web:example.com%2Fx",
        "did:web:example.com#x", "did:web:" + "a" * 2041,
    )),
]  # fmt: skip


@pytest.mark.parametrize(("claims", "error"), CLAIMS)
async def test_s13_to_s27_and_s35_claims(site: Site, claims: dict[str, Any], error: str | None) -> None:
    assert await site.claim(claims) == ((401, error) if error else (200, site.alice.did))
    assert site.net.total == (0 if error else 1)


@pytest.mark.parametrize("exp", ["NaN", "Infinity", "-Infinity", "1e400", "1e3", "9" * 1500, "01", "0x1"])
async def test_s18_numbers_that_are_no_json_integers(site: Site, exp: str) -> None:
    payload = json.dumps(GOOD | {"iss": site.alice.did, "exp": 0}).replace('"exp": 0', f'"exp": {exp}')
    assert exp in payload
    token = site.alice.token_of(b'{"alg":"ES256K"}', payload.encode())
    assert await site.present(token) == (401, "BadJwt")


async def test_s15_the_bare_did_only_when_configured(site: Site) -> None:
    site.auth._audiences = frozenset({SERVICE + "#bsky_fg"})
    assert await site.claim({}) == (401, "BadJwtAudience")


async def test_s25_s26_s31_what_a_single_use_is_keyed_by(site: Site) -> None:
    async def key(token: str) -> tuple[str, str]:
        verified = await site.auth.require([f"Bearer {token}"], LXM)
        assert token not in repr(verified)
        return verified.iss, verified.jti_key

    bob = site.net.publish(Account(plc(2), "ES256"))
    named, unnamed = GOOD, GOOD | {"jti": None}
    low, high = site.alice.token(named), site.alice.token(named, high_s=True)
    assert low != high and await key(low) == await key(high) == (site.alice.did, "jti:7f1c")
    assert await key(bob.token(named)) == (bob.did, "jti:7f1c")
    assert await key(site.alice.token(unnamed)) == await key(site.alice.token(unnamed, high_s=True))
    assert await key(site.alice.token(unnamed)) != await key(site.alice.token(unnamed | {"exp": NOW + 61}))


@pytest.mark.parametrize("alg", ["ES256", "ES256K"])
@pytest.mark.parametrize("high_s", [False, True])
async def test_s31_both_curves_and_both_forms_of_a_signature(site: Site, alg: str, high_s: bool) -> None:
    bob = site.net.publish(Account(plc(2), alg))
    assert await site.present(bob.token(GOOD, high_s=high_s)) == (200, bob.did)


@pytest.mark.parametrize("size", [1, 63, 65, 72])
async def test_s32_signatures_of_another_size_cost_no_look_up(site: Site, size: int) -> None:
    head, claims, _ = site.alice.token(GOOD).split(".")
    assert await site.present(f"{head}.{claims}.{b64(bytes(size))}") == (401, "BadJwtSignature")
    assert site.net.total == 0


async def test_s32_signatures_out_of_range(site: Site) -> None:
    head, claims, signature = site.alice.token(GOOD).split(".")
    good = base64.urlsafe_b64decode(signature + "==")
    for bad in (bytes(64), bytes(32) + good[32:], good[:32] + bytes(32), b"\xff" * 64):
        assert await site.present(f"{head}.{claims}.{b64(bad)}") == (401, "BadJwtSignature")


async def test_a_tampered_token_is_refused(site: Site) -> None:
    head, _, signature = site.alice.token(GOOD).split(".")
    claims = b64(json.dumps({"iss": site.alice.did, **GOOD, "jti": "other"}).encode())
    assert await site.present(f"{head}.{claims}.{signature}") == (401, "BadJwtSignature")


@pytest.mark.parametrize("alg", ["ES256", "ES256K"])
async def test_s9_s33_a_rotated_key_costs_one_refresh(site: Site, alg: str) -> None:
    assert (await site.claim({}))[0] == 200
    rotated = site.net.publish(Account(site.alice.did, alg))
    assert await site.present(rotated.token(GOOD)) == (200, site.alice.did)
    assert site.net.total == 2
    assert await site.present(rotated.token(GOOD)) == (200, site.alice.did)
    assert await site.present(site.alice.token(GOOD)) == (401, "BadJwtSignature")
    assert site.net.total == 2


async def test_s9_an_alg_that_is_not_the_keys(site: Site) -> None:
    assert (await site.claim({}))[0] == 200
    other = Account(site.alice.did, "ES256")
    assert await site.present(other.token(GOOD)) == (401, "BadJwtSignature")
    assert site.net.total == 2


async def test_s9_the_alg_of_the_header_must_be_the_keys(site: Site) -> None:
    assert await site.claim({}, {"alg": "ES256"}) == (401, "BadJwtSignature")


async def test_s34_a_document_just_fetched_is_not_fetched_again(site: Site) -> None:
    assert await site.present(Account(site.alice.did).token(GOOD)) == (401, "BadJwtSignature")
    assert site.net.total == 1


async def test_s43_a_token_of_the_old_server(site: Site) -> None:
    old = site.alice
    assert (await site.claim({}))[0] == 200
    site.net.publish(Account(old.did))
    site.mono.now += 3600
    assert await site.present(old.token(GOOD)) == (401, "BadJwtSignature")


async def test_s34_a_flood_of_bad_signatures_costs_little(site: Site) -> None:
    assert (await site.claim({}))[0] == 200
    mallory = Account(site.alice.did)
    answers = await asyncio.gather(*(site.present(mallory.token(GOOD | {"jti": str(n)})) for n in range(100)))
    assert set(answers) == {(401, "BadJwtSignature")}
    assert site.net.total == 2
    site.mono.now += 61
    await site.present(mallory.token(GOOD))
    assert site.net.total == 3
    assert (await site.claim({}))[0] == 200


async def test_s34_bad_signatures_of_many_accounts(site: Site) -> None:
    mallory = Account(plc(0))
    tokens = []
    for number in range(100, 150):
        site.net.publish(Account(plc(number)))
        tokens.append(mallory.token(GOOD | {"iss": plc(number)}))
    for _ in range(3):
        answers = await asyncio.gather(*map(site.present, tokens))
        assert set(answers) == {(401, "BadJwtSignature")}
    assert site.net.total == 50 + 50, "one look-up each, and one refresh each of what was cached"


async def test_s36_unknown_accounts_are_remembered(site: Site) -> None:
    ghost = Account(plc(9))
    for _ in range(3):
        assert await site.present(ghost.token(GOOD)) == (401, "BadJwtIss")
    assert site.net.total == 1


async def test_s37_an_outage_of_the_directory(site: Site) -> None:
    site.net.status = 503
    assert await site.claim({}) == (502, "UpstreamFailure")
    site.net.status = 200
    assert (await site.claim({}))[0] == 200


async def test_s37_a_silent_directory(site: Site) -> None:
    site.net.gate = asyncio.Event()
    assert await site.claim({}) == (502, "UpstreamFailure")
    site.net.gate.set()


async def test_f17_an_act_needs_a_fresher_key_than_a_reading(site: Site) -> None:
    assert (await site.claim({}))[0] == 200
    site.net.status = 503
    site.mono.now += 2 * 3600
    assert (await site.claim({}))[0] == 200
    header = [f"Bearer {site.alice.token(GOOD | {'lxm': ACT})}"]
    async with site.client.post(f"{site.url}/xrpc/{ACT}", json={}, headers={"Authorization": header[0]}) as response:
        assert response.status == 502


def documents(account: Account) -> dict[str, dict[str, Any]]:
    good = account.document()["verificationMethod"][0]
    return {
        "another id": account.document(id=plc(5)),
        "no key": account.document(verificationMethod=[]),
        "only a label key": account.document(verificationMethod=[good | {"id": "#atproto_label"}]),
        "foreign controller": account.document(verificationMethod=[good | {"controller": plc(5)}]),
        "bad multibase": account.document(verificationMethod=[good | {"publicKeyMultibase": "zzzz"}]),
    }


@pytest.mark.parametrize("case", documents(Account(plc(1))))
async def test_s38_documents_without_a_usable_key(site: Site, case: str) -> None:
    site.net.answers[f"/{site.alice.did}"] = documents(site.alice)[case]
    assert await site.claim({}) == (401, "BadJwtSignature")


async def test_s42_did_web_issuers(site: Site) -> None:
    bob = site.net.publish(Account(site.net.web_did))
    assert await site.present(bob.token(GOOD)) == (200, bob.did)
    async with DidNet() as gone:
        ghost = Account(gone.web_did)
    assert await site.present(ghost.token(GOOD)) == (401, "BadJwtIss")


async def test_s44_what_is_judged_first(site: Site) -> None:
    url = f"{site.url}/xrpc/{ACT}"
    bad, good = "Bearer x", f"Bearer {site.alice.token(GOOD | {'lxm': ACT})}"
    for query, authorization, body, status in [
        ("", bad, b"not json", 401),
        ("?limit=0", bad, b"{}", 400),
        ("", good, b"not json", 400),
        ("", good, b"{}", 200),
        ("", bad, b"x" * 100_000, 413),
    ]:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        async with site.client.post(url + query, data=body, headers=headers) as response:
            assert response.status == status


async def test_s169_tokens_are_not_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = Account(site.alice.did).token(GOOD)
    site.net.status = 503
    await site.present(token)
    site.net.status = 200
    await site.present(token)
    assert not any(part in caplog.text for part in token.split(".")[1:])


class NoDirectory(DidResolver):
    """Fails the test when a look-up is tried: the tokens below are never good enough for one."""

    def __init__(self) -> None:
        self._plc_url, self._allow = "https://plc.example.com", frozenset()

    def cached(self, did: str) -> None:
        raise AssertionError("no look-up for a malformed token")


segments = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=60).map(b64),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["alg", "typ", "iss", "aud", "exp", "kid", "x"]), inner, max_size=5)
        ),
    ).map(lambda value: b64(json.dumps(value).encode("utf-8", "surrogatepass"))),
)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.lists(segments, max_size=4).map(".".join).map("Bearer {}".format)))
def test_any_header_is_an_error_with_a_name(value: str) -> None:
    auth = ServiceAuth(NoDirectory(), AUDIENCES, clock=Clock(NOW))
    with pytest.raises(XrpcError) as caught:
        asyncio.run(auth.verify([value], LXM))
    assert caught.value.status == 401
