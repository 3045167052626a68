"""`communities explain URI` of a record of communities: what became of it here, as its author is told, and more."""

from typing import Any

from communities.decision_view import moment
from communities.outcome import outcome, written_at
from communities.places import KeptPlaces
from communities.records import COMMUNITY
from communities.refs import cid_text
from communities.relatives import Relatives
from firehose.times import now_micros
from models import communities as community_rows
from models.database import Connection
from service.terminal import plain

_UNKNOWN = (
    "it is not known here: it is not in its author's repository, is one of more than are kept of an account, or was"
    " written when nobody read; `communities backfill {did}` reads the repository"
)


def explain_record(connection: Connection, did: str, collection: str, rkey: str) -> dict[str, Any]:
    """What is known of a record. `says`: the last version of it that could be read, if any could."""
    account = connection.execute("SELECT shown, allowed, status FROM actor WHERE did = ?", (did,)).fetchone()
    shown, allowed, status = account or (1, 1, None)
    status = None if shown else status or "no reason given" if allowed else "taken down by this service"
    found: dict[str, Any] = {
        "uri": f"at://{did}/{collection}/{rkey}",
        "author": {"did": did, "active": status is None, "status": status},
        "known": False,
        "inEffect": False,
        "fault": None,
        "note": _UNKNOWN.format(did=did),
    }
    written = written_at(connection, did, collection, rkey)
    if written is None:
        return found
    now = now_micros()
    became = outcome(connection, KeptPlaces(Relatives(connection), lambda: now), written, now)
    found |= {
        "known": True,
        "inEffect": became.in_effect,
        "fault": {"name": became.fault, "message": became.message} if became.fault is not None else None,
        "note": None,
        "cid": cid_text(written.cid),
        "indexedAt": moment(written.at),
        "about": written.about or None,
        "says": written.read() or None,
    }
    if collection == COMMUNITY:
        founded = community_rows.founded(connection, written.uri)
        found["community"] = None if founded is None else {"type": founded.kind, "shown": founded.declared}
    return found


def for_people(found: dict[str, Any]) -> str:
    """The same in lines."""
    author = found["author"]
    lines = [
        found["uri"],
        f"author   {author['did']}" + ("" if author["active"] else f" (not active: {author['status']})"),
    ]
    if not found["known"]:
        lines.append(f"record   {found['note']}")
        return "\n".join(map(plain, lines))
    fault = found["fault"]
    lines.append(f"version  {found['cid']}, taken in at {found['indexedAt']}")
    lines.append("record   " + ("in effect" if found["inEffect"] else "not in effect"))
    if fault is not None:
        lines.append(f"fault    {fault['name']}: {fault['message']}")
    if "community" in found:
        shown = found["community"]
        said = "none was founded" if shown is None else "it is shown" if shown["shown"] else "it has ended"
        lines.append(f"here     {said}")
    elif found["about"]:
        lines.append(f"about    {found['about']}")
    return "\n".join(map(plain, lines))
