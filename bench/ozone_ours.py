"""Our moderation API over a history (bench/ozone_rows.py): `communities serve` with a labeler whose it all is."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.cores import Cores, pin, usage
from bench.ozone_rows import LABEL, OPEN, REPORT, TAG, History, account
from bench.skeleton import wait_for
from models import labelers
from models.database import Connection, open_database, sql, writing

PORT = 39_433
SETTLED_SECONDS = 600.0
"""Tags come fifty a second; this is for all that a run reports, many times over."""
_DUE = "SELECT 1 FROM report_tagging WHERE due_at <= ? LIMIT 1"
_STATES = {OPEN: 1}
_CLOSED = 3


class Ours(NamedTuple):
    """The running service: where it answers, its process, and its database."""

    url: str
    pid: int
    database: Path

    def spent(self) -> tuple[float, float]:
        """Seconds of the processor that service and database (which is in it) have used."""
        used = usage(self.pid)
        return used.cpu if used else 0.0, 0.0

    def settle(self) -> None:
        """Wait until what was reported has the tags that it gets at once."""
        with closing(open_database(self.database, readonly=True)) as database:
            ends = time.monotonic() + SETTLED_SECONDS
            while sql(database).execute(_DUE, (time.time_ns() // 1000,)).fetchone():
                assert time.monotonic() < ends, "tags are late"
                time.sleep(0.1)


@contextmanager
def running(
    folder: Path, history: History, labeler: str, moderator: str, plc_url: str, labels: tuple[str, ...], measured: Cores
) -> Iterator[Ours]:
    """The service over a history, with `moderator` (a DID) as an admin; `folder` must be there, and be empty."""
    _declare(folder / "labels.toml", labeler, labels)
    fill(folder / "communities.db", history, labeler)
    environ = os.environ | {
        "COMMUNITIES_DATA": str(folder),
        "COMMUNITIES_HOSTNAME": "feeds.example.org",
        "COMMUNITIES_LABELS": str(folder / "labels.toml"),
        "COMMUNITIES_ADMINS": moderator,
        "COMMUNITIES_LISTEN_PORT": str(PORT),
        "COMMUNITIES_METRICS_PORT": "0",
        "COMMUNITIES_PLC_URL": plc_url,
        "COMMUNITIES_APPVIEW_URL": plc_url,
        "COMMUNITIES_EGRESS_ALLOW": "localhost,127.0.0.1",
    }
    process = subprocess.Popen([sys.executable, "-P", "-m", "bench.ozone_server"], env=environ | _path(), cwd=folder)
    try:
        pin(measured, process.pid)
        wait_for(PORT)
        yield Ours(f"http://127.0.0.1:{PORT}", process.pid, folder / "communities.db")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _path() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent.parent)}


def _declare(file: Path, labeler: str, labels: tuple[str, ...]) -> None:
    definitions = (
        f'[[labeler.label]]\nvalue = "{value}"\nseverity = "inform"\nblurs = "none"\n'
        f'locales.en = {{name = "{value}", description = "It is {value}."}}\n'
        for value in labels
    )
    head = f'[[labeler]]\ndid = "{labeler}"\nendpoint = "https://labels.example.org"\n'
    file.write_text("\n".join((head, *definitions)), encoding="utf-8")


def fill(path: Path, history: History, labeler: str) -> None:
    """Store a history as the matter of a labeler, as if it had come about here."""
    database = open_database(path)
    with writing(database) as connection:
        scope = -labelers.enter(connection, labeler)
        _subjects(connection, history, scope)
        _events(connection, history, scope)
        connection.execute(
            "INSERT INTO account_records (scope, did, reports, reported, subjects, pending)"
            " SELECT t.scope, s.did, sum(t.reports), sum(t.reports > 0), count(*), sum(t.state IN (1, 2))"
            " FROM subject_status t JOIN subject s ON s.id = t.subject WHERE s.path != '' GROUP BY t.scope, s.did"
        )
    database.close()


def _subjects(connection: Connection, history: History, scope: int) -> None:
    reports = [0] * len(history.subjects)
    for event in history.events:
        reports[event.subject] += event.action == REPORT
    connection.executemany(
        "INSERT INTO subject (id, did, path) VALUES (?, ?, ?)",
        ((number, one.did, one.path) for number, one in enumerate(history.subjects, 1)),
    )
    connection.executemany(
        "INSERT INTO subject_status (id, scope, subject, state, at, changed_at, cid, reviewed_by, reviewed_at,"
        " reported_at, tags, reports) VALUES (?1, ?2, ?1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                number,
                scope,
                _STATES.get(status.state, _CLOSED),
                status.created * 1000,
                status.updated * 1000,
                history.subjects[number - 1].cid,
                account(status.reviewer) if status.reviewed else "",
                status.reviewed * 1000 or None,
                status.reported * 1000,
                json.dumps(sorted(status.tags), separators=(",", ":")),
                reports[number - 1],
            )
            for number, status in enumerate(history.statuses, 1)
        ),
    )
    connection.executemany(
        "INSERT INTO subject_tag (tag, scope, status) VALUES (?, ?, ?)",
        ((tag, scope, number) for number, status in enumerate(history.statuses, 1) for tag in sorted(set(status.tags))),
    )


def _events(connection: Connection, history: History, scope: int) -> None:
    events = list(enumerate(history.events, 1))
    connection.executemany(
        "INSERT INTO mod_event (id, at, scope, subject, type, actor, role, cid, comment, said)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                number,
                event.at * 1000,
                scope,
                event.subject + 1,
                event.action,
                account(event.by),
                "" if event.action == REPORT else "site",
                history.subjects[event.subject].cid,
                event.comment or "",
                json.dumps(_said(event.action, event.values), separators=(",", ":")),
            )
            for number, event in events
        ),
    )
    kinds = {REPORT: "report", TAG: "+tag", LABEL: "+label"}
    connection.executemany(
        "INSERT INTO mod_event_value (kind, value, event) VALUES (?, ?, ?)",
        ((kinds[one.action], value, number) for number, one in events if one.action in kinds for value in one.values),
    )
    reported = [(number, event) for number, event in events if event.action == REPORT]
    connection.executemany(
        "INSERT INTO report (id, at, last_at, reporter, reason_type, reason, did, uri, cid, labeler, host)"
        " SELECT ?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, did, ?9 FROM labeler WHERE id = ?10",
        (
            (
                number,
                event.at * 1000,
                account(event.by),
                event.values[0],
                event.comment,
                history.subjects[event.subject].did,
                history.subjects[event.subject].uri if history.subjects[event.subject].path else "",
                history.subjects[event.subject].cid,
                f"pds{event.by % 1000}.example.com",
                -scope,
            )
            for number, event in reported
        ),
    )
    connection.executemany(
        "INSERT INTO report_case (id, report, scope, subject, at, changed_at, state)"
        " VALUES (?1, ?1, ?2, ?3, ?4, ?4, ?5)",
        (
            (
                number,
                scope,
                event.subject + 1,
                event.at * 1000,
                "open" if history.statuses[event.subject].state == OPEN else "closed",
            )
            for number, event in reported
        ),
    )


def _said(action: str, values: tuple[str, ...]) -> dict[str, object]:
    """The fields of an event besides its comment."""
    if action == REPORT:
        return {"reportType": values[0]}
    if action == TAG:
        return {"add": sorted(values), "remove": []}
    return {"createLabelVals": list(values), "negateLabelVals": []} if action == LABEL else {}
