"""How automatic labels stand, for `/metrics` and `communities status`."""

from collections.abc import Mapping, Sequence
from typing import Any

from labeler.rules import Input, Rule
from models import foreign_labels, label_rules
from models.database import Connection

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def render_rules(rules: Sequence[Rule], inputs: Sequence[Input], connection: Connection, now: int) -> str:
    """The Prometheus text of what rules and inputs did today; nothing when there are none. `now`: microseconds."""
    if not rules and not inputs:
        return ""
    today = label_rules.all_today(connection, now)
    names = [*(rule.name for rule in rules), *(one.rule for one in inputs)]
    lines = [
        "# HELP communities_label_rule_today What an automatic rule did since midnight UTC.",
        "# TYPE communities_label_rule_today gauge",
    ]
    for name in names:
        counts = today.get(name, label_rules.DayOf())
        lines += [_line("rule_today", {"rule": name, "kind": kind}, value) for kind, value in counts._asdict().items()]
    lines += [
        "# HELP communities_label_rule_stopped Whether a rule has used up its quota of today.",
        "# TYPE communities_label_rule_stopped gauge",
    ]
    lines += [_line("rule_stopped", {"rule": name}, int(name in today and today[name].over > 0)) for name in names]
    if inputs:
        lines += [
            "# HELP communities_label_input_total What was read of another labeler since it was connected to.",
            "# TYPE communities_label_input_total counter",
        ]
        for did, _, _, _, counted in foreign_labels.states(connection):
            lines += [_line("input_total", {"labeler": did, "kind": kind}, n) for kind, n in sorted(counted.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: int) -> str:
    inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
    return f"communities_label_{name}{{{inside}}} {value}"


def rules_status(connection: Connection, now: int) -> list[dict[str, Any]]:
    """What rules did today, and those that stopped, for `communities status`. `now`: microseconds."""
    return [
        {"rule": rule, **counts._asdict(), "stopped": counts.over > 0}
        for rule, counts in sorted(label_rules.all_today(connection, now).items())
    ]
