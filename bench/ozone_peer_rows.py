"""The neutral history (bench/ozone_rows.py) as rows of the tables of `@atproto/ozone` 0.4.2, as it would have written
them itself: columns that are not named stay as they are by default.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from bench.ozone_postgres import Postgres
from bench.ozone_rows import LABEL, REPORT, TAG, History, account, timestamp

_DEFS = "tools.ozone.moderation.defs#"
_RECORD, _REPO = "com.atproto.repo.strongRef", "com.atproto.admin.defs#repoRef"
EVENT = (
    "action",
    "subjectType",
    "subjectDid",
    "subjectUri",
    "subjectCid",
    "subjectBlobCids",
    "comment",
    "meta",
    "createdAt",
    "createdBy",
    "createLabelVals",
    "addedTags",
    "removedTags",
)
STATUS = (
    "did",
    "recordPath",
    "recordCid",
    "reviewState",
    "lastReportedAt",
    "lastReviewedAt",
    "lastReviewedBy",
    "tags",
    "createdAt",
    "updatedAt",
)
LABELS = ("src", "uri", "cid", "val", "neg", "cts", "sig")
VIEWS = ("account_events_stats", "record_events_stats", "account_record_events_stats", "account_record_status_stats")
"""Those that its daemon refreshes every half an hour."""


def fill(database: Postgres, history: History, labeler: str) -> None:
    """Copy everything into migrated tables that are empty, and let the database look at what it has. Raises
    AssertionError when the counts are not those of the history.
    """
    database.copy("moderation_event", EVENT, _events(history, labeler))
    database.copy("moderation_subject_status", STATUS, _statuses(history, labeler))
    database.copy("label", LABELS, _labels(history, labeler))
    database.run(*(f'REFRESH MATERIALIZED VIEW "{view}"' for view in VIEWS), "VACUUM ANALYZE", "CHECKPOINT")
    counts = database.run(
        "SELECT count(*) FROM moderation_event",
        "SELECT count(*) FROM moderation_subject_status",
        f"SELECT count(*) FROM moderation_subject_status WHERE \"reviewState\" = '{_DEFS}reviewOpen'",
    )
    wanted = (len(history.events), len(history.subjects), history.waiting)
    assert counts.split() == [str(each) for each in wanted], f"{counts.split()} instead of {wanted}"


def _who(number: int, labeler: str) -> str:
    return account(number) if number else labeler


def _events(history: History, labeler: str) -> Iterator[tuple[Any, ...]]:
    for event in history.events:
        subject = history.subjects[event.subject]
        report, tag, label = (event.action == kind for kind in (REPORT, TAG, LABEL))
        yield (
            _DEFS + event.action,
            _RECORD if subject.path else _REPO,
            subject.did,
            subject.uri if subject.path else None,
            subject.cid or None,
            "[]" if subject.path else None,
            event.comment,
            json.dumps({"reportType": event.values[0]} if report else {}),
            timestamp(event.at),
            _who(event.by, labeler),
            " ".join(event.values) if label else None,
            json.dumps(event.values) if tag else None,
            "[]" if tag else None,
        )


def _statuses(history: History, labeler: str) -> Iterator[tuple[Any, ...]]:
    for subject, status in zip(history.subjects, history.statuses, strict=True):
        yield (
            subject.did,
            subject.path,
            subject.cid or None,
            _DEFS + status.state,
            timestamp(status.reported),
            timestamp(status.reviewed) if status.reviewed else None,
            _who(status.reviewer, labeler) if status.reviewed else None,
            json.dumps(status.tags),
            timestamp(status.created),
            timestamp(status.updated),
        )


def _labels(history: History, labeler: str) -> Iterator[tuple[Any, ...]]:
    """Signatures are made up: nothing that is asked reads them."""
    rng = random.Random(23)
    for event in history.events:
        if event.action == LABEL:
            subject = history.subjects[event.subject]
            for value in event.values:
                signature = "\\x" + rng.randbytes(64).hex()
                yield (labeler, subject.uri, subject.cid, value, "f", timestamp(event.at), signature)
