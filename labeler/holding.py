"""Rows of the outbox whose values the labeler declares no more: they are held back until it declares them again.

Whoever took the value out of `labels.toml` while they waited does not want them to go out: clients ignore what is not
declared. Negations are never held back. What is held stands behind all priorities, so that nothing waits behind it, and
is negated, replaced and ended as everything that waits. Call what changes anything inside a write.
"""

from collections.abc import Collection, Iterable

import orjson

from labeler.outbox import Waiting
from models.database import Connection
from models.labelers import HELD_BACK

PIECE = 5000
"""Rows that are held back in one transaction, so that others who write need not wait long."""


def undeclared(rows: Iterable[Waiting], values: Collection[str]) -> set[str]:
    """Of labels that are to go out, the values that are not declared."""
    return {row.val for row in rows if not row.neg and row.val not in values}


def hold(connection: Connection, labeler: int, values: Iterable[str]) -> int:
    """Hold back what waits of these values, a piece of it; returns how many labels."""
    numbers = connection.execute(
        "UPDATE label_outbox SET priority = priority + ?1 WHERE id IN (SELECT id FROM label_outbox WHERE labeler = ?2"
        " AND priority < ?1 AND neg = 0 AND val IN (SELECT value FROM json_each(?3)) LIMIT ?4) RETURNING id",
        (HELD_BACK, labeler, orjson.dumps(sorted(values)).decode(), PIECE),
    )
    return len(numbers.fetchall())


def let_go(connection: Connection, labeler: int, values: Collection[str]) -> int:
    """Let what was held back and is declared now go out; returns how many."""
    numbers = connection.execute(
        "UPDATE label_outbox SET priority = priority - ?1 WHERE labeler = ?2 AND priority >= ?1"
        " AND val IN (SELECT value FROM json_each(?3)) RETURNING id",
        (HELD_BACK, labeler, orjson.dumps(sorted(values)).decode()),
    )
    return len(numbers.fetchall())


def only_held(connection: Connection, labeler: int) -> bool:
    """Whether nothing of a labeler waits but what is held back."""
    query = "SELECT 1 FROM label_outbox WHERE labeler = ? AND priority < ? LIMIT 1"
    return connection.execute(query, (labeler, HELD_BACK)).fetchone() is None
