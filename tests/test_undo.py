"""What moderators have done is undone, by event, batch, rule and actor: through HTTP, in one community and no other."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Scope
from communities.community import Include
from labeler.standing import active
from models import labelers
from models.database import sql
from ozone.roles import Role
from ozone.views import DEFS
from tests.civic_posts import decide, hidden
from tests.civic_reports import about, report, taken
from tests.civic_site import Town
from tests.didnet import Account, plc
from tests.feed_site import Reply
from tests.label_scene import LABELER, LABELS
from tests.ozone_site import Desk, desk

TAKEDOWN, REVERSE, LABEL, TAG = "modEventTakedown", "modEventReverseTakedown", "modEventLabel", "modEventTag"
BOTH = ("python", "rust")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A site whose labeler labels what is taken down, and where nobody is kept from calling often."""
    for limit in ("service.moderating.WRITES_BURST", "service.wiring.DECISIONS_BURST"):
        monkeypatch.setattr(limit, 10_000)
    text = LABELS.replace('system = ["!warn"]', 'system = ["!warn"]\ntakedown = "spam"')
    tmp_path.joinpath("with-takedown.toml").write_text(text)
    with desk(tmp_path, labels=str(tmp_path / "with-takedown.toml")) as found:
        yield found


def emit(place: Desk, who: Account, what: str, kind: str, *, batch: str = "", slug: str = "", **said: Any) -> int:
    """Emit an event that must be taken; its number."""
    body: dict[str, Any] = {"event": {"$type": DEFS + kind, **said}, "subject": about(place.place, what)}
    meta = {**({"batchId": batch} if batch else {}), **({"community": slug} if slug else {})}
    body |= {"createdBy": who.did, **({"modTool": {"name": "ozone-ui/workspace", "meta": meta}} if meta else {})}
    reply = place.act("moderation.emitEvent", who, body)
    assert reply.status == 200, reply.body
    return int(reply.json["id"])


def undo(town: Town, who: Account, slug: str = "python", **said: Any) -> Reply:
    return town.act("undo", who, {"community": slug, **said})


def undone(reply: Reply) -> dict[int, str]:
    """What became of the events of a piece: `undone`, or why not."""
    assert reply.status == 200, reply.body
    return {one["id"]: "undone" if one["undone"] else one["why"] for one in reply.json["events"]}


def state(place: Desk) -> dict[str, Any]:
    """All that undoing is to bring back."""
    town = place.place
    rows = town.writer.sql
    connection = sql(town.writer.database)
    number = labelers.find(connection, LABELER)
    assert number is not None
    subjects = [(did, f"at://{did}/{path}" if path else did) for did, path in rows("SELECT did, path FROM subject")]
    now = town.clock.micros() // 1000
    return {
        "hidden": rows("SELECT community, uri, hidden FROM feed_item ORDER BY 1, 2"),
        "labels": sorted(
            (uri, one.cid, one.val, one.exp) for _, uri in subjects for one in active(connection, number, uri, now)
        ),
        "tags": rows(
            "SELECT t.scope, t.subject, g.tag, g.until FROM subject_tag g JOIN subject_status t ON t.id = g.status"
            " ORDER BY 1, 2, 3"
        ),
        "mutes": rows(
            "SELECT scope, subject, mute_until, mute_reporting_until FROM subject_status WHERE mute_until IS NOT NULL"
            " OR mute_reporting_until IS NOT NULL ORDER BY 1, 2"
        ),
        "rest": rows(
            "SELECT scope, subject, takendown, suspend_until, priority, comment FROM subject_status WHERE takendown"
            " OR priority OR comment != '' ORDER BY 1, 2"
        ),
        "banned": rows("SELECT community, actor, until FROM membership WHERE status = 'banned' ORDER BY 1, 2"),
        "decided": rows("SELECT community, actor, rkey, verdict FROM decided ORDER BY 1, 2, 3"),
    }


def test_a_batch_is_undone_and_undoing_it_again_changes_nothing(place: Desk) -> None:
    town = place.place
    who, uris = town.moderator("python"), [town.writer.post(1) for _ in range(3)]
    before = state(place)
    numbers = [emit(place, who, uri, TAKEDOWN, batch="b1", comment="no") for uri in uris]
    numbers.append(emit(place, who, uris[0], LABEL, batch="b1", createLabelVals=["spoiler"], negateLabelVals=[]))
    numbers.append(emit(place, who, uris[1], TAG, batch="b1", add=["x"], remove=[]))
    numbers.append(emit(place, who, uris[2], "modEventMute", batch="b1", durationInHours=5))
    numbers.append(emit(place, who, uris[2], "modEventEscalate", batch="b1"))
    after = state(place)
    assert [hidden for *_, hidden in after["hidden"]] == [4, 4, 4] and len(after["labels"]) == 4
    dry = undo(town, who, batch="b1", dryRun=True)
    assert undone(dry) == {**dict.fromkeys(numbers, "undone"), numbers[-1]: "NothingToUndo"}
    assert "by" not in dry.json["events"][1] and state(place) == after
    reply = undo(town, who, batch="b1", reason="All of it was wrong.")
    assert undone(reply) == undone(dry) and reply.cursor is None
    assert state(place) == before
    rows = town.writer.sql("SELECT undoes, comment, batch FROM mod_event WHERE undoes IS NOT NULL ORDER BY undoes")
    assert [number for number, *_ in rows] == numbers[:-1]
    assert {tuple(rest) for _, *rest in rows} == {("All of it was wrong.", "undo batch b1")}
    log = town.ask("getDecisions", who, community="python")
    assert [one["action"] for one in log.json["decisions"][:3]] == ["restore"] * 3
    count = town.writer.sql("SELECT count(*) FROM mod_event")
    assert set(undone(undo(town, who, batch="b1")).values()) == {"DecidedSince", "NothingToUndo"}
    assert state(place) == before and town.writer.sql("SELECT count(*) FROM mod_event") == count


def test_what_was_undone_is_done_again_by_undoing_that(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    emit(place, who, uri, TAKEDOWN, batch="b1")
    emit(place, who, uri, TAG, batch="b1", add=["x"], remove=[])
    done = state(place)
    undo(town, who, batch="b1")
    assert set(undone(undo(town, who, batch="undo batch b1")).values()) == {"undone"}
    assert state(place) == done


def test_what_was_decided_since_stays(place: Desk) -> None:
    town = place.place
    who, other, uri = town.moderator("python"), town.moderator("python"), town.writer.post(1)
    down = emit(place, who, uri, TAKEDOWN, batch="b1")
    label = emit(place, who, uri, LABEL, batch="b1", createLabelVals=["spoiler"], negateLabelVals=[])
    tag = emit(place, who, uri, TAG, batch="b1", add=["x", "y"], remove=[])
    emit(place, other, uri, REVERSE)
    emit(place, other, uri, TAKEDOWN)
    emit(place, other, uri, LABEL, createLabelVals=[], negateLabelVals=["spoiler"])
    emit(place, other, uri, TAG, add=["x"], remove=[])
    assert undone(undo(town, who, batch="b1")) == {tag: "undone", label: "DecidedSince", down: "DecidedSince"}
    found = state(place)
    assert [hidden for *_, hidden in found["hidden"]] == [4]
    assert [tag for _, _, tag, _ in found["tags"]] == ["x"], "somebody else has said so too"


def test_nothing_of_another_community_is_touched_or_told(place: Desk) -> None:
    town = place.place
    uri = town.writer.post(1, tags=BOTH)
    mine, theirs = town.moderator("python"), town.moderator("rust")
    for who, slug in ((mine, "python"), (theirs, "rust")):
        emit(place, who, uri, TAKEDOWN, batch="same", slug=slug, policies=["kind"])
        emit(place, who, uri, TAG, batch="same", slug=slug, add=["x"], remove=[])
    of_rust = town.writer.sql("SELECT id FROM mod_event WHERE scope = ? ORDER BY id", town.id("rust"))
    before = state(place)
    for said in ({"batch": "same"}, {"rule": "kind"}, {"actor": theirs.did}, {"event": of_rust[0][0]}):
        reply = undo(town, mine, **said, dryRun=True)
        if "event" in said:
            assert reply.fault == (400, "EventNotFound")
        else:
            assert not {number for (number,) in of_rust} & undone(reply).keys()
    assert undo(town, theirs, batch="same").fault == (403, "NotPermitted")
    assert state(place) == before
    assert set(undone(undo(town, mine, batch="same")).values()) == {"undone"}
    found = state(place)
    rust = town.id("rust")
    assert {(community, hidden) for community, _, hidden in found["hidden"]} == {(town.id("python"), 0), (rust, 4)}
    assert [(scope, tag) for scope, _, tag, _ in found["tags"]] == [(rust, "x")]
    assert [val for _, _, val, _ in found["labels"]] == ["spam"], "it is taken down there, and that label says so"
    assert set(undone(undo(town, theirs, "rust", batch="same")).values()) == {"undone"}
    assert state(place)["labels"] == [], "nobody has it taken down any more"


def test_by_rule_and_by_actor(place: Desk) -> None:
    town = place.place
    who, other, uris = town.moderator("python"), town.moderator("python"), [town.writer.post(1) for _ in range(4)]
    first = emit(place, who, uris[0], TAKEDOWN, policies=["kind", "spam"])
    second = emit(place, other, uris[1], TAKEDOWN, policies=["kind"])
    third = emit(place, other, uris[2], TAKEDOWN, policies=["spam"])
    assert undone(undo(town, who, rule="kind")) == {first: "undone", second: "undone"}
    assert undone(undo(town, who, actor=other.did)) == {third: "undone", second: "DecidedSince"}
    assert undone(undo(town, who, rule="rule:ads")) == {}
    assert [hidden for *_, hidden in state(place)["hidden"]] == [0] * 4


def test_a_rule_is_looked_for_in_the_windows_of_ones_own_community(
    place: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.event_selection.WINDOW", 3)
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    number = emit(place, who, uri, TAKEDOWN, policies=["kind"])
    for tag in "abcdefg":
        emit(place, who, uri, TAG, add=[tag], remove=[])
    found: dict[int, str] = {}
    cursor: str | None = None
    calls = 0
    while True:
        calls += 1
        reply = undo(town, who, rule="kind", **({"cursor": cursor} if cursor else {}))
        found |= undone(reply)
        cursor = reply.cursor
        if cursor is None:
            break
    assert found == {number: "undone"} and calls > 2


def test_in_pieces(place: Desk) -> None:
    town = place.place
    who, uris = town.moderator("python"), [town.writer.post(1) for _ in range(5)]
    numbers = [emit(place, who, uri, TAKEDOWN, batch="b") for uri in uris]
    first = undo(town, who, batch="b", limit=2)
    assert [*undone(first)] == [numbers[4], numbers[3]]
    assert sorted(hidden for *_, hidden in state(place)["hidden"]) == [0, 0, 4, 4, 4]
    second = undo(town, who, batch="b", limit=2, cursor=first.cursor)
    third = undo(town, who, batch="b", limit=2, cursor=second.cursor)
    assert [*undone(second), *undone(third)] == [numbers[2], numbers[1], numbers[0]] and third.cursor is None
    assert {hidden for *_, hidden in state(place)["hidden"]} == {0}
    for cursor in ("x", "0", "-1", "9" * 30):
        assert undo(town, who, batch="b", cursor=cursor).fault == (400, "InvalidRequest")


def test_two_at_once_undo_each_event_once(place: Desk) -> None:
    town = place.place
    people, uris = [town.moderator("python") for _ in range(3)], [town.writer.post(1) for _ in range(8)]
    numbers = [emit(place, people[0], uri, TAKEDOWN, batch="b") for uri in uris]
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda who=who: replies.append(undo(town, who, batch="b"))) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = sorted(number for reply in replies for number, what in undone(reply).items() if what == "undone")
    assert done == numbers and len(town.writer.sql("SELECT 1 FROM mod_event WHERE undoes IS NOT NULL")) == 8


def test_only_by_those_who_may_do_it_by_hand(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    member = town.member("python")
    down, ban = emit(place, who, uri, TAKEDOWN, batch="b"), emit(place, who, member.did, TAKEDOWN, batch="b")
    pins = town.moderator("python", scope=frozenset([Scope.PINS]))
    for nobody in (town.person(), town.member("python"), town.moderator("rust"), pins):
        assert undo(town, nobody, batch="b").fault == (403, "NotPermitted")
    assert undo(town, member, batch="b").fault == (400, "CommunityNotFound"), "who is banned is told nothing"
    posts = town.moderator("python", scope=frozenset([Scope.POSTS]))
    assert undone(undo(town, posts, batch="b")) == {ban: "NotPermitted", down: "undone"}
    assert town.status("python", member) == ("banned", 1)
    assert undone(undo(town, who, batch="b")) == {ban: "undone", down: "DecidedSince"}
    assert town.status("python", member) == ("member", 1)


def test_protected_tags_are_for_others(place: Desk) -> None:
    town = place.place
    who, uri, admin = town.moderator("python"), town.writer.post(1), place.member(Role.ADMIN)
    number = emit(place, who, uri, TAG, add=["vip"], remove=[])
    label = emit(place, who, uri, LABEL, createLabelVals=["spoiler"], negateLabelVals=[])
    value = {"vip": {"roles": ["tools.ozone.team.defs#roleAdmin"]}}
    body = {
        "key": "tools.ozone.setting.protectedTags", "scope": "instance", "value": value,
        "managerRole": "tools.ozone.team.defs#roleAdmin",
    }  # fmt: skip
    assert place.act("setting.upsertOption", admin, body).status == 200
    assert undone(undo(town, who, actor=who.did)) == {label: "NotPermitted", number: "NotPermitted"}
    value["vip"]["moderators"] = [who.did]
    assert place.act("setting.upsertOption", admin, body).status == 200
    assert undone(undo(town, who, actor=who.did)) == {label: "undone", number: "undone"}


def test_what_was_negated_is_issued_again_only_if_nobody_said_anything_since(place: Desk) -> None:
    town = place.place
    who, uri, other = town.moderator("python"), town.writer.post(1), town.writer.post(1)
    for one in (uri, other):
        emit(place, who, one, LABEL, createLabelVals=["spoiler"], negateLabelVals=[], durationInHours=10)
    before = state(place)["labels"]
    first = emit(place, who, uri, LABEL, createLabelVals=[], negateLabelVals=["spoiler"], batch="b")
    second = emit(place, who, other, LABEL, createLabelVals=[], negateLabelVals=["spoiler"], batch="b")
    assert state(place)["labels"] == []
    emit(place, who, other, LABEL, createLabelVals=["spoiler"], negateLabelVals=[])
    assert undone(undo(town, who, batch="b")) == {second: "DecidedSince", first: "undone"}
    found = state(place)["labels"]
    assert [one for one in found if one[0] == uri] == [one for one in before if one[0] == uri], "with the same end"


def test_a_takedown_label_goes_from_every_version(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1, rkey="one")
    number = emit(place, who, uri, TAKEDOWN)
    town.writer.post(1, rkey="one", langs=("en",))
    emit(place, place.staff(), uri, TAKEDOWN)
    assert undone(undo(town, who, event=number)) == {number: "undone"}
    assert len(state(place)["labels"]) == 2, "the site has it taken down"
    emit(place, place.staff(), uri, REVERSE)
    assert state(place)["labels"] == []


def test_a_post_waits_again_that_waited_and_a_version_that_nobody_let_in(place: Desk) -> None:
    town = place.place
    town.found("birds", posting="approval", include=Include(hashtags=("birds",)))
    town.put("birds", plc(5))
    town.writer.compile()
    waiting, approved = (town.writer.post(5, tags=["birds"], rkey=rkey) for rkey in ("waiting", "approved"))
    who, again = town.moderator("birds"), town.moderator("birds")
    assert decide(town, who, "birds", "approve", approved).status == 200
    assert (hidden(town, "birds", waiting), hidden(town, "birds", approved)) == (2, 0)
    before = state(place)
    for uri in (waiting, approved):
        assert decide(town, again, "birds", "remove", uri).status == 200
    assert set(undone(undo(town, who, "birds", actor=again.did)).values()) == {"undone"}
    assert state(place) == before
    assert decide(town, again, "birds", "remove", approved).status == 200
    town.writer.post(5, tags=["birds"], rkey="approved", langs=["en"])
    assert hidden(town, "birds", approved) == 4
    undo(town, who, "birds", actor=again.did)
    assert hidden(town, "birds", approved) == 2


def test_what_its_author_keeps_out_does_not_come_back(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    number = emit(place, who, uri, TAKEDOWN, batch="b")
    town.writer.sql("DELETE FROM feed_item")
    town.writer.sql("DELETE FROM post")
    assert undone(undo(town, who, batch="b")) == {number: "undone"}
    assert state(place)["hidden"] == [] and state(place)["decided"] == []


def test_pins_and_approvals(place: Desk) -> None:
    town = place.place
    who, first, second = town.moderator("python"), town.writer.post(1), town.writer.post(1)
    assert decide(town, who, "python", "pin", first).status == 200
    pinned = town.writer.sql("SELECT community, actor, rkey FROM pin")
    other = town.moderator("python")
    assert decide(town, other, "python", "unpin", first).status == 200
    assert decide(town, other, "python", "pin", second).status == 200
    assert decide(town, other, "python", "approve", second).status == 200
    assert sorted(undone(undo(town, who, actor=other.did)).values()) == ["NothingToUndo", "undone", "undone"]
    assert town.writer.sql("SELECT community, actor, rkey FROM pin") == pinned


def test_what_was_given_back_is_taken_down_again(place: Desk) -> None:
    town = place.place
    who, rogue, uri, member = (
        town.moderator("python"),
        town.moderator("python"),
        town.writer.post(1),
        town.member("python"),
    )
    emit(place, who, uri, TAKEDOWN)
    emit(place, who, member.did, TAKEDOWN, durationInHours=48)
    before = state(place)
    for what in (uri, member.did):
        emit(place, rogue, what, REVERSE)
    assert state(place)["hidden"][0][-1] == 0 and state(place)["labels"] == []
    assert set(undone(undo(town, who, actor=rogue.did)).values()) == {"undone"}
    after = state(place)
    assert after == before


def test_the_tag_that_takes_a_post_out_of_a_feed(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    before = state(place)
    number = emit(place, who, uri, TAG, add=["feed-removed:python"], remove=[])
    assert hidden(town, "python", uri) == 4
    assert undone(undo(town, who, event=number)) == {number: "undone"}
    assert state(place) == before


def test_scores_sticky_comments_strikes_and_mutes_of_reporters(place: Desk) -> None:
    town = place.place
    who, other, uri = town.moderator("python"), town.moderator("python"), town.writer.post(1)
    author = uri.split("/")[2]
    emit(place, who, uri, "modEventPriorityScore", score=10)
    emit(place, who, uri, "modEventComment", comment="mind him", sticky=True)
    emit(place, who, author, "modEventMuteReporter", durationInHours=5)
    before = state(place)
    emit(place, other, uri, "modEventPriorityScore", score=90)
    emit(place, other, uri, "modEventComment", comment="never mind", sticky=True)
    emit(place, other, uri, "modEventComment", comment="just so")
    emit(place, other, author, "modEventMuteReporter", durationInHours=500)
    emit(place, other, uri, TAKEDOWN, strikeCount=3)
    assert sorted(undone(undo(town, who, actor=other.did)).values()) == ["NothingToUndo", *["undone"] * 4]
    assert state(place) == before
    assert town.writer.sql("SELECT sum(count) FROM strike") == [(0,)]


def test_bad_input(place: Desk) -> None:
    town = place.place
    who = town.moderator("python")
    for said in (
        {},
        {"batch": "x", "rule": "y"},
        {"event": 0},
        {"event": 1 << 70},
        {"batch": ""},
        {"batch": "b", "reason": "\0"},
    ):
        assert undo(town, who, **said).fault == (400, "InvalidRequest"), said
    assert undo(town, who, event=99).fault == (400, "EventNotFound")
    assert undo(town, who, "nowhere", event=99).fault == (400, "CommunityNotFound")
    reporter, uri = town.person(), town.writer.post(1)
    number = taken(report(town, reporter, uri, to=LABELER))
    assert undo(town, who, event=number).fault == (400, "EventNotFound")
    assert undone(undo(town, who, actor=reporter.did)) == {}


SEEDS = 8
TAGS, VALUES = ("a", "b"), ("spam", "spoiler")


def some_act(place: Desk, choose: random.Random, who: Account, what: str, batch: str) -> None:
    """Anything that can be undone, or else refused because it is so already."""
    kind = choose.choice((TAKEDOWN, REVERSE, LABEL, LABEL, TAG, TAG, "modEventMute", "modEventUnmute"))
    said: dict[str, Any] = {}
    if kind == LABEL:
        vals, add = choose.sample(VALUES, choose.randint(1, 2)), choose.random() < 0.6
        said = {"createLabelVals": vals if add else [], "negateLabelVals": [] if add else vals}
    elif kind == TAG:
        tags, add = choose.sample(TAGS, choose.randint(1, 2)), choose.random() < 0.6
        said = {"add": tags if add else [], "remove": [] if add else tags}
    if kind in (LABEL, TAG, TAKEDOWN) and choose.random() < 0.4:
        said["durationInHours"] = choose.choice((5, 10))
    if kind == "modEventMute":
        said["durationInHours"] = choose.choice((5, 10))
    body: dict[str, Any] = {"event": {"$type": DEFS + kind, **said}, "subject": about(place.place, what)}
    meta = {"community": "python", **({"batchId": batch} if batch else {})}
    body |= {"createdBy": who.did, "modTool": {"name": "ozone-ui/workspace", "meta": meta}}
    reply = place.act("moderation.emitEvent", who, body)
    assert reply.status == 200 or reply.fault[0] in (400, 403), reply.body


@pytest.mark.parametrize("seed", range(SEEDS))
def test_undoing_a_batch_brings_back_what_was_before(place: Desk, seed: int) -> None:
    """Property: whatever was done in whatever order, where nobody else has decided since; in pieces or at once."""
    choose, town = random.Random(seed), place.place
    who, other, member = town.moderator("python"), town.moderator("python"), town.member("python")
    subjects = [town.writer.post(1), town.writer.post(2, tags=BOTH), member.did]
    for _ in range(choose.randint(0, 12)):
        some_act(place, choose, choose.choice((who, other)), choose.choice(subjects), "")
        town.clock.now += 1
    before = state(place)
    for _ in range(choose.randint(5, 20)):
        some_act(place, choose, who, choose.choice(subjects), "b")
        town.clock.now += 1
    limit, cursor = choose.choice((2, 50)), None
    while True:
        reply = undo(town, who, batch="b", limit=limit, **({"cursor": cursor} if cursor else {}))
        undone(reply)
        cursor = reply.cursor
        if cursor is None:
            break
    assert state(place) == before
    assert "undone" not in undone(undo(town, who, batch="b")).values()
    assert state(place) == before
