"""`communities explain URI`: why a post is, or is not, in a community.

A post in the index is explained from its stored record; any other is fetched from its author's PDS and held against the
rules as the ingest process would.
"""

import argparse
import asyncio
import json
import re
from base64 import b32encode
from typing import Any
from urllib.parse import urlencode

import aiohttp

from communities.matching import Matcher
from communities.post import Post, read_post
from firehose.records import RecordError, read_record
from firehose.rules import compile_stored
from firehose.times import now_micros, sort_micros
from models import communities as community_rows
from models.database import Connection, open_database, sql
from service.cli import CommandError
from service.config import Config
from xrpc.egress import FetchError, egress_session, fetch_json
from xrpc.resolver import DidError, DidInvalid, DidNotFound, DidResolver
from xrpc.syntax import is_did, is_handle, is_rkey

HELP = "Say why a post is, or is not, in each community. URI: at://... or a link to the post on bsky.app."

_POST = re.compile(r"(?:at://|https://bsky\.app/profile/)([^/]+)/(?:app\.bsky\.feed\.post|post)/([^/?#]+)")
RECORD_BYTES = 2 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """The post, and perhaps one community."""
    parser.add_argument("uri", metavar="URI", help="the post")
    parser.add_argument("--community", metavar="SLUG", help="only this community")


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the explanation; exit code 0 when the post is in a community (that one, if one is named), else 1."""
    database = open_database(config.database, readonly=True)
    try:
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
        raise CommandError(f"{uri!r} is no post; give at://did:.../app.bsky.feed.post/... or its link on bsky.app")
    async with egress_session(config.egress_allow) as session:
        did = await _did(config, session, parts[1])
        stored = connection.execute(
            "SELECT p.id, p.cid, p.record, p.sort_at, p.event_at, p.likes, p.reposts, p.replies, p.quotes FROM post p"
            " JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?",
            (did, parts[2]),
        ).fetchone()
        author = connection.execute("SELECT active, status FROM actor WHERE did = ?", (did,)).fetchone() or (1, None)
        found: dict[str, Any] = {
            "uri": f"at://{did}/app.bsky.feed.post/{parts[2]}",
            "indexed": stored is not None,
            "author": {"did": did, "active": bool(author[0]), "status": author[1]},
        }
        matcher = compile_stored(connection).matcher
        if stored:
            found["cid"] = "b" + b32encode(stored[1]).decode().lower().rstrip("=")
            found["counts"] = dict(zip(("likes", "reposts", "replies", "quotes"), stored[5:], strict=True))
            found["note"] = None
            post = _facts(stored[2])
            items = dict(connection.execute("SELECT community, evidence FROM feed_item WHERE post = ?", (stored[0],)))
        else:
            post, found["note"] = await _fetch(config, session, did, parts[2])
            items = {}
    found["communities"] = _communities(connection, matcher, did, post, items, found)
    if not stored and post and not any(c["matches"] and not c["refusedBecause"] for c in found["communities"]):
        found["note"] = "it is not in the index, which holds only what some community admits"
    return found


def _facts(record: bytes) -> Post | None:
    try:
        return read_post(read_record(record))
    except RecordError:
        return None


def _communities(
    connection: Connection, matcher: Matcher, did: str, post: Post | None, items: dict[int, str], found: dict[str, Any]
) -> list[dict[str, Any]]:
    judged = matcher.explain(did, post) if post else {}
    entries = []
    for row in community_rows.declared(connection):
        evidences, refusal = judged.get(row.id, ((), None))
        if post is None:
            why = found["note"] or "its record is not a valid post"
        elif refusal is not None:
            why = refusal
        elif not evidences:
            why = "no selector of the community matches it (include)"
        elif row.id in items and not found["author"]["active"]:
            why = f"its author's account is not active ({found['author']['status'] or 'no reason given'})"
        elif row.id not in items:
            why = found["note"] or "the rules admit it, but it was not admitted: they were others when its event came"
        else:
            why = "it is in the community"
        entries.append(
            {
                "slug": row.slug,
                "shown": row.id in items and bool(found["author"]["active"]),
                "admittedBy": items[row.id].split("\n") if row.id in items else [],
                "matches": list(evidences),
                "refusedBecause": refusal,
                "why": why,
            }
        )
    return entries


async def _did(config: Config, session: aiohttp.ClientSession, authority: str) -> str:
    if is_did(authority):
        return authority
    if not is_handle(authority):
        raise CommandError(f"{authority!r} is neither a DID nor a handle")
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


async def _fetch(config: Config, session: aiohttp.ClientSession, did: str, rkey: str) -> tuple[Post | None, str]:
    """The post as its author's PDS has it, and why it is not in the index as far as can be said."""
    resolver = DidResolver(session, config.plc_url, allow=config.egress_allow)
    try:
        document = await resolver.resolve(did)
    except DidError as error:
        return None, f"it is not in the index, and its author {_unresolved(error, config)}"
    query = urlencode({"repo": did, "collection": "app.bsky.feed.post", "rkey": rkey})
    try:
        answer = await fetch_json(
            session, f"{document.pds}/xrpc/com.atproto.repo.getRecord?{query}", limit=RECORD_BYTES, timeout=10.0
        )
    except FetchError as error:
        if error.status in (400, 404):
            return (
                None,
                f"it is not in the index, and its author's PDS {document.pds} has no such post: was it deleted?",
            )
        return None, f"it is not in the index, and its author's PDS {document.pds} does not give it: {error}"
    record = answer.get("value") if isinstance(answer, dict) else None
    post = read_post(record)
    if post is None:
        return None, "its record is not a valid app.bsky.feed.post"
    age = (now_micros() - sort_micros(post.created_at, now_micros())) / 86_400_000_000
    if age > config.retention_days:
        return post, f"it is {age:.0f} days old, and posts leave the index after {config.retention_days}"
    return post, (
        "it is not in the index: its event came before the service or its rules did, it was older than"
        f" {config.max_post_age_days} days when its event came, or the event has not come yet"
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
    return "\n".join(lines)
