"""Rows of those who moderate for a labeler. Plain functions over a connection; what changes anything is called inside a
write. `labeler`: its number; times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection

MODERATOR = 3
"""The lowest role of those who label and take down."""
_COLUMNS = "did, role, disabled, at, changed_at, changed_by"


class MemberRow(NamedTuple):
    """Somebody of the team. `role`: 4 admin, 3 moderator, 2 triage, 1 verifier; `changed_by`: a DID."""

    did: str
    role: int
    disabled: bool
    at: int
    changed_at: int
    changed_by: str


def find(connection: Connection, labeler: int, did: str) -> MemberRow | None:
    """The row of an account."""
    query = f"SELECT {_COLUMNS} FROM team_member WHERE labeler = ? AND did = ?"
    row = connection.execute(query, (labeler, did)).fetchone()
    return _read(*row) if row else None


def every(connection: Connection, labeler: int) -> list[MemberRow]:
    """All rows, by DID."""
    query = f"SELECT {_COLUMNS} FROM team_member WHERE labeler = ? ORDER BY did"
    return [_read(*row) for row in connection.execute(query, (labeler,))]


def count(connection: Connection, labeler: int) -> int:
    """How many rows there are."""
    return int(connection.execute("SELECT count(*) FROM team_member WHERE labeler = ?", (labeler,)).fetchone()[0])


def others_with(connection: Connection, labeler: int, role: int, did: str) -> bool:
    """Whether anybody but `did` has that role and can use it: neither disabled, nor with an account that is hidden."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM team_member t WHERE t.labeler = ? AND t.role = ? AND t.did != ?"
        " AND t.disabled = 0 AND NOT EXISTS (SELECT 1 FROM actor a WHERE a.did = t.did AND a.shown = 0))"
    )
    return bool(connection.execute(query, (labeler, role, did)).fetchone()[0])


def put(connection: Connection, labeler: int, row: MemberRow) -> None:
    """Store a row, new or changed."""
    connection.execute(
        f"INSERT OR REPLACE INTO team_member (labeler, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", (labeler, *row)
    )


def delete(connection: Connection, labeler: int, did: str) -> None:
    """Take a row out."""
    connection.execute("DELETE FROM team_member WHERE labeler = ? AND did = ?", (labeler, did))


def _read(did: str, role: int, disabled: int, at: int, changed_at: int, changed_by: str) -> MemberRow:
    return MemberRow(did, role, bool(disabled), at, changed_at, changed_by)
