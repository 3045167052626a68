"""How the service stands, from what the ingest process last wrote: for `_health`, `/metrics` and the commands."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from models.database import Connection

STALE_SECONDS = 15.0
"""An ingest process that has written nothing for so long has ended, or cannot write."""


def read_status(connection: Connection, sources: Sequence[str]) -> dict[str, Any]:
    """The ingest process's last report, and the stored cursor of the one of `sources` that it reads."""
    row = connection.execute("SELECT at, report FROM process WHERE name = 'ingest'").fetchone()
    report: dict[str, Any] = json.loads(row[1]) if row else {}
    source = report["source"] if report.get("source") in sources else sources[0]
    cursor = connection.execute(
        "SELECT cursor, event_at FROM source WHERE url = ? ORDER BY event_at DESC LIMIT 1", (source,)
    ).fetchone()
    now = time.time()
    event_at = cursor[1] / 1_000_000 if cursor and cursor[1] else None
    age = now - row[0] / 1_000_000 if row else None
    state = report.get("state", "never started")
    gone = age is not None and age > STALE_SECONDS and state != "stopped"
    if gone:
        state = f"no sign of life for {age:.0f} s: it has ended, or cannot write (it was: {state})"
    return {
        "state": state,
        "source": source,
        "cursor": cursor[0] if cursor else None,
        "lagSeconds": round(max(0.0, now - event_at), 1) if event_at else None,
        "lagEvents": _behind(report),
        "lastEventAt": datetime.fromtimestamp(event_at, UTC).isoformat().replace("+00:00", "Z") if event_at else None,
        "idleSeconds": _since(report.get("heardAt"), now),
        "rulesFault": report.get("rulesFault"),
        "sources": [
            {
                **one,
                "state": "no sign of life" if gone else one.get("state", ""),
                "lagSeconds": _since(one.get("eventAt"), now),
                "lagEvents": _behind(one),
            }
            for one in report.pop("sources", ())
        ],
        "report": report,
    }


def _since(micros: int | None, now: float) -> float | None:
    return round(max(0.0, now - micros / 1_000_000), 1) if micros else None


def _behind(report: Mapping[str, Any]) -> int | None:
    """How many seqs were received and not stored yet; None before the first was stored."""
    received, stored = report.get("received"), report.get("cursor")
    return None if received is None or stored is None else max(0, received - stored)


def public_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """What anybody may know of a status: how far reading has come, and no name of a further source, nor its words."""
    kept = ("state", "source", "cursor", "lagSeconds", "lagEvents", "lastEventAt", "idleSeconds", "rulesFault")
    sources = [
        {"kind": one.get("kind"), "state": one["state"].partition(":")[0], "lagSeconds": one["lagSeconds"]}
        for one in status["sources"]
    ]
    said = {name: status["report"].get(name, {}) for name in ("dropped", "gaps")}
    return {**{name: status[name] for name in kept}, "sources": sources, **said}


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


def family(name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    """The lines of a metric: its samples by their labels; none without samples."""
    lines = [_sample(name, labels, value) for labels, value in samples]
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines] if lines else []


def render_metrics(status: Mapping[str, Any], rows: Mapping[str, int], web: Mapping[str, int]) -> str:
    """The Prometheus text (version 0.0.4) of a status, the table sizes and the web process's own counts."""
    report = status["report"]
    up, fault = status["state"] == "reading", bool(status["rulesFault"])
    families = [
        gauge("communities_ingest_up", "Whether events are being read.", up),
        gauge("communities_ingest_received_seq", "Last event received.", report.get("received")),
        gauge("communities_ingest_cursor", "Last event committed.", status["cursor"]),
        gauge("communities_ingest_lag_seconds", "Age of the last event.", status["lagSeconds"]),
        gauge("communities_ingest_lag_events", "Events received and not committed yet.", status["lagEvents"]),
        gauge("communities_ingest_idle_seconds", "Time since anything was received.", status["idleSeconds"]),
        gauge("communities_ingest_waiting_events", "Events that matter and wait.", report.get("waiting")),
        gauge("communities_ingest_waiting_bytes", "Bytes of their messages.", report.get("waitingBytes")),
        *_sources(status["sources"]),
        gauge("communities_rules_fault", "Whether the rules file has a fault.", fault),
        counter("communities_events_total", "Events received.", "kind", report.get("events")),
        counter("communities_applied_total", "Changes to the index.", "kind", report.get("applied")),
        counter("communities_dropped_total", "Events or parts of them left out.", "reason", report.get("dropped")),
        counter("communities_closes_total", "Ends of the connection.", "cause", report.get("closes")),
        counter("communities_gaps_total", "Events missed, and suspicions of it.", "kind", report.get("gaps")),
        family(
            "communities_accounts",
            "gauge",
            "Accounts whose repositories are followed or read, by state.",
            [({"state": state}, count) for state, count in report.get("accounts", {}).items()],
        ),
        family(
            "communities_beside_total",
            "counter",
            "What was done beside the stream, by part of the process.",
            [
                ({"part": part, "kind": kind}, count)
                for part, counts in sorted(report.get("beside", {}).items())
                for kind, count in sorted(counts.items())
            ],
        ),
        counter("communities_requests_total", "Requests answered, and orders of feeds made for them.", "kind", web),
        family("communities_rows", "gauge", "Rows by table.", [({"table": k}, v) for k, v in rows.items()]),
    ]
    return "\n".join(line for family in families for line in family) + "\n"


def _sources(sources: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The families of what is known of each source."""
    named = [({"url": one.get("url", ""), "kind": one.get("kind", "")}, one) for one in sources]

    def gauges(name: str, about: str, key: str) -> list[str]:
        samples = [(labels, one[key]) for labels, one in named if one.get(key) is not None]
        return family(f"communities_source_{name}", "gauge", about, samples)

    up = [(labels, float(one["state"] == "reading")) for labels, one in named]
    closes = [
        ({**labels, "cause": cause}, count)
        for labels, one in named
        for cause, count in sorted(one.get("closes", {}).items())
    ]
    return [
        family("communities_source_up", "gauge", "Whether events are being read from this source.", up),
        gauges("received_seq", "Last event received from this source.", "received"),
        gauges("cursor", "Last event committed from this source.", "cursor"),
        gauges("lag_seconds", "Age of the last event of this source.", "lagSeconds"),
        family("communities_source_closes_total", "counter", "Ends of the connection to this source.", closes),
    ]


def gauge(name: str, about: str, value: float | None) -> list[str]:
    """The lines of one number; none for None."""
    return family(name, "gauge", about, [] if value is None else [({}, float(value))])


def counter(name: str, about: str, label: str, counts: Mapping[str, int] | None) -> list[str]:
    """The lines of counts by name, which stands in `label`."""
    return family(name, "counter", about, [({label: key}, value) for key, value in sorted((counts or {}).items())])
