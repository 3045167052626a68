"""Reports: what readers tell moderators about accounts and records, and whom it reaches.

A report of a post reaches every community that has the post and that the reporter may read. There the post stays as it
is, and waits in the queue until the moderators decide; what they have approved, in this version, does not wait again.
Every report is kept, also of what is in no community: that is for the moderators of the site.

Source: com.atproto.moderation.createReport; reasons: com.atproto.moderation.defs and tools.ozone.report.defs.
"""

from collections.abc import Mapping

from communities.access import Site, readable
from communities.admission import PENDING, Verdict
from communities.directory import Places, owners_above
from communities.members import find_actor, memberships, standing_by
from communities.refs import read_post_uri
from communities.stored import find_decided, find_post
from models import reports
from models.database import Connection
from models.reports import Kept, Said

_LEGACY, _OZONE = "com.atproto.moderation.defs#reason", "tools.ozone.report.defs#reason"
_GROUPS = {
    "Violence": "Animal Threats GraphicContent Glorification ExtremistContent Trafficking Other",
    "Sexual": "AbuseContent NCII Deepfake Animal Unlabeled Other",
    "ChildSafety": "CSAM Groom Privacy Harassment Other",
    "Harassment": "Troll Targeted HateSpeech Doxxing Other",
    "Misleading": "Bot Impersonation Spam Scam Elections Other",
    "Rule": "SiteSecurity ProhibitedSales BanEvasion Other",
    "SelfHarm": "Content ED Stunts Substances Other",
}
APPEALS = frozenset((f"{_LEGACY}Appeal", f"{_OZONE}Appeal"))
REASONS = frozenset(
    (
        *(_LEGACY + name for name in "Spam Violation Misleading Sexual Rude Other".split()),
        f"{_OZONE}Other",
        *(f"{_OZONE}{group}{name}" for group, names in _GROUPS.items() for name in names.split()),
    )
)
"""Why something may be reported; appeals are something else."""
MERGED_MICROS = 7 * 86_400_000_000
"""What the same reporter says of the same thing again within that time is the same report (ours)."""
HOUR = 3_600_000_000
MOST_OF_REPORTER = ((HOUR, 60), (24 * HOUR, 200))
MOST_OF_SUBJECT = ((HOUR, 500),)
"""Spans (microseconds) and how many reports are taken in each (ours)."""
SEEN = frozenset((0, PENDING))
"""How a post stands in a community in which it may be reported."""


def reason_name(reason_type: str) -> str:
    """A reason for people: `harassment troll` of `...#reasonHarassmentTroll`."""
    name = reason_type.partition("#reason")[2]
    return "".join(f" {c.lower()}" if c.isupper() and not name[max(at - 1, 0)].isupper() else c.lower()
                   for at, c in enumerate(name)).strip()  # fmt: skip


def wait(connection: Connection, said: Said, now: int) -> int | None:
    """How many seconds to wait at most before such a report is taken again; None: it is taken now. `now`:
    microseconds.
    """
    for span, most in MOST_OF_REPORTER:
        if reports.count_of_reporter(connection, said.reporter, now - span) >= most:
            return span // 1_000_000
    for span, most in MOST_OF_SUBJECT:
        if reports.count_of_subject(connection, said.did, said.uri, now - span) >= most:
            return span // 1_000_000
    return None


def report(
    connection: Connection, places: Places, said: Said, now: int, site: Mapping[str, Site] | None = None
) -> Kept:
    """Keep a report and let it reach the moderators whom it concerns. Call inside a write.

    `now`: microseconds; `site`: who is what for the whole site. What `said` holds must be checked.
    """
    kept = reports.put(connection, said, now, now - MERGED_MICROS)
    ref = read_post_uri(said.uri) if said.uri else None
    post = find_post(connection, ref) if ref else None
    if ref is None or post is None:
        return kept
    query = "SELECT community, hidden FROM feed_item WHERE post = ?"
    items = connection.execute(query, (post.id,)).fetchall()
    of = memberships(connection, find_actor(connection, said.reporter))
    for community, hidden in items:
        settings = places.get(community) if hidden in SEEN else None
        if settings is None:
            continue
        owners = owners_above(places, settings)
        above = (site or {}).get(said.reporter, Site.NOBODY)
        if not readable(settings.kind, standing_by(settings, said.reporter, of, owners, now, above)):
            continue
        decided = find_decided(connection, community, post.actor, ref.rkey)
        if decided is not None and decided.verdict is Verdict.APPROVED and decided.cid == post.cid:
            continue
        reports.flag(connection, community, post.id, said.reason_type, now, again=kept.again)
    return kept
