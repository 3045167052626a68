"""Reports through HTTP, on the site of tests/civic_site.py; and labelers to which they may be sent."""

from dataclasses import dataclass
from typing import Any

from communities.reasons import LEGACY, OZONE
from tests.civic_posts import version
from tests.civic_site import Town
from tests.didnet import Account, plc
from tests.feed_site import Reply

METHOD = "com.atproto.moderation.createReport"
SPAM, OTHER, APPEAL, NEW_APPEAL = f"{LEGACY}Spam", f"{LEGACY}Other", f"{LEGACY}Appeal", f"{OZONE}Appeal"
TROLL = f"{OZONE}HarassmentTroll"
ACCOUNT, RECORD = "com.atproto.admin.defs#repoRef", "com.atproto.repo.strongRef"
Flag = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Labels:
    """A labeler as a declaration has it."""

    did: str
    communities: frozenset[str] = frozenset()
    reason_types: frozenset[str] | None = None
    subject_types: frozenset[str] | None = None
    subject_collections: frozenset[str] | None = None


def about(place: Town, what: str, cid: str = "") -> dict[str, Any]:
    """The subject of a report: an account (DID) or a post, in the version that is indexed unless `cid` is given."""
    if what.startswith("did:"):
        return {"$type": ACCOUNT, "did": what}
    return {"$type": RECORD, "uri": what, "cid": cid or version(place, what)}


def report(place: Town, who: Account, what: str, reason_type: str = SPAM, *, to: str = "", **more: Any) -> Reply:
    """Report an account or a post; `to`: the audience, if it is not the communities' entry of the service."""
    body = {"reasonType": reason_type, "subject": about(place, what, more.pop("cid", "")), **more}
    return place.act(METHOD, who, body, place.token(who, METHOD, **({"aud": to} if to else {})))


def flags(place: Town) -> list[Flag]:
    """What waits: community, post, number of reports, reason of the first."""
    rows = place.writer.sql(
        "SELECT c.slug, i.uri, f.reports, f.reason_type FROM flag f JOIN community c ON c.id = f.community"
        " JOIN feed_item i ON i.community = f.community AND i.post = f.post ORDER BY f.id"
    )
    return [tuple(row) for row in rows]


def reaches(place: Town, number: int) -> set[str]:
    """Whom a report reaches: slugs, and `site`."""
    rows = place.writer.sql(
        "SELECT coalesce(c.slug, 'site') FROM report_case r LEFT JOIN community c ON c.id = r.scope WHERE r.report = ?",
        number,
    )
    return {slug for (slug,) in rows}


def taken(reply: Reply) -> int:
    """The number of a report that was taken."""
    assert reply.status == 200, reply.body
    return int(reply.json["id"])


def take_down(place: Town, who: Account, *, undo: bool = False) -> None:
    """What `communities takedown` does."""
    place.writer.sql("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", who.did)
    place.writer.sql("UPDATE actor SET allowed = ? WHERE did = ?", int(undo), who.did)


def known(place: Town, who: Account) -> Account:
    """Somebody of whom the index has heard."""
    place.writer.sql("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", who.did)
    return who


def on_host(place: Town, host: str, number: int | None = None) -> Account:
    """Somebody whose PDS is there."""
    who = place.person(number)
    service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": f"https://{host}"}
    place.site.net.publish(who, service=[service])
    return who


LABELER = plc(700)
