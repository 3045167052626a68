"""What authors are told of what was decided about them, and that it is nobody else's, and nothing more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Status
from communities.community import Log, Rule
from tests.civic_posts import decide, done, version
from tests.civic_reports import SPAM, known, report, take_down, taken
from tests.civic_site import AUDIENCE, Town
from tests.didnet import plc
from tests.due_site import (
    ADMIN,
    appeal,
    due,
    label,
    own_decisions,
    own_reports,
    put_in,
    removed,
)
from tests.feed_site import Reply, iso
from tests.label_scene import LABELER


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


def test_an_author_is_told_what_applies(place: Town) -> None:
    author = place.person(1)
    place.put("rust", author)
    uri = place.writer.post(1, tags=["python", "rust"])
    removed(place, uri, reason="Planes.")
    until = place.clock.micros() + 3_600_000_000
    ban = place.decide(place.moderator("rust"), "rust", "ban", author, reason="noise", expiresAt=iso(until))
    assert ban.status == 200
    label(place, place.moderator("python"), uri, version(place, uri), "spam", reason="for moderators")
    now = iso(place.clock.micros())
    way = {"method": "com.atproto.moderation.createReport", "reasonType": "com.atproto.moderation.defs#reasonAppeal"}
    assert own_decisions(place, author) == [
        {"kind": "ban", "subject": author.did, "community": "rust", "reason": "noise", "role": "moderator",
         "since": now, "until": iso(until), "withheld": False,
         "appeal": {"state": "none", "audience": AUDIENCE, **way}},
        {"kind": "label", "subject": uri, "cid": version(place, uri), "community": "python", "labeler": LABELER,
         "labels": ["spam"], "role": "moderator", "since": now[:-4] + "000Z", "withheld": False,
         "appeal": {"state": "none", "audience": f"{LABELER}#atproto_labeler", **way}},
        {"kind": "removal", "subject": uri, "cid": version(place, uri), "community": "python", "reason": "Planes.",
         "role": "moderator", "since": now, "withheld": False,
         "appeal": {"state": "none", "audience": AUDIENCE, **way}},
    ]  # fmt: skip
    assert own_decisions(place, place.person(2)) == []
    place.clock.now += 3600
    assert [one["kind"] for one in own_decisions(place, author)] == ["label", "removal"], "the ban is over"


@pytest.mark.parametrize(("log", "shown"), [("nobody", set()), ("role", {"role"}), ("actor", {"role", "actor"})])
def test_who_decided_is_told_as_the_log_tells_it(place: Town, log: str, shown: set[str]) -> None:
    place.found("birds", log=Log(log))
    author = place.member("birds")
    moderator = place.moderator("birds")
    assert place.decide(moderator, "birds", "ban", author, reason="noise").status == 200
    (told,) = own_decisions(place, author)
    assert {"role", "actor"} & told.keys() == shown and told["reason"] == "noise"
    assert (moderator.did in json.dumps(told)) is (log == "actor")


def test_an_author_does_not_learn_of_reports(place: Town) -> None:
    author, quiet = place.person(1), place.person(2)
    place.put("python", author)
    place.put("python", quiet)
    posts = {who.did: place.writer.post(number) for number, who in ((1, author), (2, quiet))}
    reporters = [place.person() for _ in range(3)]
    for who in reporters:
        taken(report(place, who, posts[author.did], reason="seen"))
        taken(report(place, who, author.did))
    moderator = place.moderator("python")
    for who in (author, quiet):
        assert own_decisions(place, who) == [] == own_reports(place, who)
        done(decide(place, moderator, "python", "remove", posts[who.did], reason="Planes."))
    one, two = ([_unnamed(told) for told in own_decisions(place, who)] for who in (author, quiet))
    assert one == two, "whether somebody has reported it or not"
    body = place.ask("listOwnDecisions", author).body.decode()
    assert not [who.did for who in reporters if who.did in body] and "eport" not in body.replace("createReport", "")
    assert "seen" not in body and SPAM not in body


def _unnamed(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in ("subject", "cid")}


def test_the_list_is_paged_over_all_that_applies(place: Town) -> None:
    author = place.person(1)
    moderators = {slug: place.moderator(slug) for slug in ("python", "rust")}
    uris = [place.writer.post(1, tags=["python", "rust"]) for _ in range(4)]
    for uri in uris:
        label(place, moderators["python"], uri, version(place, uri), "spam")
        for slug, who in moderators.items():
            done(decide(place, who, slug, "remove", uri))
    for slug in ("b1", "b2"):
        place.found(slug)
        place.put(slug, author)
        assert place.decide(place.moderator(slug), slug, "ban", author).status == 200
    take_down(place, author)
    every = own_decisions(place, author)
    assert [one["kind"] for one in every] == ["takedown", "ban", "ban", *["label"] * 4, *["removal"] * 8]
    for limit in (1, 2, 3, 5):
        assert own_decisions(place, author, limit) == every


@pytest.mark.parametrize("how", ["takendown here", "takendown", "deactivated", "deleted"])
def test_who_is_taken_down_or_not_active_is_told_as_well(place: Town, how: str) -> None:
    author, uri = known(place, place.person(1)), place.writer.post(1)
    taken(report(place, author, plc(9)))
    removed(place, uri)
    if how == "takendown here":
        take_down(place, author)
    else:
        place.writer.sql("UPDATE actor SET active = 0, status = ? WHERE did = ?", how, author.did)
    assert own_decisions(place, author)[-1]["subject"] == uri
    assert len(own_reports(place, author)) == 1
    appeal(place, author, uri)
    assert own_decisions(place, author)[-1]["appeal"]["state"] == "open"


def test_s136_a_hidden_community_is_told_to_whom_it_has_banned_and_to_no_other(place: Town) -> None:
    top = place.found("top")
    place.found("secret", kind="hidden", parent=top)
    author = place.person(1)
    place.put("secret", author)
    uri = place.writer.post(1)
    put_in(place, "secret", uri)
    removed(place, uri, "secret")
    assert [one["community"] for one in own_decisions(place, author)] == ["secret"]
    place.writer.sql("DELETE FROM membership WHERE community = ? AND role = 1", place.id("secret"))
    assert own_decisions(place, author) == []
    assert b"secret" not in place.ask("listOwnDecisions", author).body
    place.put("secret", author, Status.BANNED)
    assert {one["kind"] for one in own_decisions(place, author)} == {"ban", "removal"}


def test_a_rule_that_is_named_is_told(place: Town) -> None:
    place.found("birds", rules=(Rule("No noise"),))
    author = place.member("birds")
    assert place.decide(place.moderator("birds"), "birds", "ban", author, rule="No noise").status == 200
    assert own_decisions(place, author)[0]["rule"] == "No noise"


# Withheld


def test_rule_and_reason_can_be_withheld(place: Town) -> None:
    author, uri, moderator = place.person(1), place.writer.post(1), place.moderator("python")
    done(decide(place, moderator, "python", "remove", uri, reason="A threat.", withhold=True))
    (told,) = own_decisions(place, author)
    assert told["withheld"] and told["kind"] == "removal" and not {"rule", "reason", "role"} & told.keys()
    assert told["appeal"]["audience"] == AUDIENCE, "it can be appealed against all the same"
    explained = place.ask("explain", author, community="python", post=uri)
    assert "decision" not in explained.json and b"A threat" not in explained.body
    assert place.ask("explain", moderator, community="python", post=uri).json["decision"]["reason"] == "A threat."


def test_of_a_ban_as_well(place: Town) -> None:
    author = place.member("python")
    reply = place.decide(place.moderator("python"), "python", "ban", author, reason="A threat.", withhold=True)
    assert reply.status == 200
    assert own_decisions(place, author)[0]["withheld"]
    assert b"A threat" not in place.ask("listOwnDecisions", author).body


@pytest.mark.parametrize("action", ["approve", "pin"])
def test_of_nothing_else(place: Town, action: str) -> None:
    uri, moderator = place.writer.post(1), place.moderator("python")
    before = place.writer.sql("SELECT * FROM mod_event")
    reply: Reply = decide(place, moderator, "python", action, uri, withhold=True)
    assert reply.fault == (400, "InvalidRequest") and place.writer.sql("SELECT * FROM mod_event") == before


def test_what_the_log_hides_is_not_told_to_others(place: Town) -> None:
    """The reason is the author's; others ask in vain, also with the author's subject."""
    author, uri = place.person(1), place.writer.post(1)
    removed(place, uri, reason="between us")
    for who in (place.person(), place.person(2), place.member("python")):
        assert own_decisions(place, who) == []
    assert b"between us" in place.ask("listOwnDecisions", author).body
    assert b"between us" not in place.ask("getDecisions", place.person(), community="python").body


def test_an_admin_of_the_site_is_no_author(place: Town) -> None:
    uri = place.writer.post(1)
    removed(place, uri)
    assert own_decisions(place, place.person(ADMIN)) == []
    assert place.ask("listOwnDecisions", place.person(ADMIN), subject=plc(1)).json == {"decisions": []}
