"""What the stream brings of an account while its repository is read (B6)."""

from dataclasses import replace

from firehose.ops import (
    ENGAGEMENTS,
    LIST_ITEM,
    POST,
    Commit,
    Delete,
    Op,
    PutEngagement,
    PutPost,
    PutRecord,
    RefusedRecord,
)

COLLECTIONS = {kind: collection for collection, kind in ENGAGEMENTS.items()}


class Noted:
    """Commits as they were applied since the reading began. `size`: about how many bytes they
    have of posts and of what is said of communities.

    Whatever they wrote behind the rev of the repository stands as they left it, and is left alone when the rows are
    made equal to the repository: to take a post away that is not there yet, or to delete again what was made anew
    since, would take away what others have said of it meanwhile.
    """

    def __init__(self) -> None:
        self.size = 0
        self._commits: list[Commit] = []
        self._written: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._commits)

    def add(self, commit: Commit) -> None:
        """Note one that was applied just now."""
        self._commits.append(commit)
        for op in commit.ops:
            self._written[_place(op)] = commit.rev
            if type(op) is PutPost:
                self.size += len(op.block)
            elif type(op) is PutRecord:
                self.size += len(repr(op.said))  # a community may name thousands of words and accounts

    def wrote(self, collection: str, rkey: str, behind: str) -> bool:
        """Whether a record was written, or deleted, behind a rev."""
        return self._written.get((collection, rkey), "") > behind

    def last(self) -> list[Commit]:
        """The commits, each with those of its operations only that no later one has made void."""
        written = self._written
        return [
            replace(commit, ops=[op for op in commit.ops if written[_place(op)] == commit.rev])
            for commit in self._commits
        ]


def _place(op: Op) -> tuple[str, str]:
    """Collection and key of the record that an operation is about."""
    if isinstance(op, Delete | PutRecord | RefusedRecord):
        return op.collection, op.rkey
    if type(op) is PutEngagement:
        return COLLECTIONS[op.kind], op.rkey
    return (POST if type(op) is PutPost else LIST_ITEM), op.rkey
