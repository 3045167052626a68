"""The books of moderation: whatever is decided, by whatever door, is one event, and every status is the fold of its
events.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from communities import automatic
from communities.access import Role as Member
from communities.directory import Settings
from communities.stored import find_decided, find_post
from feedgen.queue import LESS, MORE
from labeler.issue import Wanted
from labeler.labels_file import read_labels
from labeler.saying import say
from models.database import sql, writing
from ozone.roles import Role
from service.cli import main
from tests.civic_posts import decide, ref
from tests.civic_posts import done as decided
from tests.civic_reports import APPEAL, SPAM, report
from tests.didnet import Account, plc
from tests.feed_site import INTERACTIONS, feed_uri, token
from tests.label_scene import LABELER, OTHER
from tests.ozone_events import (
    ABOUT_ACCOUNTS,
    ACK,
    EVENTS,
    LABEL,
    TAG,
    TAKEDOWN,
    check_books,
    emit,
    events,
    hidden,
    labels,
    log,
    stands,
)
from tests.ozone_site import Desk, unlimited
from tests.test_civic_labels import label

OWNER = 30
QUEUE = feed_uri("birds.queue", OWNER)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        found.place.writer.declare_record(OWNER, "birds", queue_feed=True, posting="anyone")
        config = found.place.site.config
        for name, value in {"DATA": config.data, "LABELS": config.labels, "HOSTNAME": "feeds.example.com"}.items():
            monkeypatch.setenv(f"COMMUNITIES_{name}", str(value))
        yield found


def press(place: Desk, who: Account, button: str, uri: str) -> None:
    """A button of the queue feed, under whatever is shown there now."""
    site = place.place.site
    reply = site.page(QUEUE, f"Bearer {token(who)}")
    contexts = {item["post"]: item.get("feedContext", "") for item in reply.json["feed"]}
    one = {"item": uri, "event": button, "feedContext": contexts.get(uri, "queue:birds")}
    site.send({"interactions": [one], "feed": QUEUE}, token(who, INTERACTIONS))


def automation(place: Desk, slug: str, uri: str, *, back: bool) -> None:
    """A labeler that the operator trusts says that a post is bad, or that it is not."""
    town = place.place
    with writing(town.writer.database) as connection:
        post, settings = find_post(connection, ref(uri)), Settings(town.id(slug), slug)
        if post is None:
            return
        if not back:
            automatic.remove(connection, settings, ref(uri), post, plc(650), "label x", town.clock.micros())
            return
        verdict = find_decided(connection, settings.id, post.actor, ref(uri).rkey)
        if verdict is not None:
            now = town.clock.micros()
            automatic.give_back(connection, settings, ref(uri), post, plc(650), "no more", verdict.decision, now)


def by_rule(place: Desk, uri: str, *values: str) -> None:
    """An automatic rule labels."""
    (declared, *_) = read_labels(place.place.site.config.labels).labelers
    with writing(place.place.writer.database) as connection:
        wanted = Wanted(1, LABELER, uri, add=values, actor="rule:words", role="automation", rule="words")
        say(connection, declared, wanted, place.place.clock.micros() // 1000)


def test_each_door_leaves_one_event(place: Desk) -> None:
    town, owner = place.place, place.place.person(OWNER)
    uri = town.writer.post(1, tags=("birds",))
    account = plc(1)

    def one(scope: str, kind: str, actor: str, role: str, what: str = uri) -> None:
        new = events(place)[len(seen) :]
        assert [(e.scope, e.kind, e.actor, e.role) for e in new] == [(scope, kind, actor, role)]
        assert events(place, what)[-1] == new[-1]
        seen.extend(new)

    seen = events(place)
    decided(decide(town, owner, "birds", "pin", uri))
    one("birds", TAG, owner.did, "owner")
    assert stands(place, uri)["birds"].tags == {"pinned": None}
    decided(decide(town, owner, "birds", "unpin", uri))
    one("birds", TAG, owner.did, "owner")
    decided(decide(town, owner, "birds", "approve", uri))
    one("birds", ACK, owner.did, "owner")
    moderator = town.moderator("birds")
    decided(decide(town, moderator, "birds", "remove", uri))
    one("birds", TAKEDOWN, moderator.did, "moderator")
    decided(decide(town, moderator, "birds", "approve", uri))
    one("birds", "modEventReverseTakedown", moderator.did, "moderator")
    decided(town.decide(moderator, "birds", "ban", account))
    one("birds", TAKEDOWN, moderator.did, "moderator", account)
    decided(town.decide(moderator, "birds", "expel", account))
    one("birds", "modEventReverseTakedown", moderator.did, "moderator", account)
    other = town.writer.post(2, tags=("birds",))
    report(town, town.person(), other)
    assert events(place)[-1].kind == "modEventReport"
    seen = events(place)
    press(place, owner, LESS, other)
    one("birds", TAKEDOWN, owner.did, "owner", other)
    press(place, owner, MORE, other)
    one("birds", "modEventReverseTakedown", owner.did, "owner", other)
    third = town.writer.post(3, tags=("birds",))
    automation(place, "birds", third, back=False)
    one("birds", TAKEDOWN, plc(650), "automation", third)
    automation(place, "birds", third, back=True)
    one("birds", "modEventReverseTakedown", plc(650), "automation", third)
    by_rule(place, third, "spam")
    one("site", LABEL, "rule:words", "automation", third)
    assert main(["label", "add", third, "spoiler", "--labeler", LABELER, "--community", "birds"]) == 0
    one("birds", LABEL, "cli", "cli", third)
    assert main(["label", "add", third, "spoiler", "--labeler", LABELER]) == 0
    assert label(town, moderator, third, "spam", slug="birds", cid="").status in (200, 403)
    seen = events(place)
    assert main(["takedown", account]) == 0
    one("service", TAKEDOWN, "cli", "cli", account)
    assert main(["takedown", account, "--undo"]) == 0
    one("service", "modEventReverseTakedown", "cli", "cli", account)
    assert main(["label", "remove", third, "spam", "spoiler", "--labeler", LABELER]) == 0
    one("site", LABEL, "cli", "cli", third)
    assert labels(place, third) == {}
    check_books(sql(town.writer.database))


@pytest.mark.parametrize("seed", range(6))
def test_a_status_is_the_fold_of_its_events_whatever_is_decided_by_whatever_door(place: Desk, seed: int) -> None:
    """In each scope for itself; sums and logs with it; and no call ends in a fault of ours."""
    chance, town = random.Random(seed), place.place
    posts = [town.writer.post(n, tags=("birds", "python", "rust")[: 1 + n % 3]) for n in (1, 1, 2, 3)]
    subjects = [*posts, *(plc(n) for n in (1, 2, 3)), f"{plc(1)}#convo"]
    authors = {n: town.person(n) for n in (1, 2, 3)}
    team = [place.member(role) for role in (Role.ADMIN, Role.MODERATOR, Role.TRIAGE)]
    moderators = {slug: town.moderator(slug) for slug in ("python", "rust", "birds")}
    people = [*team, *moderators.values(), town.person(OWNER)]
    town.put("python", moderators["birds"], role=Member.MODERATOR)
    statuses: list[int] = []

    def civic() -> None:
        slug, uri = chance.choice([*moderators]), chance.choice(posts)
        action = chance.choice(("approve", "remove", "restore", "pin", "unpin"))
        statuses.append(decide(town, moderators[slug], slug, action, uri).status)

    def people_of() -> None:
        slug = chance.choice([*moderators])
        action = chance.choice(("ban", "unban", "expel", "invite"))
        statuses.append(town.decide(moderators[slug], slug, action, plc(chance.choice((1, 2, 3)))).status)

    def ozone() -> None:
        what, kind = chance.choice(subjects), chance.choice([*EVENTS])
        said = {"durationInHours": 3} if kind in (TAKEDOWN, TAG, LABEL) and chance.random() < 0.3 else {}
        said |= {"acknowledgeAccountSubjects": True} if kind in (TAKEDOWN, ACK) and chance.random() < 0.5 else {}
        said |= {"createLabelVals": [], "negateLabelVals": ["spam"]} if kind == LABEL and chance.random() < 0.4 else {}
        named = chance.choice(("", "", "", "python", "birds"))
        aud = OTHER if chance.random() < 0.1 else ""
        what = plc(chance.choice((1, 2, 3))) if kind in ABOUT_ACCOUNTS else what
        statuses.append(emit(place, chance.choice(people), what, kind, named=named, aud=aud, **said).status)

    def said() -> None:
        who = authors[chance.choice((1, 2, 3))]
        reason = chance.choice((SPAM, APPEAL))
        report(town, who, chance.choice(subjects[:-1]), reason, to=chance.choice(("", LABELER)))

    def machine() -> None:
        chance.choice(doors)()

    doors: list[Callable[[], object]] = [
        lambda: press(place, town.person(OWNER), chance.choice((LESS, MORE)), chance.choice(posts)),
        lambda: automation(place, "birds", chance.choice(posts), back=chance.random() < 0.5),
        lambda: by_rule(place, chance.choice(posts), chance.choice(("spam", "spoiler"))),
        lambda: main(["label", chance.choice(("add", "remove")), chance.choice(posts), "spam", "--labeler", LABELER]),
        lambda: main(["takedown", plc(chance.choice((1, 2))), *chance.choice(([], ["--undo"]))]),
        lambda: label(town, moderators["birds"], chance.choice(posts), "spam", slug="birds"),
    ]
    for _ in range(150):
        town.clock.now += 90
        chance.choices((civic, people_of, ozone, said, machine), (3, 1, 8, 3, 2))[0]()
    assert not [status for status in statuses if status >= 500] and statuses.count(200) > 20
    assert check_books(sql(town.writer.database)) > 40
    for uri in posts:
        for slug, bits in hidden(place, uri).items():
            status = stands(place, uri).get(slug)
            assert bool(bits & 4) == (status is not None and status.takendown), "what is removed is what is taken down"
            of_site = [stands(place, uri).get(scope) for scope in ("site", "service")]
            assert bool(bits & 16) == any(one is not None and one.takendown for one in of_site)
    assert log(place, "birds")
