"""Checks of `communities doctor` on what the service answers: the list of feeds, their pages, and tokens."""

import asyncio
import base64
import secrets
import time
from collections.abc import Sequence
from typing import Any

import orjson

from service.checkup import OTHER_SETTINGS, Answer, Finding, Patient, each_feed, fail, ok, skipped, summed, warn
from service.generator import OWN, declared_feeds, feed_uri
from service.pds import sign_in
from xrpc.syntax import is_did, parse_at_uri

SKELETON = "app.bsky.feed.getFeedSkeleton"
LIMIT = 10
REASONS = ("app.bsky.feed.defs#skeletonReasonPin", "app.bsky.feed.defs#skeletonReasonRepost")

_TOKEN_FIX = {
    "BadJwtAudience": OTHER_SETTINGS,
    "JwtExpired": "set the clock of the service (see the check clock)",
    "BadJwtSignature": "see whether the service reaches COMMUNITIES_PLC_URL, and the same one as here",
}


async def describe(patient: Patient) -> Finding:
    """describeFeedGenerator lists every declared feed, under the DID of the service."""
    config = patient.config
    answer = await patient.get(f"{patient.url}/xrpc/app.bsky.feed.describeFeedGenerator")
    feeds = answer.body.get("feeds") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(feeds, list):
        return fail(answer.problem(), "see whether the service runs and the proxy passes /xrpc/ to it")
    found = []
    if answer.body.get("did") != config.did:
        seen = f"it says it is {answer.body.get('did')}, not {config.did}"
        found.append(fail(seen, OTHER_SETTINGS))
    listed = {feed.get("uri") for feed in feeds if isinstance(feed, dict)}
    declared = {feed_uri(config.publisher, feed.rkey) for feed in declared_feeds(patient.communities)}
    fix = "give the service this COMMUNITIES_RULES and COMMUNITIES_PUBLISHER_DID, or start it anew"
    found += [fail(f"{uri} is not listed", fix) for uri in sorted(declared - listed)]
    # Those of communities of records stand in their owners' repositories.
    ours = {uri for uri in map(str, listed) if uri.startswith(feed_uri(config.publisher, ""))}
    own = {feed_uri(config.publisher, OWN.rkey)}
    found += [warn(f"{uri} is listed and not declared here", fix) for uri in sorted(ours - declared - own)]
    return summed(f"{len(listed)} feeds listed", found)


async def skeleton(patient: Patient) -> Finding:
    """Every feed gives a well-formed page to anybody, and a second page that repeats nothing of the first."""
    if not patient.communities:
        return skipped("no community is declared")

    async def ask(slug: str, uri: str) -> list[Finding]:
        fix = "see the log of the service"
        first = await _page(patient, uri)
        if wrong := page_faults(first, LIMIT):
            return [fail(f"{slug}: {', '.join(wrong)}", fix)]
        if not first.body["feed"]:
            return [warn(f"{slug} is empty", "wait for posts, or widen its rules (see `communities backtest`)")]
        if "cursor" not in first.body:
            return []
        second = await _page(patient, uri, cursor=first.body["cursor"])
        wrong = page_faults(second, LIMIT)
        if not wrong and (again := _posts(first) & _posts(second)):
            wrong.append(f"repeats {len(again)} posts of page 1")
        if not wrong and second.body.get("cursor") == first.body["cursor"]:
            wrong.append("has the cursor of page 1 again")
        return [fail(f"{slug}: page 2: {', '.join(wrong)}", fix)] if wrong else []

    return summed(f"good pages of {patient.sample} feeds", await each_feed(patient, ask))


async def signed(patient: Patient) -> Finding:
    """A token that the publisher's PDS signs, as it does for every reader, is accepted."""
    config = patient.config
    if not (config.handle and config.app_password):
        return skipped("COMMUNITIES_HANDLE and COMMUNITIES_APP_PASSWORD are not both set, so there is no token")
    if not patient.communities:
        return skipped("no community is declared")

    def token() -> str:
        with sign_in(config) as session:
            return session.service_token(config.did, SKELETON)

    answer = await _page(patient, next(iter(patient.feeds.values())), token=await asyncio.to_thread(token))
    if wrong := page_faults(answer, LIMIT):
        name = answer.body.get("error") if isinstance(answer.body, dict) else None
        return fail(", ".join(wrong), _TOKEN_FIX.get(str(name), "see the log of the service"))
    return ok(f"a token of {config.handle} is accepted")


async def tampered(patient: Patient) -> Finding:
    """A token with the right claims and a signature by another key than the issuer's is refused."""
    if not patient.communities:
        return skipped("no community is declared")
    token = forged_token(patient.config.publisher, patient.config.did)
    answer = await _page(patient, next(iter(patient.feeds.values())), token=token)
    if answer.status == 401:
        return ok(f"refused with {answer.body.get('error') if isinstance(answer.body, dict) else 401}")
    if answer.status >= 500:
        fix = "see whether the service reaches COMMUNITIES_PLC_URL; without it no token can be checked"
        return fail(f"a forged token: {answer.problem()}", fix)
    # While the issuer cannot be looked up, the service answers as though there were no token.
    fix = f"see whether the service reaches COMMUNITIES_PLC_URL, and whether {patient.url} strips Authorization"
    return fail(f"a forged token: {answer.problem()}, where 401 was due", fix)


def forged_token(issuer: str, audience: str) -> str:
    """A well-formed service token for getFeedSkeleton that a fresh key has signed, not the issuer's."""
    from coincurve import PrivateKey

    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "lxm": SKELETON,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(16),
    }
    parts = [_base64url(orjson.dumps(part)) for part in ({"typ": "JWT", "alg": "ES256K"}, claims)]
    signature = PrivateKey().sign_recoverable(".".join(parts).encode("ascii"))[:64]
    return ".".join([*parts, _base64url(signature)])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


async def _page(patient: Patient, uri: str, *, cursor: str = "", token: str = "") -> Answer:
    params = {"feed": uri, "limit": str(LIMIT)} | ({"cursor": cursor} if cursor else {})
    return await patient.get(f"{patient.url}/xrpc/{SKELETON}", params, token)


def _posts(answer: Answer) -> set[str]:
    return {item["post"] for item in answer.body["feed"]}


def page_faults(answer: Answer, limit: int) -> list[str]:
    """What makes the answer no page of a skeleton: one bad item, and the AppView refuses the whole page.

    Source: lexicon app.bsky.feed.getFeedSkeleton; bluesky-social/atproto, packages/bsky getFeed.
    """
    items = answer.body.get("feed") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(items, list):
        return [answer.problem()]
    wrong = [fault for number, item in enumerate(items, 1) for fault in _item_faults(number, item)]
    if len(items) > limit:
        wrong.append(f"{len(items)} items where {limit} were asked for")
    posts = [item["post"] for item in items if isinstance(item, dict) and isinstance(item.get("post"), str)]
    if len(set(posts)) < len(posts):
        wrong.append("a post stands twice in a page")
    if "cursor" in answer.body and not (isinstance(answer.body["cursor"], str) and answer.body["cursor"]):
        wrong.append("cursor is no text")
    if not items and "cursor" in answer.body:
        wrong.append("an empty page has a cursor")
    return wrong


def _item_faults(number: int, item: Any) -> Sequence[str]:
    post = item.get("post") if isinstance(item, dict) else None
    uri = parse_at_uri(post) if isinstance(post, str) else None
    if uri is None or not is_did(uri.authority) or uri.collection != "app.bsky.feed.post" or not uri.rkey:
        return [f"item {number} is no post: {str(post)[:100]}"]
    reason = item.get("reason", {"$type": REASONS[0]})
    if not isinstance(reason, dict) or reason.get("$type") not in REASONS:
        return [f"item {number} has an unknown reason"]
    if not isinstance(item.get("feedContext", ""), str) or len(item.get("feedContext", "")) > 2000:
        return [f"item {number} has a feedContext that is no text of at most 2,000 characters"]
    return []
