"""`communities reports`: what readers have reported and authors appeal against, for whoever runs the site."""

import argparse
import json
import sys
from typing import Any

from communities.decision_view import moment
from communities.evidence import blobs_of, decoded
from communities.reasons import reason_name
from models.database import Connection, open_database, sql
from models.reports import SITE
from service.cli import CommandError
from service.config import Config
from service.terminal import plain

HELP = (
    "List what readers have reported, the newest first, with whom each report reaches (`site`: you) and in which"
    " communities' queues a post waits because of it; appeals say against whose decision they are. `--show ID` shows"
    " what was reported, as it was then. Not for the public."
)
_LIMIT = 20
_NAMES = "id, at, reporter, reason_type, reason, did, uri, cid, convo, message, labeler, tool, times, evidence"
_REPORTS = (
    f"SELECT {_NAMES} FROM report WHERE id < ?1 AND (?2 IS NULL OR did = ?2 OR uri = ?2) AND (NOT ?3 OR id IN"
    " (SELECT report FROM appeal WHERE state = 'open')) ORDER BY id DESC LIMIT ?4"
)
_WAITS = (
    "SELECT c.slug, f.brigade FROM flag f JOIN community c ON c.id = f.community JOIN post p ON p.id = f.post"
    " JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ? ORDER BY c.slug"
)
_REACHES = (
    "SELECT max(r.scope, 0), c.slug FROM report_case r LEFT JOIN community c ON c.id = r.scope WHERE r.report = ?"
    " ORDER BY c.slug"
)
_APPEALS = (
    "SELECT p.community, c.slug, p.state, p.decision, d.actor, p.label_event, e.actor FROM appeal p"
    " LEFT JOIN community c ON c.id = p.community LEFT JOIN decision d ON d.community = p.community AND d.seq ="
    " p.decision LEFT JOIN label_event e ON e.id = p.label_event WHERE p.report = ? ORDER BY p.id"
)
_EVIDENCE = "SELECT at, uri, cid, record, handle, parent, parent_text, due_at, fault FROM evidence WHERE id = ?"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and how many."""
    parser.add_argument("--limit", type=int, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    parser.add_argument("--before", type=int, metavar="ID", help="only those below this number")
    parser.add_argument("--subject", metavar="SUBJECT", help="only those about this account (DID) or record (at-uri)")
    parser.add_argument("--appeals", action="store_true", help="only appeals about which nobody has decided")
    parser.add_argument("--show", type=int, metavar="ID", help="this one, with what was reported as it was then")


def run(config: Config, args: argparse.Namespace) -> int:
    """List them, or show one."""
    database = open_database(config.database, readonly=True)
    try:
        connection = sql(database)
        if args.show is not None:
            before, subject, appeals, limit = args.show + 1, None, False, 1
        else:
            before = (1 << 63) - 1 if args.before is None else args.before
            subject, appeals, limit = args.subject, args.appeals, max(args.limit, 0)
        rows = connection.execute(_REPORTS, (before, subject, appeals, limit)).fetchall()
        found = [_found(connection, *row[:-1]) for row in rows]
        if args.show is not None:
            if [one["id"] for one in found] != [args.show]:
                raise CommandError(f"there is no report {args.show}; `communities reports` lists those that there are")
            found[0]["evidence"] = _evidence(connection, rows[0][-1])
        for one in found:
            print(json.dumps(one) if args.json else _lines(one))
        sys.stdout.flush()
    finally:
        database.close()
    return 0


def _found(
    connection: Connection, number: int, at: int, reporter: str, reason_type: str, reason: str, did: str, uri: str,
    cid: str, convo: str, message: str, labeler: str, tool: str, times: int,
) -> dict[str, Any]:  # fmt: skip
    waits = connection.execute(_WAITS, (did, uri.rpartition("/")[2])).fetchall() if uri else []
    appeals = connection.execute(_APPEALS, (number,)).fetchall()
    return {
        "id": number,
        "at": moment(at),
        "reporter": reporter,
        "reasonType": reason_type,
        "reason": reason,
        "subject": uri or did,
        "cid": cid,
        **({"convoId": convo, "messageId": message} if convo else {}),
        "labeler": labeler,
        "tool": tool,
        "times": times,
        "reaches": [_place(*row) for row in connection.execute(_REACHES, (number,))],
        "waitsIn": [slug for slug, _ in waits],
        "brigade": any(brigade for _, brigade in waits),
        "appeals": [
            {
                "against": _place(community, slug),
                "state": state,
                **({"decision": decision, "decidedBy": actor} if decision else {}),
                **({"labelEvent": event, "labelledBy": labelled_by} if event else {}),
            }
            for community, slug, state, decision, actor, event, labelled_by in appeals
        ],
    }


def _place(community: int, slug: str | None) -> str:
    return "site" if community == SITE else slug or f"community {community}, which is gone"


def _evidence(connection: Connection, number: int | None) -> dict[str, Any] | None:
    """What was kept of the subject; None: nothing is."""
    row = connection.execute(_EVIDENCE, (number,)).fetchone()
    if row is None:
        return None
    at, uri, cid, record, handle, parent, parent_text, due_at, fault = row
    value = decoded(record) if record is not None else None
    return {
        "at": moment(at),
        "uri": uri,
        "cid": cid,
        "handle": handle,
        "record": value,
        "bytes": len(record or b""),
        "blobs": blobs_of(value),
        "parent": parent,
        "parentText": parent_text,
        "toBeFetched": due_at is not None and record is None,
        "fault": fault,
    }


def _lines(found: dict[str, Any]) -> str:
    waits = ", ".join(found["waitsIn"])
    parts = [
        f"{found['id']}  {found['at']}  {plain(found['subject'])}",
        f"    {reason_name(found['reasonType'])}, by {plain(found['reporter'])}"
        + (f", {found['times']} times" if found["times"] > 1 else "")
        + (f", to {found['labeler']}" if found["labeler"] else ""),
    ]
    if found["reason"]:
        parts.append(f"    {plain(found['reason'])}")
    if found.get("convoId"):
        parts.append(f"    in conversation {plain(found['convoId'])}, message {plain(found['messageId']) or '-'}")
    parts.append(f"    reaches: {', '.join(found['reaches'])}")
    parts.append(f"    waits in: {waits}" if waits else "    waits in no community's queue")
    if found["brigade"]:
        parts.append("    brigade? many of those who reported it are strangers there, or come from one host")
    for one in found["appeals"]:
        parts.append(f"    appeal, {one['state']}, against: {one['against']}")
        if "decision" in one:
            parts.append(f"        decision {one['decision']}, by {plain(one['decidedBy'] or 'nobody')}")
        if "labelEvent" in one:
            parts.append(f"        labelled by {plain(one['labelledBy'] or 'nobody')}, event {one['labelEvent']}")
    if "evidence" in found:
        parts += _evidence_lines(found["evidence"])
    return "\n".join(parts)


def _evidence_lines(kept: dict[str, Any] | None) -> list[str]:
    if kept is None:
        return ["    nothing was kept of it"]
    parts = [f"    as it was at {kept['at']}: {plain(kept['uri'])} {kept['cid']}"]
    if kept["handle"]:
        parts.append(f"    by {plain(kept['handle'])}, as the account's DID document has it")
    if kept["toBeFetched"]:
        parts.append("    it is still to be fetched" + (f": {plain(kept['fault'])}" if kept["fault"] else ""))
    elif kept["bytes"] and kept["record"] is None:
        parts.append(f"    its {kept['bytes']:,} bytes are here and cannot be shown")
    elif kept["record"] is None:
        parts.append(f"    it could not be had: {plain(kept['fault']) or 'nobody knows why'}")
    else:
        parts += [f"    {plain(line)}" for line in json.dumps(kept["record"], indent=2, ensure_ascii=False).split("\n")]
    parts += [f"    blob {plain(str(one['cid']))} {plain(str(one['mimeType']))}" for one in kept["blobs"]]
    if kept["parent"]:
        parts.append(f"    it answers {plain(kept['parent'])}: {plain(kept['parentText']) or '(not known)'}")
    return parts
