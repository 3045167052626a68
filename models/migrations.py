"""The schema, as the ordered list of steps that made it. `PRAGMA user_version` counts the steps that a file has had.

A step is never edited once released; the next change is a new step, tested from the step before it with rows in place.
Times are integer microseconds since 1970 (UTC), booleans 0 or 1.
"""

import logging

import apsw

from models.steps_appeals import APPEALS
from models.steps_cases import CASES
from models.steps_commands import COMMANDS
from models.steps_context import CONTEXT, context_of_evidence
from models.steps_declared import REFUSED
from models.steps_forward import FORWARD
from models.steps_hidden import HIDDEN
from models.steps_index import FIRST, LATE, RANKING, REPOS, UNPROVEN
from models.steps_label_rules import LABEL_RULES
from models.steps_labels import LABELS, SUBJECTS
from models.steps_layer import DECISIONS, FAMILIES, LAYER, REVISED
from models.steps_limits import LIMITS
from models.steps_moderation import REPORTS
from models.steps_ozone import SETS, TEAM
from models.steps_queues import QUEUES
from models.steps_reports import REPORT_WORK
from models.steps_tagging import TAGGING
from models.steps_undo import UNDO

STEPS: tuple[str, ...] = (
    FIRST,
    REPOS,
    UNPROVEN,
    RANKING,
    LATE,
    LAYER,
    DECISIONS,
    FAMILIES,
    REVISED,
    REPORTS,
    LABELS,
    REFUSED,
    LABEL_RULES,
    CONTEXT,
    SUBJECTS,
    TEAM,
    CASES,
    SETS,
    QUEUES,
    REPORT_WORK,
    APPEALS,
    COMMANDS,
    UNDO,
    FORWARD,
    LIMITS,
    HIDDEN,
    TAGGING,
)

log = logging.getLogger(__name__)


class SchemaError(Exception):
    """The file was made by a version with another schema."""


def migrate(connection: apsw.Connection) -> int:
    """Bring the schema up to date inside the caller's transaction; returns how many steps were run.

    Raises SchemaError when the file is newer than this version.
    """
    version = _version(connection)
    if version > len(STEPS):
        raise SchemaError(f"its schema ({version}) is newer than this version's ({len(STEPS)}); update communities")
    if 0 < version < len(STEPS):
        log.info(
            "bringing the schema of the database from %d to %d; of a large one this takes minutes, and nothing is lost"
            " if it is interrupted", version, len(STEPS),
        )  # fmt: skip
    connection.create_scalar_function(context_of_evidence.__name__, context_of_evidence, 1)
    for step in STEPS[version:]:
        connection.execute(step)
    if version < len(STEPS):
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    return len(STEPS) - version


def check(connection: apsw.Connection) -> None:
    """Raise SchemaError unless the schema is exactly this version's."""
    version = _version(connection)
    if version != len(STEPS):
        raise SchemaError(f"its schema is {version}, this version's {len(STEPS)}; run `communities ingest` to migrate")


def _version(connection: apsw.Connection) -> int:
    row = connection.execute("PRAGMA user_version").fetchone()
    return int(row[0]) if row else 0
