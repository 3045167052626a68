"""How the service stands, from what the ingest process last wrote: for `_health`, `/metrics` and the commands."""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from models.database import Connection

STALE_SECONDS = 15.0
"""An ingest process that has written nothing for so long has ended, or cannot write."""


def read_status(connection: Connection, source: str) -> dict[str, Any]:
    """The ingest process's last report, the stored cursor and the sizes of the tables."""
    row = connection.execute("SELECT at, report FROM process WHERE name = 'ingest'").fetchone()
    cursor = connection.execute(
        "SELECT cursor, event_at FROM source WHERE url = ? AND kind = 'seq'", (source,)
    ).fetchone()
    report: dict[str, Any] = json.loads(row[1]) if row else {}
    now = time.time()
    event_at = cursor[1] / 1_000_000 if cursor and cursor[1] else None
    age = now - row[0] / 1_000_000 if row else None
    state = report.get("state", "never started")
    if age is not None and age > STALE_SECONDS and state != "stopped":
        state = f"no sign of life for {age:.0f} s: it has ended, or cannot write (it was: {state})"
    return {
        "state": state,
        "source": source,
        "cursor": cursor[0] if cursor else None,
        "lagSeconds": round(max(0.0, now - event_at), 1) if event_at else None,
        "lastEventAt": datetime.fromtimestamp(event_at, UTC).isoformat().replace("+00:00", "Z") if event_at else None,
        "rulesFault": report.get("rulesFault"),
        "report": report,
    }


def sizes(connection: Connection) -> dict[str, int]:
    """Rows by table, estimated by the highest id where counting would take long."""
    query = (
        "SELECT (SELECT count(*) FROM community WHERE declared = 1), (SELECT count(*) FROM quarantine),"
        " (SELECT count(*) FROM interaction), (SELECT coalesce(max(id), 0) FROM post),"
        " (SELECT coalesce(max(id), 0) FROM actor)"
    )
    names = ("communities", "quarantine", "interactions", "posts_ever", "actors_ever")
    return dict(zip(names, connection.execute(query).fetchone(), strict=True))


_NAME_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{text.translate(_NAME_ESCAPES)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _family(name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    lines = [_sample(name, labels, value) for labels, value in samples]
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines] if lines else []


def render_metrics(status: Mapping[str, Any], rows: Mapping[str, int], web: Mapping[str, int]) -> str:
    """The Prometheus text (version 0.0.4) of a status, the table sizes and the web process's own counts."""
    report = status["report"]
    up, fault = status["state"] == "reading", bool(status["rulesFault"])
    families = [
        _gauge("communities_ingest_up", "Whether events are being read.", up),
        _gauge("communities_ingest_received_seq", "Last event received.", report.get("received")),
        _gauge("communities_ingest_cursor", "Last event committed.", status["cursor"]),
        _gauge("communities_ingest_lag_seconds", "Age of the last event.", status["lagSeconds"]),
        _gauge("communities_rules_fault", "Whether the rules file has a fault.", fault),
        _counter("communities_events_total", "Events received.", "kind", report.get("events")),
        _counter("communities_applied_total", "Changes to the index.", "kind", report.get("applied")),
        _counter("communities_dropped_total", "Events or parts of them left out.", "reason", report.get("dropped")),
        _counter("communities_closes_total", "Ends of the connection.", "cause", report.get("closes")),
        _counter("communities_requests_total", "Requests answered.", "kind", web),
        _family("communities_rows", "gauge", "Rows by table.", [({"table": k}, v) for k, v in rows.items()]),
    ]
    return "\n".join(line for family in families for line in family) + "\n"


def _gauge(name: str, about: str, value: float | None) -> list[str]:
    return _family(name, "gauge", about, [] if value is None else [({}, float(value))])


def _counter(name: str, about: str, label: str, counts: Mapping[str, int] | None) -> list[str]:
    return _family(name, "counter", about, [({label: key}, value) for key, value in sorted((counts or {}).items())])
