"""Rows of evidence: what was reported, as it was then. Plain functions over a connection. Times are microseconds."""

from typing import NamedTuple

from models.database import Connection
from models.scopes import Scopes, cases

COLUMNS = "id, did, uri, cid, record, handle, parent, parent_text, tries"


class Evidence(NamedTuple):
    """A snapshot. `record`: the bytes of the version `cid` (text), None while it is not here. `handle`: as the
    account's DID document has it, which nobody has verified; `parent`, `parent_text`: what a post answers.
    """

    id: int
    did: str
    uri: str
    cid: str = ""
    record: bytes | None = None
    handle: str = ""
    parent: str = ""
    parent_text: str = ""
    tries: int = 0


def find(connection: Connection, uri: str, cid: str) -> int | None:
    """The number of the snapshot of a version; with an empty `cid` of the one that is to be fetched."""
    row = connection.execute("SELECT id FROM evidence WHERE uri = ? AND cid = ?", (uri, cid)).fetchone()
    return row[0] if row else None


def fetched_since(connection: Connection, uri: str, since: int) -> int | None:
    """The number of the last snapshot of a record, if it was taken, or tried to be, at `since` or later."""
    row = connection.execute(
        "SELECT id FROM evidence WHERE uri = ? AND at >= ? ORDER BY id DESC LIMIT 1", (uri, since)
    ).fetchone()
    return row[0] if row else None


def add(connection: Connection, kept: Evidence, now: int) -> int:
    """Keep a snapshot of which something is to be fetched; returns its number. Call inside a write."""
    (number,) = connection.execute(
        "INSERT INTO evidence (at, did, uri, cid, record, parent, parent_text, due_at)"
        " VALUES (?1, ?, ?, ?, ?, ?, ?, ?1) RETURNING id",
        (now, kept.did, kept.uri, kept.cid, kept.record, kept.parent, kept.parent_text),
    ).fetchall()[0]
    return int(number)


def attach(connection: Connection, report: int, number: int) -> None:
    """Say which snapshot a report is about. Call inside a write."""
    connection.execute("UPDATE report SET evidence = ? WHERE id = ?", (number, report))


def due(connection: Connection, now: int, most: int) -> list[Evidence]:
    """Snapshots of which something is to be fetched now."""
    query = f"SELECT {COLUMNS} FROM evidence WHERE due_at <= ? ORDER BY due_at LIMIT ?"
    return [Evidence._make(row) for row in connection.execute(query, (now, most))]


def fill(connection: Connection, kept: Evidence, now: int) -> None:
    """Keep what was fetched for a snapshot, which is whole then. Call inside a write."""
    same = find(connection, kept.uri, kept.cid)
    if same not in (None, kept.id):
        connection.execute("UPDATE report SET evidence = ? WHERE evidence = ?", (same, kept.id))
        connection.execute("DELETE FROM evidence WHERE id = ?", (kept.id,))
        connection.execute("UPDATE evidence SET at = ? WHERE id = ?", (now, same))
        return
    connection.execute(
        "UPDATE evidence SET at = ?, cid = ?, record = ?, handle = ?, parent = ?, parent_text = ?, due_at = NULL,"
        " fault = '' WHERE id = ?",
        (now, kept.cid, kept.record, kept.handle, kept.parent, kept.parent_text, kept.id),
    )


def delay(connection: Connection, number: int, due_at: int) -> None:
    """Fetch something later: its host was asked for enough just now. Call inside a write."""
    connection.execute("UPDATE evidence SET due_at = ? WHERE id = ?", (due_at, number))


def postpone(connection: Connection, number: int, handle: str, why: str, due_at: int | None) -> None:
    """Something could not be fetched: try again at `due_at`, None: no more. Call inside a write."""
    connection.execute(
        "UPDATE evidence SET handle = ?, fault = ?, due_at = ?, tries = tries + 1 WHERE id = ?",
        (handle, why[:300], due_at, number),
    )


class Snapshot(NamedTuple):
    """What is kept of a version of a record. `at`: when it was taken or fetched; the rest as in `Evidence`."""

    id: int
    at: int
    cid: str
    record: bytes
    handle: str
    parent: str
    parent_text: str


def snapshots(connection: Connection, scopes: Scopes, uri: str, cid: str, most: int) -> list[Snapshot]:
    """What is kept of a record because of reports that are seen, the last first; with a `cid` of that version alone."""
    seen, bindings = scopes.where(cases("c"))
    query = (
        f"SELECT {', '.join(Snapshot._fields)} FROM evidence e WHERE uri = ? AND record IS NOT NULL"
        " AND (cid = ? OR ? = '') AND EXISTS (SELECT 1 FROM report r JOIN report_case c ON c.report = r.id"
        f" WHERE r.evidence = e.id AND {seen}) ORDER BY at DESC, id DESC LIMIT ?"
    )
    return [Snapshot._make(row) for row in connection.execute(query, (uri, cid, cid, *bindings, most))]
