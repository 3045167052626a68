"""What was reported and waits in a community's queue, as a moderator sees it whose role is limited to some reasons: a
post waits since the first report for one of them, and only such reports are counted. What no report put there, a rule
for one, waits for others.

It is made of the reports of all that waits in the community, each time: what is kept of that (`flag`) is the sum of
them all. Plain functions over a connection.
"""

import json
from collections.abc import Collection

from communities.refs import POST
from models.database import Connection

_OWN = (
    "SELECT f.id AS id, f.community AS community, f.post AS post, min(iif(c.at >= f.at, c.at, r.last_at)) AS at,"
    " count(DISTINCT r.reporter) AS reports, c.reason_type AS reason_type FROM flag f"
    " CROSS JOIN post p ON p.id = f.post CROSS JOIN actor a ON a.id = p.actor"
    f" CROSS JOIN report r ON r.did = a.did AND r.uri = 'at://' || a.did || '/{POST}/' || p.rkey AND r.last_at >= f.at"
    " CROSS JOIN report_case c ON c.report = r.id AND c.scope = f.community AND c.muted = 0"
    " AND c.reason_type IN (SELECT value FROM json_each(?5)) WHERE f.community = ?1{} GROUP BY f.id"
)
"""As rows of `flag`. With min() alone, the other columns are those of the report that has it."""


def limited(query: str) -> str:
    """A query for all that waits (`flag f`), in which the reports for some reasons stand for all: JSON, its ?5."""
    return f"WITH own AS MATERIALIZED ({_OWN.format('')}) {query.replace('flag f', 'own f')}"


def is_flagged(connection: Connection, community: int, post: int, reasons: Collection[str]) -> bool:
    """Whether a post was reported to a community for one of these reasons, and nobody has decided since."""
    query = _OWN.format(" AND f.post = ?2")
    return connection.execute(query, (community, post, None, None, texts(reasons))).fetchone() is not None


def texts(reasons: Collection[str]) -> str:
    """Reasons as a binding."""
    return json.dumps(sorted(reasons))
