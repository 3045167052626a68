"""The named points at which an ingest process is killed (tests/crashing.py)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A place in the service where the process ends: before or after a call, or when a block is left."""

    name: str
    function: str
    when: str
    call: int = 1


POINTS = (
    Point("frame received", "firehose.pipeline:Pipeline.receive", "before", 5),
    Point("before the transaction", "firehose.batch:writing", "before"),
    Point("in it, between the rows", "firehose.index:Index.commit", "after", 7),
    Point("in it, behind the rows and before the cursor", "firehose.batch:Batch._store_cursor", "before"),
    Point("before COMMIT", "firehose.batch:Batch._store_cursor", "after"),
    Point("after COMMIT", "firehose.batch:writing", "left"),
    Point("in housekeeping", "firehose.housekeeping:Housekeeping._remove_post", "after"),
    Point("housekeeping done", "firehose.housekeeping:Housekeeping.step", "after", 3),
    Point("in quarantine.put", "firehose.quarantine:put", "before"),
    Point("behind quarantine.put, before COMMIT", "firehose.quarantine:put", "after"),
    Point("a list was changed", "firehose.index:Index._list_changed", "after"),
    Point("rules to be applied again", "firehose.rules:Rules.reapply", "after"),
    Point("a deletion is confirmed", "firehose.sweep:Sweep._compare", "after"),
)
"""Those of a running ingest; a migration is another story."""

READING = (
    Point("before a repository is asked for", "firehose.resync:fetch_repo", "before"),
    Point("a repository is fetched", "firehose.resync:Resync._parse", "before"),
    Point("a repository is walked", "firehose.resync:Resync._parse", "after"),
    Point("the first step of its rows is stored", "firehose.resync:writing", "left", 2),
    Point("the third step of its rows is stored", "firehose.resync:writing", "left", 4),
    Point("before what came meanwhile", "firehose.resync:Resync._finish", "before"),
    Point("behind what came meanwhile, before COMMIT", "firehose.resync:Resync._finish", "after"),
    Point("a repository is read", "firehose.resync:Resync._done", "before"),
    Point("a repository was not to be had", "firehose.failures:Failures.later", "after"),
)
"""While a repository is read. Each step of its rows is a transaction of its own then; the first transaction is that
which begins the reading.
"""
