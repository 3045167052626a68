"""Evidence: what was reported is kept as it was, since it may be edited or deleted before anybody looks.

What is indexed is kept in the transaction of the report. What is not is fetched soon after by the ingest process
(firehose/evidence.py), as is the author's handle. Of an account the profile is kept. Blobs are not: a record names its
own.
"""

from base64 import b64encode
from typing import Any

from cbrrr import CID, decode_dag_cbor

from communities.refs import PostRef, cid_text, read_post_uri
from communities.stored import find_post
from models import evidence
from models.database import Connection
from models.evidence import Evidence
from models.reports import Said
from xrpc.syntax import parse_at_uri

PROFILE = "app.bsky.actor.profile"
FRESH_MICROS = 300_000_000
"""For how long what was fetched of a record serves further reports of it: short, for whoever has let a harmless version
be reported can show another one meanwhile.
"""
LONGEST_PARENT = 3000
"""Characters of the text of what a post answers that are kept."""
_MOST_BLOBS, _DEEPEST = 50, 64


def keep(connection: Connection, report: int, said: Said, now: int) -> None:
    """Keep what a report is about, unless it is a conversation. Call inside a write. `now`: microseconds."""
    if not said.convo:
        evidence.attach(connection, report, _snapshot(connection, said, now))


def _snapshot(connection: Connection, said: Said, now: int) -> int:
    """The number of the snapshot of what is reported, one that there is or a new one."""
    uri = said.uri or f"at://{said.did}/{PROFILE}/self"
    ref = read_post_uri(said.uri) if said.uri else None
    post = find_post(connection, ref) if ref else None
    if post is not None:
        cid = cid_text(post.cid)
        found = evidence.find(connection, uri, cid)
        if found is None:
            parent = parent_of(decoded(post.record))
            kept = Evidence(0, said.did, uri, cid, post.record, "", parent, parent_text(connection, parent))
            found = evidence.add(connection, kept, now)
        return found
    found = evidence.find(connection, uri, said.cid) if said.cid else None
    if found is None:
        found = evidence.find(connection, uri, "") or evidence.fetched_since(connection, uri, now - FRESH_MICROS)
    return evidence.add(connection, Evidence(0, said.did, uri), now) if found is None else found


def decoded(record: bytes) -> Any:
    """A record's value, as JSON would have it; None where it is none, or one that nobody could read."""
    try:
        return _plain(decode_dag_cbor(record, cid_ctor=CID), 0)
    except (ValueError, RecursionError):
        return None


def _plain(value: Any, depth: int) -> Any:
    """Links and bytes as JSON writes them. cbrrr could, but refuses records that hold what looks like one."""
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {name: _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, CID):
        return {"$link": value.encode()}
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode().rstrip("=")}
    return value


def parent_of(record: Any) -> str:
    """The at-uri of the post that a post answers; empty for none."""
    reply = record.get("reply") if isinstance(record, dict) else None
    parent = reply.get("parent") if isinstance(reply, dict) else None
    uri = parent.get("uri") if isinstance(parent, dict) else None
    return uri if isinstance(uri, str) and read_post_uri(uri) else ""


def text_of(record: Any) -> str:
    """The text of a post, as far as it is kept of what somebody answers."""
    text = record.get("text") if isinstance(record, dict) else None
    return text.replace("\0", "")[:LONGEST_PARENT] if isinstance(text, str) else ""


def parent_text(connection: Connection, uri: str) -> str:
    """The text of an indexed post; empty if it is not."""
    ref: PostRef | None = read_post_uri(uri) if uri else None
    post = find_post(connection, ref) if ref else None
    return text_of(decoded(post.record)) if post else ""


def blobs_of(record: Any) -> list[dict[str, Any]]:
    """The blobs that a record (as `decoded`) names: `cid`, `mimeType` and `size` as its author has them."""
    found: list[dict[str, Any]] = []
    waiting = [(record, 0)]
    while waiting and len(found) < _MOST_BLOBS:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            continue
        if isinstance(value, dict):
            ref = value.get("ref")
            if value.get("$type") == "blob" and isinstance(ref, dict) and isinstance(ref.get("$link"), str):
                found.append({"cid": ref["$link"], "mimeType": value.get("mimeType"), "size": value.get("size")})
                continue
            waiting += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]
    return found


def collection_of(uri: str) -> str:
    """Of what kind the record of an at-uri is; empty for none."""
    parts = parse_at_uri(uri) if uri else None
    return parts.collection if parts else ""
