"""The rules of the file: `communities.toml` -> rows, and again whenever the file changes.

A file with a fault changes nothing: the rules in force stay, and the fault is reported until it is mended.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from playhouse.apsw_ext import APSWDatabase

from communities.declaration import read_declaration
from communities.toml_file import DeclarationError
from firehose.index import Index
from firehose.list_rows import LISTS_CHANGED
from firehose.ops import POST_URI
from firehose.times import now_micros
from models import communities as community_rows
from models import meta
from models.database import Connection, sql, writing

log = logging.getLogger(__name__)

REAPPLY = "reapply_after"
"""Meta key: the id of the last stored post that all rules in force were applied to; absent when all posts were."""
NOTICED = "rules_noticed"
"""Meta key: the number of the last change of a community which that was seen to that follows from it."""
_PINNING = (
    "SELECT id, json_extract(rule, '$.pins') FROM community WHERE declared = 1"
    " AND json_array_length(rule, '$.pins') > 0 ORDER BY id"
)
_NAMED = "SELECT DISTINCT l.value FROM community c, json_each(c.rule, '$.include.lists') l WHERE c.declared = 1"


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
        for number, pins in connection.execute(_PINNING).fetchall():
            for position, parts in enumerate(filter(None, map(POST_URI.fullmatch, json.loads(pins)))):
                actor = index.intern(parts[1]).id
                connection.execute(
                    "INSERT INTO pin (community, position, actor, rkey, gone) VALUES (?, ?, ?, ?, ?)",
                    (number, position, actor, parts[2], int((actor, parts[2]) in gone)),
                )

    def _note_lists(self, connection: Connection) -> None:
        named = {uri for (uri,) in connection.execute(_NAMED)}
        held = {uri for (uri,) in connection.execute("SELECT uri FROM list")}
        for uri in held - named:
            connection.execute("DELETE FROM list WHERE uri = ?", (uri,))
            connection.execute("DELETE FROM list_item WHERE list = ?", (uri,))
        connection.executemany("INSERT INTO list (uri) VALUES (?)", [(uri,) for uri in sorted(named - held)])

    def reapply(self, communities: Iterable[int], revised: int, *, lists: bool) -> None:
        """Let the stored posts be held against communities whose rules, lists or members are others now. Call inside a
        write. `revised`: the number of the last change of a community that this is for; `lists`: whether it is also for
        all changes of lists.
        """
        connection = sql(self._database)
        connection.executemany(
            "INSERT INTO reapply (community) VALUES (?) ON CONFLICT (community) DO UPDATE SET after = NULL",
            [(number,) for number in sorted(communities)],
        )
        if lists:
            connection.execute("DELETE FROM meta WHERE key = ?", (LISTS_CHANGED,))
        meta.put(connection, NOTICED, str(revised))
