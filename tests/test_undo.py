"""What moderators have done is undone, by event, batch, rule and actor: through HTTP, in one community and no other."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.access import Scope
from ozone.roles import Role
from tests.civic_reports import report, taken
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_site import Desk
from tests.undo_site import LABEL, REVERSE, TAG, TAKEDOWN, emit, site, state, undo, undone

BOTH = ("python", "rust")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with site(tmp_path) as found:
        yield found


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
    assert [uri for uri, *_ in state(place)["labels"]] == [member.did], "what is not undone is not undone in part"
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
