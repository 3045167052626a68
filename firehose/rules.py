"""The rules in force: `communities.toml` -> rows -> the compiled matcher, and again whenever the file changes.

The new rules take effect between two events, so none is lost or seen by half a rule. A file with a fault changes
nothing: the rules in force stay, and the fault is reported until it is mended.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from playhouse.apsw_ext import APSWDatabase

from communities.community import Community
from communities.declaration import DeclarationError, read_declaration
from communities.directory import Directory, settle
from communities.matching import Matcher, compile_rules
from communities.members import account_agrees
from firehose.index import Index
from firehose.ops import POST_URI
from firehose.rows import LISTS_CHANGED
from firehose.times import now_micros
from models import communities as community_rows
from models import meta
from models.database import Connection, sql, writing

log = logging.getLogger(__name__)

_MODERATORS = (
    "SELECT DISTINCT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.status = 'member' AND m.role > 1"
)
_MEMBERS = "SELECT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.community = ? AND m.status = 'member'"
_ADMIN = (
    "SELECT 1 FROM membership m JOIN actor a ON a.id = m.actor WHERE m.community = ? AND a.did = ?"
    " AND m.status = 'member' AND m.role = 3 AND (m.until IS NULL OR m.until > ?)"
)
REAPPLY = "reapply_after"
"""Meta key: the id of the last stored post that the rules in force were applied to; absent when all were."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules in the form that events are held against."""

    matcher: Matcher
    lists: frozenset[str]
    list_owners: frozenset[str]
    full: frozenset[str]
    """Accounts that matter as such: owners of communities and of lists, accounts of communities, moderators, and
    members whose every post belongs.
    """
    first: frozenset[str]
    """Of these, those that nobody can name from afar: all but those whom records alone name as members."""
    accounts: frozenset[str]
    """Accounts of communities, of those that agree to be that."""
    directory: Directory = field(default_factory=Directory)


class Rules:
    """Reads the file when it changed. `fault` is the message of a file that cannot be used, else None."""

    def __init__(self, database: APSWDatabase, path: Path) -> None:
        self.fault: str | None = None
        self._database = database
        self._path = path
        self._signature: tuple[int, int, int] | None = None

    def load(self, index: Index) -> bool:
        """Take over the file; returns whether the rules are others now. Raises DeclarationError."""
        signature = self._stat()
        communities = read_declaration(self._path)
        self.fault = None
        with writing(self._database) as connection:
            plain = [community.to_json() for community in communities]
            changed = community_rows.declare(connection, plain, now_micros())
            if changed:
                self._place_pins(connection, index)
                self._note_lists(connection)
                meta.put(connection, REAPPLY, "0")
        self._signature = signature
        log.info("%s: %d communities%s", self._path, len(communities), "" if changed else ", unchanged")
        return changed

    def refresh(self, index: Index) -> bool:
        """As `load`, if the file changed since the last call; a faulty file is reported and changes nothing."""
        signature = self._stat()
        if signature == self._signature:
            return False
        try:
            return self.load(index)
        except DeclarationError as error:
            self._signature = signature
            self.fault = str(error)
            log.error("the rules in force stay, because the file has faults:\n%s", error)
            return False

    def _stat(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _place_pins(self, connection: Connection, index: Index) -> None:
        """Those of the declarations; those of moderators stay before them. Pins stay gone only as long as the same post
        is pinned.
        """
        gone = set(connection.execute("SELECT actor, rkey FROM pin WHERE gone = 1"))
        connection.execute("DELETE FROM pin WHERE moderator = 0")
        for row in community_rows.declared(connection):
            for position, parts in enumerate(filter(None, map(POST_URI.fullmatch, row.rule["pins"]))):
                actor = index.intern(parts[1]).id
                connection.execute(
                    "INSERT INTO pin (community, position, actor, rkey, gone) VALUES (?, ?, ?, ?, ?)",
                    (row.id, position, actor, parts[2], int((actor, parts[2]) in gone)),
                )

    def _note_lists(self, connection: Connection) -> None:
        rows = community_rows.declared(connection)
        named = {uri for row in rows for uri in row.rule["include"]["lists"]}
        held = {uri for (uri,) in connection.execute("SELECT uri FROM list")}
        for uri in held - named:
            connection.execute("DELETE FROM list WHERE uri = ?", (uri,))
            connection.execute("DELETE FROM list_item WHERE list = ?", (uri,))
        connection.executemany("INSERT INTO list (uri) VALUES (?)", [(uri,) for uri in sorted(named - held)])

    def reapply(self) -> None:
        """Let the stored posts be held against the rules anew (a list changed)."""
        with writing(self._database) as connection:
            meta.put(connection, REAPPLY, "0")
            connection.execute("DELETE FROM meta WHERE key = ?", (LISTS_CHANGED,))

    def compile(self) -> Compiled:
        """The declared communities and the lists as the database has them."""
        return compile_stored(sql(self._database))


def compile_stored(connection: Connection) -> Compiled:
    """Compile the declared communities and the lists as the database has them."""
    lists: dict[str, list[str]] = {uri: [] for (uri,) in connection.execute("SELECT uri FROM list")}
    for uri, subject in connection.execute("SELECT list, subject FROM list_item ORDER BY list, subject"):
        if uri in lists:
            lists[uri].append(subject)
    rows = community_rows.declared(connection)
    declared = [(row.id, row.uri, Community.from_json(row.rule)) for row in rows]
    members = {
        number: [did for (did,) in connection.execute(_MEMBERS, (number,))]
        for number, _, community in declared
        if community.include.joined
    }
    matcher = compile_rules([(number, community) for number, _, community in declared], lists, members)
    owners = frozenset(uri.removeprefix("at://").partition("/")[0] for uri in lists)
    named = (row.owner for row in rows if row.owner)
    directory = settle(declared, partial(_administers, connection))
    moderators = (did for (did,) in connection.execute(_MODERATORS))
    ours = {row.id for row in rows if row.uri is None}
    chosen = (did for did, of in matcher.authors.items() if any(number in ours for number, _ in of))
    accounts = frozenset(
        did
        for did, numbers in directory.by_account.items()
        if any(account_agrees(connection, directory.by_id[number]) for number in numbers)
    )
    first = frozenset((*chosen, *owners, *named, *accounts, *moderators))
    full = first.union(matcher.authors)
    return Compiled(matcher, frozenset(lists), owners, full, first, accounts, directory)


def _administers(connection: Connection, did: str, community: int) -> bool:
    return connection.execute(_ADMIN, (community, did, now_micros())).fetchone() is not None
