"""Posts in which moderators command something (communities/commands.py), noted for the web process to do it.

Each version of a post is noted once, whatever is sent again. It counts only as its author signed it, and when it is
new: the rev of a proven commit says when it was written. Repositories that are read whole command nothing. Runs inside
the caller's transaction.
"""

import logging
from collections import Counter

from communities.access import Site
from communities.commands import RECENT, addressed, target_of
from communities.directory import Settings
from communities.members import standing_of
from communities.refs import cid_text
from firehose.admissions import Admissions
from firehose.ops import POST, Commit, PutPost
from firehose.times import tid_micros
from models import commands
from models.commands import REFUSED, UNPROVEN, WAITING, CommandRow
from models.database import Connection
from xrpc.syntax import parse_datetime

log = logging.getLogger(__name__)

HOUR = 3_600_000_000
MOST_AN_HOUR = 100
"""Commands of one account in an hour (ours); the next one is refused, those behind it are only counted."""
MOST_OPEN = 1000
"""Commands that wait to be done, of all accounts (ours); what comes besides is only counted."""
MOST_CALLED = 10
"""Communities that have one account and take commands, that one post speaks to: the oldest (ours)."""
TOO_LATE = "It was written more than ten minutes before it came here, or says so: write it again if it is still meant."
TOO_MANY = f"You have given {MOST_AN_HOUR} commands within an hour: decide in another way, or wait."


def note(
    connection: Connection, admissions: Admissions, counts: Counter[str], commit: Commit, op: PutPost, now: int
) -> bool:
    """Note what a post commands; whether it was anything. `now`: microseconds."""
    called = [settings for number in op.calls[:MOST_CALLED] if (settings := admissions.directory.get(number))]
    noted = False
    for settings in called:
        who = standing_of(connection, admissions.directory, settings, commit.did, now, admissions.site)
        if who.moderates or who.above or who.site is Site.ADMIN:
            noted |= _note(connection, counts, settings, commit, op, now)
    return noted


def _note(
    connection: Connection, counts: Counter[str], settings: Settings, commit: Commit, op: PutPost, now: int
) -> bool:
    uri, cid = f"at://{commit.did}/{POST}/{op.rkey}", cid_text(op.cid)
    text = addressed(op.post, settings.account or "")
    if not text or commands.is_noted(connection, uri, cid, settings.id):
        return False
    given = commands.count_since(connection, commit.did, now - HOUR)
    if given > MOST_AN_HOUR or commands.count_open(connection) >= MOST_OPEN:
        counts["command ignored: too many"] += 1
        return False
    target = target_of(op.post)
    row = CommandRow(
        0, uri, cid, settings.id, commit.did, text, *(target or ("", "")), now, WAITING if commit.proof else UNPROVEN
    )
    if not is_recent(op.post.created_at, tid_micros(commit.rev), now):
        row = row._replace(state=REFUSED, fault="TooLate", outcome=TOO_LATE, done_at=now)
    elif given == MOST_AN_HOUR:
        row = row._replace(state=REFUSED, fault="TooMany", outcome=TOO_MANY, done_at=now)
    commands.put(connection, row)
    counts["command noted"] += 1
    if row.fault:
        log.info("%s commands nothing to %s: %s", uri, settings.slug, row.fault)
    return True


def is_recent(created_at: str, written: int, now: int) -> bool:
    """Whether a command is new: by its commit's rev (`written`, microseconds), and by what the record itself says."""
    created = parse_datetime(created_at)
    return created is not None and abs(now - written) <= RECENT and abs(now - created) <= RECENT
