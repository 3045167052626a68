"""A record as its author's host has it (com.atproto.repo.getRecord), held against its CID."""

from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import aiohttp
from cbrrr import CID, encode_dag_cbor

from xrpc.did import DidDocument
from xrpc.egress import FetchError, fetch_json
from xrpc.syntax import parse_at_uri

MOST_BYTES = 1 << 20
_NOT_THERE = frozenset(("RecordNotFound", "RepoNotFound"))
_PREFIX = b"\x01\x71\x12\x20"
"""CIDv1, dag-cbor, sha-256, 32 bytes: the only kind that records have."""


class NotThere(Exception):
    """Nothing is to be had, and will not be; the message says why."""


async def fetch_record(
    session: aiohttp.ClientSession,
    document: DidDocument,
    uri: str,
    cid: str = "",
    *,
    timeout: float,  # noqa: ASYNC109
) -> tuple[bytes, str]:
    """The bytes of a record and their CID; of its version `cid`, or of the present one. `timeout`: seconds.

    Raises NotThere, and FetchError when the host cannot be asked or gives something else.
    """
    parts = parse_at_uri(uri)
    if not document.pds or parts is None:
        raise NotThere("its author has no PDS")
    query = {"repo": document.did, "collection": parts.collection, "rkey": parts.rkey}
    url = f"{document.pds}/xrpc/com.atproto.repo.getRecord?{urlencode(query | ({'cid': cid} if cid else {}))}"
    try:
        answer = await fetch_json(session, url, limit=MOST_BYTES, timeout=timeout)
    except FetchError as fault:
        if fault.error in _NOT_THERE:
            raise NotThere("its host does not have it any more") from fault
        raise
    record, found = read_answer(answer)
    if cid and found != cid:
        raise NotThere("its host has another version of it")
    return record, found


def read_answer(answer: Any) -> tuple[bytes, str]:
    """The bytes of a record and their CID, of an answer of com.atproto.repo.getRecord. Raises FetchError when the one
    does not fit the other.
    """
    value, cid = (answer.get("value"), answer.get("cid")) if isinstance(answer, dict) else (None, None)
    if not isinstance(value, dict):
        raise FetchError("did not answer getRecord as the lexicon says", 200)
    try:
        record = encode_dag_cbor(value, atjson_mode=True)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FetchError("gave a record that is none", 200) from error
    if CID(_PREFIX + sha256(record).digest()).encode() != cid:
        raise FetchError("gave another record than its CID says", 200)
    return record, cid
