"""`communities explain URI`: why a post is, or is not, in a community; what became of a record of communities.

A post in the index is explained from its stored record; any other is fetched from its author's PDS and held against the
rules as the ingest process would.
"""

import argparse
import asyncio
import json
import re
from typing import Any
from urllib.parse import urlencode

import aiohttp

from communities import logbook
from communities.community import Community
from communities.decision_view import view
from communities.explanation import Subject, explain, fetched, read_subject
from communities.post import Post, read_post
from communities.records import OURS
from communities.refs import POST, PostRef, cid_text, read_cid
from firehose.in_force import InForce
from firehose.times import now_micros, sort_micros
from models import communities as community_rows
from models.database import Connection, open_database, sql
from service.cli import CommandError, UsageError
from service.config import Config
from service.explain_record import explain_record, for_people
from service.terminal import plain
from xrpc.egress import FetchError, egress_session, fetch_json
from xrpc.resolver import DidError, DidInvalid, DidNotFound, DidResolver
from xrpc.syntax import is_did, is_handle, is_rkey

HELP = (
    "Say why a post is, or is not, in each community. URI: at://... or a link to the post on bsky.app. Or say what"
    " became of a record of communities: at://.../social.communities.community/..., and so on."
)

_POST = re.compile(r"(?:at://|https://bsky\.app/profile/)([^/]+)/(?:app\.bsky\.feed\.post|post)/([^/?#]+)")
_OURS = re.compile(rf"at://([^/]+)/({'|'.join(map(re.escape, sorted(OURS)))})/([^/?#]+)")
RECORD_BYTES = 2 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """The post, and perhaps one community; or the record."""
    parser.add_argument("uri", metavar="URI", help="the post, or the record of communities")
    parser.add_argument("--community", metavar="SLUG", help="only this community")


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the explanation; exit code 0 when the post is in a community (that one, if one is named), or the record in
    effect, else 1.
    """
    ours = _OURS.fullmatch(args.uri)
    if ours and args.community is not None:
        raise UsageError("--community is for posts: leave it out for a record of communities")
    database = open_database(config.database, readonly=True)
    try:
        if ours:
            did = asyncio.run(_owner(config, ours[1]))
            record = explain_record(sql(database), did, ours[2], ours[3])
            print(json.dumps(record, indent=2) if args.json else for_people(record))
            return 0 if record["inEffect"] else 1
        found = asyncio.run(_explain(config, sql(database), args.uri))
    finally:
        database.close()
    if args.community is not None:
        if args.community not in {entry["slug"] for entry in found["communities"]}:
            raise CommandError(f"no community {args.community!r} is declared")
        found["communities"] = [entry for entry in found["communities"] if entry["slug"] == args.community]
    print(json.dumps(found, indent=2) if args.json else _for_people(found))
    return 0 if any(entry["shown"] for entry in found["communities"]) else 1


async def _explain(config: Config, connection: Connection, uri: str) -> dict[str, Any]:
    parts = _POST.fullmatch(uri)
    if not parts or not is_rkey(parts[2]):
        raise CommandError(
            f"{uri!r} is no post; give at://did:.../app.bsky.feed.post/... or its link on bsky.app, or the at:// URI"
            " of a record of communities"
        )
    async with egress_session(config.egress_allow) as session:
        ref = PostRef(await _did(config, session, parts[1]), parts[2])
        subject = read_subject(connection, ref)
        found: dict[str, Any] = {
            "uri": ref.uri,
            "indexed": subject.row is not None,
            "author": {"did": ref.did, "active": subject.status is None, "status": subject.status},
            "note": None,
        }
        if subject.row is None:
            post, cid, found["note"] = await _fetch(config, session, ref)
            subject = fetched(subject, post, cid) if post else subject
    if subject.cid is not None:
        found["cid"] = cid_text(subject.cid)
    if subject.row is not None:
        found["counts"] = {name: getattr(subject.row, name) for name in ("likes", "reposts", "replies", "quotes")}
    found["communities"] = entries = _communities(connection, subject, found["note"])
    if subject.row is None and subject.facts and all(entry["state"] != "admitted" for entry in entries):
        found["note"] = "it is not in the index, which holds only what some community admits"
    return found


def _communities(connection: Connection, subject: Subject, note: str | None) -> list[dict[str, Any]]:
    now = now_micros()
    in_force = InForce(connection)
    in_force.load()
    places, matcher = in_force.places, in_force.matcher
    entries = []
    for row in community_rows.declared(connection):
        ranking = Community.from_json(row.rule).ranking
        settings = places.get(row.id)
        if settings is None:
            continue
        why = explain(connection, places, settings, ranking, matcher, subject, now, note)
        event = logbook.event(connection, row.id, why.decided.decision) if why.decided else None
        entries.append(
            {
                "slug": row.slug,
                "shown": why.shown,
                "state": why.judgement.outcome.value,
                "hidden": why.item.hidden if why.item else None,
                "hiddenBy": list(why.hidden_by),
                "admittedBy": list(why.item.evidences) if why.item else [],
                "matches": list(why.matches),
                "refusedBecause": why.refusal,
                "decision": view(row.slug, event) if event else None,
                "score": dict(why.score),
                "why": why.why,
            }
        )
    return entries


async def _owner(config: Config, authority: str) -> str:
    async with egress_session(config.egress_allow) as session:
        return await _did(config, session, authority)


async def _did(config: Config, session: aiohttp.ClientSession, authority: str) -> str:
    if is_did(authority):
        return authority
    if not is_handle(authority):
        raise UsageError(f"{authority!r} is neither a DID nor a handle")
    url = f"{config.appview_url}/xrpc/com.atproto.identity.resolveHandle?{urlencode({'handle': authority})}"
    try:
        answer = await fetch_json(session, url, timeout=10.0)
    except FetchError as error:
        raise CommandError(
            f"the handle {authority} cannot be resolved ({config.appview_url} {error}); give the post's at:// URI"
        ) from error
    did = answer.get("did") if isinstance(answer, dict) else None
    if not isinstance(did, str) or not is_did(did):
        raise CommandError(f"the handle {authority} does not resolve to a DID")
    return did


async def _fetch(config: Config, session: aiohttp.ClientSession, ref: PostRef) -> tuple[Post | None, bytes | None, str]:
    """The post and its version as its author's PDS has it, and why it is not in the index as far as can be said."""
    resolver = DidResolver(session, config.plc_url, allow=config.egress_allow)
    try:
        document = await resolver.resolve(ref.did)
    except DidError as error:
        return None, None, f"it is not in the index, and its author {_unresolved(error, config)}"
    query = urlencode({"repo": ref.did, "collection": POST, "rkey": ref.rkey})
    try:
        answer = await fetch_json(
            session, f"{document.pds}/xrpc/com.atproto.repo.getRecord?{query}", limit=RECORD_BYTES, timeout=10.0
        )
    except FetchError as error:
        if error.status in (400, 404):
            return (
                None,
                None,
                f"it is not in the index, and its author's PDS {document.pds} has no such post: was it deleted?",
            )
        return None, None, f"it is not in the index, and its author's PDS {document.pds} does not give it: {error}"
    record = answer.get("value") if isinstance(answer, dict) else None
    post = read_post(record)
    if post is None:
        return None, None, "its record is not a valid app.bsky.feed.post"
    version = answer.get("cid") if isinstance(answer, dict) else None
    cid = read_cid(version) if isinstance(version, str) else None
    age = (now_micros() - sort_micros(post.created_at, now_micros())) / 86_400_000_000
    if age > config.retention_days:
        return post, cid, f"it is {age:.0f} days old, and posts leave the index after {config.retention_days}"
    return (
        post,
        cid,
        (
            "it is not in the index: its event came before the service or its rules did, it was older than"
            f" {config.max_post_age_days} days when its event came, or the event has not come yet"
        ),
    )


def _unresolved(error: DidError, config: Config) -> str:
    """Why the DID of an author gives no PDS to ask."""
    if isinstance(error, DidNotFound):
        return f"{error} has no DID document that can be looked up"
    if isinstance(error, DidInvalid):
        return f"{error} has no valid DID document"
    where = config.plc_url if str(error).startswith("did:plc:") else "its host"
    return f"{error} cannot be looked up: {where} does not answer"


def _for_people(found: dict[str, Any]) -> str:
    author = found["author"]
    lines = [
        found["uri"],
        f"author   {author['did']}" + ("" if author["active"] else f" (not active: {author['status']})"),
    ]
    if found["indexed"]:
        lines.append("counts   " + ", ".join(f"{count} {kind}" for kind, count in found["counts"].items()))
    else:
        lines.append(f"index    {found['note']}")
    for entry in found["communities"]:
        lines.append(f"{'in ' if entry['shown'] else 'not in'} {entry['slug']}: {entry['why']}")
        if entry["admittedBy"] or entry["matches"]:
            lines.append("       because of " + ", ".join(entry["admittedBy"] or entry["matches"]))
        lines += [f"       hidden: {reason}" for reason in entry["hiddenBy"] if reason != entry["why"]]
        if entry["decision"]:
            decision = entry["decision"]
            lines.append(
                f"       decision {decision['seq']}: {decision['action']} at {decision['at']} by {decision['role']}"
                f" {decision['actor']}" + (f", {decision['reason']}" if "reason" in decision else "")
            )
    return "\n".join(map(plain, lines))
