"""Tags that say who alone decides about a subject, as the teams of labelers have set them (`ozone.setting_rules`)."""

import json
from collections.abc import Collection, Iterable

from communities.casebook import standing
from labeler.permission import NotAllowedError
from models import labelers as labeler_rows
from models import settings
from models.database import Connection
from models.mod_events import SubjectKey

PROTECTED = "tools.ozone.setting.protectedTags"
"""The setting of a team that says whom tags are for."""
_MODERATOR = "tools.ozone.team.defs#roleModerator"
"""What moderators of communities are in a team."""


def for_others(connection: Connection, labelers: Iterable[str], actor: str, tags: Collection[str]) -> set[str]:
    """Those of some tags that are for others than a moderator of a community. `labelers`: DIDs."""
    found: set[str] = set()
    for did in labelers if tags else ():
        number = labeler_rows.find(connection, did)
        row = settings.find(connection, number, "", PROTECTED) if number is not None else None
        said = json.loads(row.value) if row else {}
        for tag in tags:
            entry = said.get(tag)
            if entry is None or actor in entry.get("moderators", ()) or _MODERATOR in entry.get("roles", ()):
                continue
            found.add(tag)
    return found


def check(connection: Connection, labeler: str, scope: int, key: SubjectKey, actor: str) -> None:
    """Raise NotAllowedError where a tag of the subject says that others decide what this labeler says of it."""
    status = standing(connection, scope, key)
    for tag in sorted(for_others(connection, (labeler,), actor, status.tags.keys() if status else ())):
        raise NotAllowedError("NotPermitted", f"The tag {tag!r} protects this subject: it is for others to decide.")
