"""Rows of declared communities: those of the file are taken over here, and all are read back by whoever needs them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from models import meta
from models.database import Connection, Rows

REVISION = "rules_revision"
"""Meta key: a number that rises with every change of the declared communities."""

SLUG_TAKEN = "SlugTaken"
"""The fault of a record whose slug another community has."""
TYPE_CHANGED = "TypeChanged"
"""The fault of a record whose community is of another type."""

_OF_PEOPLE = "'social.communities.membership', 'social.communities.submission'"


class CommunityRow(NamedTuple):
    """A declared community. `uri`: of the record that declares it, if one does; `rule`: its declaration as a plain
    value.
    """

    id: int
    slug: str
    name: str
    description: str
    owner: str | None
    uri: str | None
    rule: dict[str, Any]


_SELECT = "SELECT id, slug, name, description, owner, uri, rule FROM community"


def declared(connection: Connection) -> list[CommunityRow]:
    """Every community that the file or a record now declares, in order of its id."""
    return _read(connection.execute(f"{_SELECT} WHERE declared = 1 ORDER BY id"))


def known(connection: Connection) -> list[CommunityRow]:
    """Every community that there ever was, by its slug."""
    return _read(connection.execute(f"{_SELECT} ORDER BY slug"))


def _read(rows: Rows) -> list[CommunityRow]:
    return [CommunityRow._make((*plain, json.loads(rule))) for *plain, rule in rows]


def declare(connection: Connection, rules: Iterable[Mapping[str, Any]], now: int) -> bool:
    """Make the rows of the file's communities equal to `rules` (declarations as plain values); returns whether anything
    changed. `now`: microseconds.

    A community that is no longer declared keeps its row and items, so that declaring it again brings them back.
    Communities of records stay as they are, unless the file wants their slug: the operator's word counts more.
    """
    before = dict(connection.execute("SELECT slug, rule FROM community WHERE declared = 1 AND uri IS NULL"))
    declared = {rule["slug"]: (rule, _text(rule)) for rule in rules}
    wanted = {slug: (rule, text) for slug, (rule, text) in declared.items() if before.get(slug) != text}
    gone = before.keys() - declared.keys()
    if not wanted and not gone:
        return False
    revise(connection)
    connection.executemany("UPDATE community SET declared = 0 WHERE slug = ?", [(slug,) for slug in sorted(gone)])
    for slug in wanted:
        _free(connection, slug)
    connection.executemany(
        "INSERT INTO community (slug, name, description, owner, rule, declared, created_at)"
        " VALUES (?, ?, ?, ?, ?, 1, ?)"
        " ON CONFLICT (slug) DO UPDATE SET name = excluded.name, description = excluded.description,"
        " owner = excluded.owner, rule = excluded.rule, declared = 1",
        [(slug, rule["name"], rule["description"], rule["owner"], text, now) for slug, (rule, text) in wanted.items()],
    )
    return True


class Change(NamedTuple):
    """A community that was changed: the number of the change, whether it is declared now, and its declaration, which is
    not read yet. `uri`: of its record; None: the file declares it.
    """

    revised: int
    id: int
    uri: str | None
    name: str
    declared: bool
    rule: str


def changes(connection: Connection, after: int) -> Iterator[Change]:
    """Every community that was changed after the change of this number, as it is now, the last change last; nothing may
    be written while they are read. After 0: all.
    """
    query = "SELECT revised, id, uri, name, declared, rule FROM community WHERE revised > ? ORDER BY revised"
    return map(Change._make, connection.execute(query, (after,)))


def last_change(connection: Connection) -> int:
    """The number of the last change of any community."""
    return int(connection.execute("SELECT coalesce(max(revised), 0) FROM community").fetchone()[0])


def _free(connection: Connection, slug: str) -> None:
    """Take a slug from the community of a record, which keeps its row under a name that nobody can declare."""
    row = connection.execute("SELECT id, uri FROM community WHERE slug = ? AND uri IS NOT NULL", (slug,)).fetchone()
    if row is None:
        return
    number, uri = row
    connection.execute("UPDATE community SET slug = ?, declared = 0 WHERE id = ?", (f"{slug}~{number}", number))
    did, collection, rkey = uri.removeprefix("at://").split("/")
    connection.execute(
        # What its newest version is refused for is to be mended first.
        "UPDATE declaration SET fault = ? WHERE actor = (SELECT id FROM actor WHERE did = ?) AND collection = ?"
        " AND rkey = ? AND why IS NULL",
        (SLUG_TAKEN, did, collection, rkey),
    )


def declare_record(connection: Connection, uri: str, rule: Mapping[str, Any], now: int, *, most: int) -> str | None:
    """Take over a community from the record at `uri`; returns the name of what forbids it. Call inside a write.

    `rule`: the declaration as a plain value; `now`: microseconds; `most`: how many its owner may have by records.
    """
    row = connection.execute("SELECT id, rule FROM community WHERE uri = ?", (uri,)).fetchone()
    if row is not None and json.loads(row[1])["kind"] != rule["kind"]:
        return TYPE_CHANGED
    taken = connection.execute(
        "SELECT 1 FROM community WHERE slug = ? AND uri IS NOT ?", (rule["slug"], uri)
    ).fetchone()
    if taken is not None:
        return SLUG_TAKEN
    owned = "SELECT count(*) FROM community WHERE owner = ? AND uri IS NOT NULL AND declared = 1 AND uri != ?"
    (count,) = connection.execute(owned, (rule["owner"], uri)).fetchall()[0]
    if count >= most:
        return "TooMany"
    connection.execute(
        "INSERT INTO community (slug, name, description, owner, rule, declared, uri, created_at)"
        " VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (slug) DO UPDATE SET name = excluded.name,"
        " description = excluded.description, rule = excluded.rule, declared = 1",
        (rule["slug"], rule["name"], rule["description"], rule["owner"], _text(rule), uri, now),
    )
    revise(connection)
    return None


class Founded(NamedTuple):
    """A community that a record has founded: its type, and whether it is declared now."""

    kind: str
    declared: bool


def founded(connection: Connection, uri: str) -> Founded | None:
    """What the record at `uri` has founded, if it is a community's still; one that has ended keeps its row."""
    query = "SELECT json_extract(rule, '$.kind'), declared FROM community WHERE uri = ?"
    row = connection.execute(query, (uri,)).fetchone()
    return Founded(row[0], bool(row[1])) if row else None


def end_record(connection: Connection, uri: str) -> bool:
    """The record of a community is gone: it ends, and keeps its row and items. Call inside a write."""
    query = "UPDATE community SET declared = 0 WHERE uri = ? AND declared = 1 RETURNING 1"
    if connection.execute(query, (uri,)).fetchone() is None:
        return False
    revise(connection)
    return True


def transfer(connection: Connection, old: str, new: str, rule: Mapping[str, Any]) -> bool:
    """Let the community of the record `old` be that of the record `new`, with its members, decisions and submissions.

    Returns whether it was not yet. One that has lost its slug stays without. Call inside a write.
    """
    query = (
        "UPDATE community SET uri = ?, owner = ?, name = ?, description = ?, rule = ?, declared = 1 WHERE uri = ?"
        " AND slug = ? RETURNING id"
    )
    values = new, rule["owner"], rule["name"], rule["description"], _text(rule), old, rule["slug"]
    if connection.execute(query, values).fetchone() is None:
        return False
    # Who is in it by a record leaves with that record, and what was withdrawn stays so.
    connection.execute(f"UPDATE declaration SET about = ? WHERE about = ? AND collection IN ({_OF_PEOPLE})", (new, old))
    revise(connection)
    return True


def _text(rule: Mapping[str, Any]) -> str:
    return json.dumps(rule, sort_keys=True, ensure_ascii=False)


def revise(connection: Connection) -> None:
    """Let whoever keeps the declared communities read them again. Call inside a write."""
    meta.put(connection, REVISION, str(int(meta.get(connection, REVISION) or 0) + 1))


def rule(connection: Connection, community: int) -> dict[str, Any]:
    """The declaration of one community as a plain value."""
    found: dict[str, Any] = json.loads(
        connection.execute("SELECT rule FROM community WHERE id = ?", (community,)).fetchone()[0]
    )
    return found


def slug(connection: Connection, community: int) -> str:
    """The slug of a community, also of one that is declared no more; empty where there never was one."""
    row = connection.execute("SELECT slug FROM community WHERE id = ?", (community,)).fetchone()
    return str(row[0]) if row else ""


def created_at(connection: Connection, community: int) -> int:
    """When a community was first seen here, microseconds."""
    return int(connection.execute("SELECT created_at FROM community WHERE id = ?", (community,)).fetchone()[0])
