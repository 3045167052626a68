"""Authors, reporters and moderators through HTTP, on the site of tests/civic_site.py with the labelers of
tests/label_scene.py: what they are told, and how appeals are made and decided about.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labeler.pacing import Pace
from labeler.publisher import Publisher
from labeler.signing_key import Signer, did_key
from models import labelers
from models.database import writing
from tests.civic_posts import decide, done
from tests.civic_reports import APPEAL, report, taken
from tests.civic_site import NSID, Town, town
from tests.didnet import Account, plc
from tests.feed_site import Reply
from tests.label_scene import KEY, LABELER, LABELS, SECOND

ADMIN, STAFF = 33, 34
"""Numbers of the accounts whom the settings name: an admin of the site, and a moderator."""
DAY = 86_400_000_000


@contextmanager
def due(folder: Path, **settings: str) -> Iterator[Town]:
    """The site: LABELER is for every community, OTHER for rust."""
    labels = folder / "labels.toml"
    labels.write_text(LABELS + SECOND.replace('"birds"', '"rust"'))
    given = {"labels": str(labels), "admins": plc(ADMIN), "moderators": plc(STAFF)}
    with town(folder, **(given | settings)) as place:
        yield place


def own_decisions(place: Town, who: Account, limit: int = 100) -> list[dict[str, Any]]:
    """All that applies to somebody, as they are told."""
    return place.every("listOwnDecisions", who, limit)


def own_reports(place: Town, who: Account, limit: int = 100) -> list[dict[str, Any]]:
    """All that somebody has reported, as they are told."""
    return place.every("listOwnReports", who, limit)


def outcomes(place: Town, who: Account) -> list[list[tuple[str, str, str | None]]]:
    """The same in short: of each report place, state and outcome."""
    return [
        [
            (one.get("community") or one.get("labeler") or "site", one["state"], one.get("outcome"))
            for one in told["places"]
        ]
        for told in own_reports(place, who)
    ]


def removed(place: Town, uri: str, slug: str = "python", **more: Any) -> Account:
    """A new moderator removes a post."""
    moderator = place.moderator(slug)
    done(decide(place, moderator, slug, "remove", uri, **more))
    return moderator


def banned(place: Town, who: Account, slug: str = "python", **more: Any) -> Account:
    """A new moderator bans somebody."""
    moderator = place.moderator(slug)
    assert place.decide(moderator, slug, "ban", who, **more).status == 200
    return moderator


def appeal(place: Town, who: Account, what: str, **more: Any) -> int:
    """Somebody appeals; the number of the report that it is."""
    return taken(report(place, who, what, APPEAL, **more))


def resolve(place: Town, who: Account, what: str, action: str, slug: str | None = "python", **more: Any) -> Reply:
    """Somebody decides about an appeal; `slug` None: about one that is the site's."""
    where = {"community": slug} if slug else {}
    return place.act("resolveAppeal", who, {**where, "subject": what, "action": action, "reason": "So be it.", **more})


def label(place: Town, who: Account, uri: str, cid: str, *add: str, slug: str = "python", **more: Any) -> None:
    """Somebody labels a post, in a version."""
    subject = {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": cid}
    if uri.startswith("did:"):
        subject = {"$type": f"{NSID}defs#account", "did": uri}
    body = {"community": slug, "subject": subject, "add": list(add), "labeler": LABELER, **more}
    reply = place.act("label", who, body)
    assert reply.status == 200, reply.body


def put_in(place: Town, slug: str, uri: str) -> None:
    """Let a community have an indexed post, as ingest does."""
    place.writer.sql(
        "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence) SELECT ?, 0, sort_at, post, uri, ''"
        " FROM feed_item WHERE uri = ?",
        place.id(slug),
        uri,
    )


def publish(place: Town) -> None:
    """Sign and publish what waits, as the service does."""
    with writing(place.writer.database) as connection:
        number = labelers.enter(connection, LABELER)
        if labelers.active_key(connection, number) is None:
            new = labelers.add_key(connection, number, did_key(KEY), None, 1)
            labelers.change_state(connection, new, "new", "active")
        key = labelers.active_key(connection, number)
    assert key is not None
    signer = Signer(number, LABELER, key.id, KEY)
    publisher = Publisher(place.writer.database, lambda: {number: signer}, Pace.unlimited())
    while publisher.step():
        pass
    publisher.close()


def stream(place: Town, uri: str) -> list[tuple[str, str, int]]:
    """What was published last of each version and value of a subject: value, cid, whether it is a negation."""
    rows = place.writer.sql("SELECT val, cid, neg FROM label WHERE uri = ? ORDER BY val, cid", uri)
    return [tuple(row) for row in rows]


def everything(place: Town) -> dict[str, list[Any]]:
    """All rows that deciding about an appeal can touch."""
    tables = ("appeal", "decision", "decided", "mod_event", "report_case", "subject_status", "feed_item", "membership",
              "label_event", "label_outbox", "actor")  # fmt: skip
    return {table: place.writer.sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}
