"""Rows and log of decisions as they are shown: to everybody what the community's log shows, to its moderators all."""

from communities import logbook
from communities.access import Role, Standing
from communities.community import Log
from communities.log import Event, redact
from models.database import Connection


def sees_all(who: Standing) -> bool:
    """Whether somebody sees all that a community's log holds: its moderators and admins, and who stands above it."""
    return who.oversees or (who.joined and who.role >= Role.MODERATOR)


def shown(event: Event, log: Log, *, everything: bool) -> Event:
    """An event as the reader may see it. `everything`: see `sees_all`."""
    return event if everything else redact(event, log)


def page(
    connection: Connection,
    community: int,
    log: Log,
    *,
    everything: bool,
    limit: int,
    before: int | None = None,
    subject: str | None = None,
) -> tuple[list[Event], int | None]:
    """At most `limit` events, the newest first, as the reader may see them, and the number to go on below; None at the
    end. With `subject` those alone whose subject the reader is shown: anything else would tell whom a hidden one is
    about.
    """
    if subject is not None and not everything and not log.show_subject:
        return [], None
    found: list[Event] = []
    while len(found) <= limit:
        some = logbook.page(connection, community, limit + 1, before, subject)
        found += [
            event
            for event in (shown(one, log, everything=everything) for one in some)
            if subject is None or event.get("subject") == subject
        ]
        if len(some) <= limit:
            break
        before = some[-1].seq
    return found[:limit], found[limit - 1].seq if len(found) > limit else None
