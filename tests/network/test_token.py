"""The service tokens that really arrive are believed, and no altered one is."""

import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from coincurve import PrivateKey

from tests.network.conftest import Site
from tests.network.person import Person, XrpcFailure, xrpc

pytestmark = pytest.mark.network

SKELETON = "app.bsky.feed.getFeedSkeleton"
INTERACTIONS = "app.bsky.feed.sendInteractions"
Claims = dict[str, Any]


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def claims_of(token: str) -> Claims:
    return dict(decode(token.split(".")[1]))


def sign(person: Person, claims: Claims) -> str:
    """A token with these claims and a good signature of the person's repository key (ES256K, r || s)."""
    header = {"typ": "JWT", "alg": "ES256K"}
    signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    recoverable = PrivateKey(person.signing_key).sign_recoverable(signed.encode())
    return f"{signed}.{encode(recoverable[:64])}"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def ask_skeleton(site: Site, token: str) -> Any:
    return xrpc(site.service.url, SKELETON, {"feed": site.feed("tokens")}, None, bearer(token))


def send(site: Site, token: str, item: str = "") -> Any:
    said = {"event": "app.bsky.feed.defs#requestMore", "item": item or f"at://{site.publisher.did}/x.y.z/1"}
    return xrpc(site.service.url, INTERACTIONS, None, {"interactions": [said]}, bearer(token))


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(XrpcFailure) as caught:
        call()
    return caught.value.status, caught.value.name


def signed_pages(site: Site) -> float:
    """How many pages the service has given to somebody whose token it believed."""
    counted = re.search(r'^communities_requests_total\{kind="skeleton signed"\} (\S+)$', site.service.metrics(), re.M)
    return float(counted[1]) if counted else 0.0


@pytest.fixture
def arrived(site: Site) -> str:
    """The token with which the AppView has just asked for a skeleton in bob's name."""
    bob = site.person("bob")
    site.door.exchanges.clear()
    bob.feed(site.feed("tokens"))
    exchange = site.door.last(SKELETON)
    assert exchange.status == 200
    assert exchange.token is not None
    return exchange.token


def test_the_token_of_a_reader_arrives_and_is_accepted(site: Site, arrived: str) -> None:
    claims = claims_of(arrived)
    assert claims["iss"] == site.person("bob").did
    assert claims["aud"] == site.did
    assert claims["lxm"] == SKELETON
    assert 0 < claims["exp"] - time.time() <= 60
    believed = signed_pages(site)
    assert "feed" in ask_skeleton(site, arrived)
    assert signed_pages(site) == believed + 1


def test_s32_an_arrived_token_with_another_signature_is_refused(site: Site, arrived: str) -> None:
    signed, _, signature = arrived.rpartition(".")
    other = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert refusal(lambda: ask_skeleton(site, f"{signed}.{other}")) == (401, "BadJwtSignature")


def test_s32_an_arrived_token_in_another_name_is_refused(site: Site, arrived: str) -> None:
    header, _, signature = arrived.split(".")
    stolen = encode(json.dumps(claims_of(arrived) | {"iss": site.person("alice").did}).encode())
    assert refusal(lambda: ask_skeleton(site, f"{header}.{stolen}.{signature}")) == (401, "BadJwtSignature")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        pytest.param({"aud": "did:web:elsewhere.example"}, "BadJwtAudience", id="s14-aud"),
        pytest.param({"lxm": INTERACTIONS}, "BadJwtLexiconMethod", id="s17-lxm"),
        pytest.param({"exp": 1_700_000_000, "iat": 1_699_999_940}, "JwtExpired", id="s19-exp"),
    ],
)
def test_a_well_signed_token_with_a_wrong_claim_is_refused(
    site: Site, arrived: str, changed: Claims, name: str
) -> None:
    bob = site.person("bob")
    assert "feed" in ask_skeleton(site, sign(bob, claims_of(arrived)))  # the signing here is good
    assert refusal(lambda: ask_skeleton(site, sign(bob, claims_of(arrived) | changed))) == (401, name)


@pytest.mark.parametrize("fragment", ["", "#bsky_fg"])
def test_s13_tokens_of_get_service_auth_are_accepted_for_both_audiences(site: Site, fragment: str) -> None:
    bob = site.person("bob")
    assert "feed" in ask_skeleton(site, bob.service_token(site.did + fragment, SKELETON))
    assert send(site, bob.service_token(site.did + fragment, INTERACTIONS)) == {}


def test_s14_a_token_for_another_service_of_the_same_did_is_refused(site: Site) -> None:
    bob = site.person("bob")
    token = bob.service_token(f"{site.did}#atproto_labeler", INTERACTIONS)
    assert refusal(lambda: send(site, token)) == (401, "BadJwtAudience")


def test_s23_a_token_acts_once(site: Site) -> None:
    token = site.person("bob").service_token(site.did, INTERACTIONS)
    assert send(site, token) == {}
    assert refusal(lambda: send(site, token)) == (401, "JwtReplayed")


def test_s1_interactions_without_a_token_are_refused(site: Site) -> None:
    body: Claims = {"interactions": []}
    assert refusal(lambda: xrpc(site.service.url, INTERACTIONS, None, body)) == (401, "AuthMissing")
