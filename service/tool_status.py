"""How programs stand that moderate in people's names, for `communities status`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models import tool_use
from models.database import Connection
from models.tool_use import DAY
from ozone.automation import LAST, MOST_BAD, reversed_of, rules
from service.terminal import plain

MOST = 100
"""Programs that are told of."""
_MOST_COUNTED = 1_000_000


def tools_status(connection: Connection, now: int) -> list[dict[str, Any]]:
    """What each did today, and which labelers have stopped it. `now`: microseconds."""
    labelers = connection.execute("SELECT id, did FROM labeler ORDER BY did").fetchall()
    said = {did: rules(connection, number) for number, did in labelers}
    found = []
    for tool, actor in tool_use.programs(connection, MOST):
        today = tool_use.use(connection, tool, actor, now - now % DAY, _MOST_COUNTED)
        bad = {did: reversed_of(connection, tool, actor, since) for did, (_, since) in said.items()}
        stopped = [did for did, count in bad.items() if count >= MOST_BAD]
        found.append({"tool": tool, "actor": actor, "today": today._asdict(), "reversed": bad, "stopped": stopped})
    return found


def lines(status: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The same for people."""
    for one in status:
        today = ", ".join(f"{count:,} {what}" for what, count in one["today"].items())
        stopped = "".join(
            f"; stopped for {did}: {one['reversed'][did]} of its last {LAST} were reversed" for did in one["stopped"]
        )
        yield plain(f"tools    {one['tool']} of {one['actor']}: {today} today{stopped}")
