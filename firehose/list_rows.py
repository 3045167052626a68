"""The rows of members of lists. Everything here runs inside the caller's transaction."""

from collections import Counter

from firehose.actors import Actors
from firehose.ops import LIST, LIST_ITEM, Delete, PutListItem
from models.database import Connection

LISTS_CHANGED = "lists_changed"
"""Meta key: a list changed, and the rules in force do not know it yet."""


class ListRows(Actors):
    """Puts and takes away members of lists."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.list_changes: Counter[str] = Counter()
        """How often the lists of each owner were changed by the stream, since start."""

    def _list_changed(self, owner: str) -> None:
        """Note that its lists are not what the rules say, to be compiled anew. In the same transaction, for the process
        may end before the stored posts were looked at again.
        """
        self.list_changes[owner] += 1
        self._sql("INSERT INTO meta (key, value) VALUES (?, '') ON CONFLICT DO NOTHING", (LISTS_CHANGED,))

    def _delete_of_list(self, did: str, op: Delete) -> bool:
        if op.collection == LIST_ITEM:
            gone = self._sql("DELETE FROM list_item WHERE owner = ? AND rkey = ? RETURNING 1", (did, op.rkey)).get
        else:
            query = "DELETE FROM list_item WHERE list = ? RETURNING 1"
            gone = self._sql(query, (f"at://{did}/{LIST}/{op.rkey}",)).get
        if gone:
            self._list_changed(did)
        return gone is not None

    def _put_list_item(self, did: str, op: PutListItem) -> bool:
        if not op.list.startswith(f"at://{did}/"):
            return False  # only its owner adds to a list
        self._sql(
            "INSERT INTO list_item (owner, rkey, list, subject) VALUES (?, ?, ?, ?) ON CONFLICT (owner, rkey)"
            " DO UPDATE SET list = excluded.list, subject = excluded.subject",
            (did, op.rkey, op.list, op.subject),
        )
        self._list_changed(did)
        return True
