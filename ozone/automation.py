"""Programs that emit events in a moderator's name: how much each may do in a day, and when it is stopped.

A program is what names itself in `modTool` and is not the Ozone web app, which people use. The setting AUTOMATION of a
labeler's team says how much it may do; what it does not say is LIMITS. A program of which people have reversed MOST_BAD
of its last LAST labels and takedowns does nothing any more until an admin of the team has looked, and changes that
setting: what it did before counts no more then. Days are those of UTC.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from communities.deeds import Deed
from communities.mod_event import Kind
from models import settings, tool_use
from models.database import Connection
from models.tool_use import DAY, is_of_web_app
from ozone.event_input import Intent
from ozone.setting_rules import AUTOMATION
from ozone.visit import Visit
from xrpc.errors import RateLimitExceeded, Refused
from xrpc.ratelimit import Quota

LAST, MOST_BAD = 50, 10
"""A fifth (ours); of fewer acts as many must have been wrong, so that two mistakes in a row stop nobody."""


class Limits(NamedTuple):
    """How much a program may do in a day; None: as much as it likes."""

    labels: int | None = 2_000
    takedowns: int | None = 200
    reports: int | None = 500


LIMITS = Limits()
"""Where the setting says nothing (ours)."""


class Rules(NamedTuple):
    """What the setting says. `since`: when it was changed, microseconds."""

    tools: Mapping[str, Any]
    since: int

    def limits(self, tool: str) -> Limits | None:
        """Those of a program; None: it has none."""
        said = self.tools.get(tool)
        if said is None:
            return None if not tool or is_of_web_app(tool) else LIMITS
        usual = Limits(None, None, None) if is_of_web_app(tool) else LIMITS
        return Limits(*(said.get(f"{name}PerDay", most) for name, most in usual._asdict().items()))


def rules(connection: Connection, labeler: int) -> Rules:
    """What the team of a labeler has set."""
    row = settings.find(connection, labeler, "", AUTOMATION)
    return Rules(json.loads(row.value).get("tools", {}), row.changed_at) if row else Rules({}, 0)


def reversed_of(connection: Connection, tool: str, actor: str, since: int) -> int:
    """How many of the last labels and takedowns of a program people have reversed."""
    acts = tool_use.last_acts(connection, tool, actor, since, LAST)
    return sum(tool_use.is_reversed(connection, act) for act in acts)


def check(visit: Visit, intent: Intent, deed: Deed) -> None:
    """Raise RateLimitExceeded where a program has done as much today as it may, Refused (ToolStopped) where it is
    stopped. What people do is not counted.
    """
    said = rules(visit.connection, visit.labeler)
    limits = said.limits(deed.tool)
    if limits is None:
        return
    actor, name = visit.caller.did, deed.tool[:100]
    bad = reversed_of(visit.connection, deed.tool, actor, said.since)
    if bad >= MOST_BAD and not is_of_web_app(deed.tool):
        told = (
            f"{name!r} is stopped: people have reversed {bad} of its last {LAST} labels and takedowns. An admin of the"
            f" team lets it go on by changing the setting {AUTOMATION}."
        )
        raise Refused("ToolStopped", told, 403)
    asked = {
        Kind.LABEL: ("labels", len(intent.said.get("createLabelVals", ()))),
        Kind.TAKEDOWN: ("takedowns", 1),
        Kind.REPORT: ("reports", 1),
    }.get(intent.kind)
    if asked is None or not asked[1]:
        return
    what, more = asked
    most = getattr(limits, what)
    if most is None:
        return
    today = visit.now - visit.now % DAY
    used = getattr(tool_use.use(visit.connection, deed.tool, actor, today, most + 1), what)
    if used + more > most:
        left = (today + DAY - visit.now) / 1_000_000
        told = f"{name!r} may do {most:,} {what} a day, and has done {used:,} today; the day ends at midnight UTC."
        raise RateLimitExceeded(told, quota=Quota(most, DAY / 1_000_000), retry_after=left)
