"""How labelers stand, for `/metrics`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.labelers import Waiting
from service.status import counter, family, gauge

MOST_SUBSCRIBERS = 100
"""Of which each is named in the metrics: those furthest behind."""


def render_labels(report: Mapping[str, Any], waiting: Mapping[str, Sequence[Waiting]], now: float) -> str:
    """The text of how labelers stand (`Labelling.report`), and of what waits, by DID; `now`: seconds."""
    subscribers = sorted(report["subscribers"], key=lambda one: -one["lag"])
    each = [
        ({key: str(one[key]) for key in ("labeler", "client", "since", "format")}, one)
        for one in subscribers[:MOST_SUBSCRIBERS]
    ]
    heads = [({"labeler": one["did"]}, one["head"]) for one in report["labelers"]]
    lags = {
        one["did"]: [sub["lag"] for sub in subscribers if sub["labeler"] == one["did"]] for one in report["labelers"]
    }
    queues = [({"labeler": did, "priority": str(w.priority)}, w) for did, rows in waiting.items() for w in rows]
    publisher = dict(report["publisher"])
    name = "communities_label"
    families = [
        family(f"{name}_head_seq", "gauge", "Last label published.", heads),
        family(f"{name}_subscribers", "gauge", "Connections that read labels.", _by_labeler(lags, len)),
        family(f"{name}_lag_seqs", "gauge", "How far the slowest subscriber is behind.", _by_labeler(lags, _most)),
        family(
            f"{name}_subscriber_cursor",
            "gauge",
            "Last label given to a subscriber.",
            [(labels, sub["cursor"]) for labels, sub in each],
        ),
        family(
            f"{name}_subscriber_lag_seqs",
            "gauge",
            "How far a subscriber is behind.",
            [(labels, sub["lag"]) for labels, sub in each],
        ),
        gauge(f"{name}_publisher_up", "Whether labels are being published.", publisher.pop("state") == "publishing"),
        counter(f"{name}_publisher_total", "Labels published, or negated as they expired; faults.", "kind", publisher),
        family(
            f"{name}_waiting", "gauge", "Labels that wait to be published.", [(which, w.labels) for which, w in queues]
        ),
        family(
            f"{name}_waiting_seconds",
            "gauge",
            "For how long the oldest has waited.",
            [(which, round(max(0.0, now - w.oldest / 1000), 1)) for which, w in queues],
        ),
        counter(f"{name}_stream_total", "What became of subscriptions, and labels sent.", "kind", report["counts"]),
    ]
    return "".join(f"{line}\n" for family in families for line in family)


def _most(lags: Sequence[int]) -> int:
    return max(lags, default=0)


def _by_labeler(
    lags: Mapping[str, Sequence[int]], value: Callable[[Sequence[int]], int]
) -> list[tuple[dict[str, str], float]]:
    return [({"labeler": did}, value(found)) for did, found in lags.items()]
