"""`communities appeals`, what `status`, metrics and the log say of overdue ones, and `communities transparency`."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.transparency import HOUR, Times, times
from models import appeals
from service.cli import main
from service.overdue import LOOK_SECONDS, remind_once
from tests.civic_posts import decide, done, hidden, version
from tests.civic_reports import report, taken
from tests.civic_site import Town
from tests.didnet import Account
from tests.due_site import DAY, appeal, due, label, own_decisions, own_reports, resolve
from tests.feed_site import iso
from tests.label_scene import LABELER

Capture = pytest.CaptureFixture[str]
WEEK = 7 * DAY


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    with due(tmp_path) as found:
        config = found.site.config
        monkeypatch.setenv("COMMUNITIES_DATA", str(config.data))
        monkeypatch.setenv("COMMUNITIES_RULES", str(config.rules))
        monkeypatch.chdir(tmp_path)
        yield found


def said(capsys: Capture, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """What a command prints as JSON, a value a line."""
    assert main([*words, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def down(place: Town, number: int = 1) -> Account:
    """Somebody whom the operator has taken down."""
    who = place.person(number)
    assert main(["takedown", who.did, "--json"]) == 0
    place.clock.now = time.time() + 1  # commands go by the real time
    return who


def test_the_operator_lists_and_grants(place: Town, capsys: Capture) -> None:
    uri, other = place.writer.post(1), place.writer.post(2)
    author = down(place)
    moderator = place.moderator("python")
    done(decide(place, moderator, "python", "remove", other))
    number = appeal(place, author, author.did, reason="I was hacked.")
    appeal(place, place.person(2), other)
    capsys.readouterr()
    one, two = said(capsys, "appeals")
    at = place.clock.micros()
    assert one == {
        "id": 1, "report": number, "at": one["at"], "dueAt": iso(at + WEEK), "overdue": False, "state": "open",
        "against": "site", "labeler": "", "subject": author.did, "notFor": ["cli", author.did], "note": "",
    }  # fmt: skip
    assert (two["against"], two["notFor"]) == ("python", sorted((moderator.did, place.person(2).did)))
    assert main(["appeals"]) == 0
    text = capsys.readouterr().out
    assert "not by: cli, did:plc:" in text and "OVERDUE" not in text and f"reports --show {number}" in text
    assert said(capsys, "appeals", "--limit", "1") == [one]
    assert place.site.page("python").posts == []
    (granted,) = said(capsys, "appeals", "grant", "1", "--reason", "Sorry.")
    assert (granted["state"], granted["note"]) == ("granted", "Sorry.")
    assert place.site.page("python").posts == [uri] and own_decisions(place, author) == []
    assert own_reports(place, author)[0]["places"] == [
        {"state": "closed", "outcome": "granted", "note": "Sorry.",
         "closedAt": own_reports(place, author)[0]["places"][0]["closedAt"]}
    ]  # fmt: skip
    kinds = "SELECT type, actor FROM mod_event WHERE scope = 0 AND actor = 'cli' ORDER BY id"
    assert [kind for kind, _ in place.writer.sql(kinds)] == [
        "modEventTakedown", "modEventReverseTakedown", "modEventResolveAppeal", "modEventAcknowledge",
    ]  # fmt: skip


def test_the_operator_denies(place: Town, capsys: Capture) -> None:
    author = down(place)
    appeal(place, author, author.did)
    capsys.readouterr()
    settings = place.site.config.data / "some.env"
    settings.write_text("COMMUNITIES_APPEAL_DAYS=1\n")
    assert main(["appeals", "deny", "1", "--reason", "It stays.", "--env-file", str(settings)]) == 0
    assert "denied" in capsys.readouterr().out
    (told,) = own_decisions(place, author)
    assert (told["appeal"]["state"], told["appeal"]["note"]) == ("denied", "It stays.")
    assert said(capsys, "appeals") == []


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("grant", "9", "--reason", "x"), "no appeal 9", 1),
        (("deny", "1", "--reason", "x"), "resolveAppeal", 1),
        (("deny", "2", "--reason", " "), "must say something", 2),
        (("deny", "9", "--reason", " "), "must say something", 2),
    ],
)
def test_what_the_operator_cannot_decide(
    place: Town, capsys: Capture, words: tuple[str, ...], message: str, code: int
) -> None:
    uri, author = place.writer.post(2), down(place)
    done(decide(place, place.moderator("python"), "python", "remove", uri))
    appeal(place, place.person(2), uri)
    appeal(place, author, author.did)
    assert main(["appeals", *words]) == code
    assert message in capsys.readouterr().err
    assert place.writer.sql("SELECT state FROM appeal") == [("open",), ("open",)]
    assert hidden(place, "python", uri) == 4


def test_labels_of_the_site_are_taken_back_by_the_operator(place: Town, capsys: Capture) -> None:
    author, uri = place.person(1), place.writer.post(1)
    words = ["label", "add", uri, "spam", "--labeler", LABELER, "--cid", version(place, uri)]
    assert main(words) == 0, capsys.readouterr()
    (told,) = own_decisions(place, author)
    assert told["labels"] == ["spam"] and told["role"] == "site" and "community" not in told
    appeal(place, author, uri, to=LABELER)
    capsys.readouterr()
    (granted,) = said(capsys, "appeals", "grant", "1", "--reason", "It is none.")
    assert granted["labeler"] == LABELER and own_decisions(place, author) == []


# Overdue


def test_overdue_appeals_are_told_once(place: Town, capsys: Capture, caplog: pytest.LogCaptureFixture) -> None:
    author, uri = place.person(1), place.writer.post(1)
    done(decide(place, place.moderator("python"), "python", "remove", uri))
    appeal(place, author, uri)
    made = place.clock.micros()
    database = place.writer.database
    with caplog.at_level(logging.WARNING, "service.overdue"):
        assert remind_once(database, made + WEEK, WEEK) == 0, "not a moment too early"
        assert remind_once(database, made + WEEK + 1, WEEK) == 1
        assert remind_once(database, made + WEEK + 1, WEEK) == 0
        assert remind_once(database, made + 2 * WEEK, WEEK) == 0, "nor after a restart, which it does not notice"
    assert [record.getMessage() for record in caplog.records] == [
        f"appeal 1, for community {place.id('python')} to decide, waits for longer than it should; see"
        " `communities appeals`"
    ]
    assert author.did not in caplog.text and LOOK_SECONDS > 1
    place.clock.now += 8 * 86_400
    assert "communities_appeals_waiting 1.0" in place.site.metrics()
    assert "communities_appeals_overdue 1.0" in place.site.metrics()
    other = place.writer.post(1)
    done(decide(place, place.moderator("python"), "python", "remove", other))
    appeal(place, author, other)
    later = place.clock.micros() + WEEK + 1
    assert remind_once(database, later, WEEK) == 1, "another one is told as well"
    assert appeals.count_waiting(place.writer.connection, later - WEEK) == (2, 2)


def test_status_tells_how_many_wait(place: Town, capsys: Capture) -> None:
    author, uri = place.person(1), place.writer.post(1)
    done(decide(place, place.moderator("python"), "python", "remove", uri))
    assert main(["status"]) == 1  # nothing reads
    assert "appeals" not in capsys.readouterr().out
    appeal(place, author, uri)
    place.writer.sql("UPDATE appeal SET at = 1")
    main(["status"])
    assert "1  wait, 1 for too long" in capsys.readouterr().out
    main(["status", "--json"])
    assert json.loads(capsys.readouterr().out)["appeals"] == {"waiting": 1, "overdue": 1}


# Numbers


@pytest.mark.parametrize(
    ("took", "found"),
    [
        ([0], Times(0, 0)),
        ([1], Times(1, 1)),
        ([HOUR] * 9 + [50 * HOUR], Times(1, 1)),
        ([HOUR] * 8 + [50 * HOUR] * 2, Times(1, 50)),
        ([n * HOUR for n in range(1, 11)], Times(5, 9)),
        ([n * HOUR for n in range(11, 0, -1)], Times(6, 10)),
    ],
)
def test_half_and_nine_in_ten(took: list[int], found: Times) -> None:
    assert times(took) == found


def numbers(place: Town, who: Account | None = None, **params: Any) -> dict[str, Any]:
    reply = place.ask("getModeration", who, **({"community": "python"} | params))
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    return answer


def noon(place: Town) -> None:
    """Let it be noon, so that a few hours are of one day."""
    place.clock.now = place.clock.now // 86_400 * 86_400 + 43_200


def test_how_a_community_is_moderated_in_numbers(place: Town) -> None:
    noon(place)
    first, second = place.moderator("python"), place.moderator("python")
    for number in range(1, 6):
        author, uri = place.person(number), place.writer.post(number)
        taken(report(place, place.person(), uri))
        place.clock.now += 3600
        taken(report(place, place.person(), uri))  # how long it waits is from the first
        done(decide(place, first, "python", "remove", uri))
        appeal(place, author, uri)
        if number == 4:
            assert resolve(place, second, uri, "grant").status == 200
        elif number < 4:
            assert resolve(place, second, uri, "deny").status == 200
    assert numbers(place)["decisions"] == [], "of today nothing is told"
    place.clock.now += 86_400
    assert numbers(place) == {
        "community": "python",
        "since": iso(place.clock.micros() // DAY * DAY - 30 * DAY),
        "until": iso(place.clock.micros() // DAY * DAY),
        "decisions": [{"action": "remove", "count": 5}, {"action": "restore", "count": 1}],
        "reports": {"medianHours": 1, "p90Hours": 1},
        "appeals": {"granted": 1, "denied": 3, "waiting": 1, "overturnedPercent": 25},
    }
    assert numbers(place, community="rust")["decisions"] == [], "of each community its own"
    place.clock.now += 29 * 86_400
    assert numbers(place)["decisions"] != []
    place.clock.now += 86_400
    assert numbers(place)["decisions"] == [] and "appeals" not in numbers(place)
    assert numbers(place, days=90)["decisions"] != []


def test_few_reports_and_appeals_are_not_told(place: Town) -> None:
    """Four authors, however often; and four subjects, however many report them."""
    noon(place)
    moderator = place.moderator("python")
    for number in (1, 2, 3, 4):
        for _ in range(2 if number > 2 else 1):
            uri = place.writer.post(number)
            if number <= 4 and _ == 0:
                for _again in range(3):
                    taken(report(place, place.person(), uri))
            done(decide(place, moderator, "python", "remove", uri))
            appeal(place, place.person(number), uri)
    place.clock.now += 86_400
    found = numbers(place)
    assert found["decisions"] == [{"action": "remove", "count": 6}], "the log shows these to all"
    assert "reports" not in found and "appeals" not in found


def test_who_may_not_read_a_community_is_told_nothing(place: Town) -> None:
    top = place.found("top")
    place.found("private", kind="private", parent=top)
    place.found("hidden", kind="hidden", parent=top)
    for who in (None, place.person()):
        assert place.ask("getModeration", who, community="private").fault == (403, "NotPermitted")
        assert place.ask("getModeration", who, community="hidden").fault == (400, "CommunityNotFound")
        assert place.ask("getModeration", who, community="none").fault == (400, "CommunityNotFound")
    assert numbers(place, place.member("private"), community="private")["decisions"] == []
    assert place.ask("getModeration", community="python", days=8).fault == (400, "InvalidRequest")


def test_transparency_prints_the_same(place: Town, capsys: Capture) -> None:
    moderator, uri = place.moderator("python"), place.writer.post(1)
    done(decide(place, moderator, "python", "remove", uri))
    label(place, moderator, uri, version(place, uri), "spam")
    place.writer.sql("UPDATE community SET declared = 1")
    assert said(capsys, "transparency")[0]["community"] == "python"
    (one,) = said(capsys, "transparency", "rust", "--days", "7")
    assert one["community"] == "rust" and one["decisions"] == []
    assert main(["transparency", "python"]) == 0
    assert "too few" in capsys.readouterr().out
    assert main(["transparency", "none"]) == 1
    assert "no community" in capsys.readouterr().err
