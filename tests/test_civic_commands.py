"""What becomes of commands in posts, beside the real web app: the same rows as of any other door, told to their authors
alone.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role
from communities.commands import Word
from communities.limits import Limits
from models import commands
from models.commands import REFUSED, WAITING, CommandRow
from models.database import writing
from service.cli import main
from tests.civic_posts import POST, a_cid, decide, version
from tests.civic_site import NSID, Town, town
from tests.didnet import Account, plc
from tests.feed_site import RULES, Reply, iso
from tests.label_scene import LABELER, LABELS
from tests.ozone_events import TAKEDOWN, done, down, emit
from tests.ozone_events import labels as labels_of
from tests.ozone_site import desk
from tests.service_process import PATIENCE

ACCOUNT = plc(900)
TAKING = f"""
account = "{ACCOUNT}"
commands = {json.dumps(list(Word))}
rules = [{{name = "On topic"}}]
"""
TWO = LABELS.replace('value = "spoiler"', 'value = "spoiler"\ntwo_person = true')


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    (tmp_path / "labels.toml").write_text(TWO)
    with town(tmp_path, labels=str(tmp_path / "labels.toml")) as found:
        found.writer.declare(RULES.replace('slug = "python"', f'slug = "python"{TAKING}', 1))
        yield found


_keys = iter(range(10**6))


def command(place: Town, who: Account, text: str, about: str, **more: Any) -> CommandRow:
    """A command as ingest notes it, about the version that is indexed."""
    row = CommandRow(
        0, f"at://{who.did}/{POST}/c{next(_keys)}", a_cid(text), place.id("python"), who.did, text, about,
        version(place, about) if about else "", place.clock.micros(), WAITING,
    )._replace(**more)  # fmt: skip
    with writing(place.writer.database) as connection:
        assert commands.put(connection, row)
    return row


def became(place: Town, who: Account) -> list[dict[str, Any]]:
    """All that somebody has commanded, the newest first, once nothing waits any more."""
    end = time.monotonic() + 20 * PATIENCE
    while place.writer.sql("SELECT 1 FROM command WHERE state = 'waiting'"):
        assert time.monotonic() < end, "nobody does what waits"
    return place.every("listCommands", who)


def person(uri: str) -> dict[str, str]:
    return {"$type": f"{NSID}defs#account", "did": uri.split("/")[2]}


def by_decide(place: Town, who: Account, uri: str, action: str, **more: Any) -> Reply:
    if action in ("ban", "unban"):
        return place.act("decide", who, {"community": "python", "action": action, "subject": person(uri), **more})
    return decide(place, who, "python", action, uri, **more)


def by_label(place: Town, who: Account, uri: str, **more: Any) -> Reply:
    subject = {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": version(place, uri)}
    return place.act("label", who, {"community": "python", "subject": subject, **more})


Do = Callable[[Town, Account, str], Reply]
DAY = 86_400_000_000


def doing(action: str, **more: Any) -> Do:
    return lambda place, who, uri: by_decide(place, who, uri, action, **more)


def banning(place: Town, who: Account, uri: str) -> Reply:
    return by_decide(place, who, uri, "ban", reason="again", expiresAt=iso(place.clock.micros() + 7 * DAY))


def labelling(**more: Any) -> Do:
    return lambda place, who, uri: by_label(place, who, uri, **more)


SAME: list[tuple[str, Do]] = [
    ("pin", doing("pin")),
    ("unpin", doing("unpin")),
    ("remove on topic: no, it is not", doing("remove", reason="no, it is not", rule="On topic")),
    ("approve", doing("approve")),
    ("remove", doing("remove")),
    ("restore sorry", doing("restore", reason="sorry")),
    ("label spam", labelling(add=["spam"])),
    ("label spoiler", labelling(add=["spoiler"])),
    ("unlabel spam", labelling(remove=["spam"])),
    ("ban 7d again", banning),
    ("unban", doing("unban")),
    ("ban", doing("ban")),
]
TABLES = {
    "decision": (
        "SELECT community, at, actor, role, action, subject, cid, reason, rule, until FROM decision ORDER BY seq"
    ),
    "mod_event": (
        "SELECT e.at, scope, type, actor, role, cid, comment, said, until, s.did, s.path FROM mod_event e"
        " JOIN subject s ON s.id = e.subject ORDER BY e.id"
    ),
    "label_event": "SELECT actor, role, community, uri, cid, added, removed, reason, rule FROM label_event ORDER BY id",
    "label_outbox": "SELECT uri, cid, val, neg, exp FROM label_outbox ORDER BY id",
    "pin": "SELECT community, a.did, p.rkey FROM pin p JOIN actor a ON a.id = p.actor",
    "decided": "SELECT community, verdict, cid, at FROM decided ORDER BY actor, rkey",
    "feed_item": "SELECT community, hidden, evidence, uri FROM feed_item ORDER BY uri",
    "membership": "SELECT community, status, until, via FROM membership WHERE status = 'banned'",
}


def rows(place: Town) -> dict[str, list[Any]]:
    """All that decisions leave, whoever's they are."""
    return {name: place.writer.sql(query) for name, query in TABLES.items()}


def test_a_command_leaves_what_the_method_does(tmp_path: Path) -> None:
    """The same decisions by both doors, on two sites that are alike: every row is the same."""
    left: list[list[dict[str, list[Any]]]] = []
    for name in ("post", "method"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "labels.toml").write_text(TWO)
        steps = []
        with town(folder, labels=str(folder / "labels.toml")) as place:
            place.writer.declare(RULES.replace('slug = "python"', f'slug = "python"{TAKING}', 1))
            uri, who = place.writer.post(1), place.person(50)
            place.put("python", who, role=Role.ADMIN)
            for text, do in SAME:
                if name == "post":
                    command(place, who, text, uri)
                    assert became(place, who)[0]["state"] == "done", text
                else:
                    assert do(place, who, uri).status == 200, text
                steps.append(rows(place))
            tools = set(place.writer.sql("SELECT tool FROM mod_event"))
            assert tools == ({("command",)} if name == "post" else {("",)})
        left.append(steps)
    for (text, _), mine, theirs in zip(SAME, *left, strict=True):
        assert mine == theirs, text
    assert len(left[0][-1]["decision"]) == 9 and len(left[0][-1]["label_event"]) == 2


def test_what_takes_two_people_waits_for_the_second(place: Town) -> None:
    uri, one, two = place.writer.post(1), place.moderator("python"), place.moderator("python")
    command(place, one, "label spoiler", uri)
    (told,) = became(place, one)
    assert told["state"] == "done" and "spoiler" in told["outcome"] and "wants the same" in told["outcome"]
    assert place.writer.sql("SELECT val FROM label_outbox") == []
    command(place, one, "label spoiler", uri)
    assert became(place, one)[0]["fault"]["name"] == "NoChange", "nobody is their own second"
    command(place, two, "label spoiler", uri)
    assert became(place, two)[0]["outcome"] == "Labelled: spoiler."
    assert place.writer.sql("SELECT val, did FROM label_outbox o JOIN labeler l ON l.id = o.labeler") == [
        ("spoiler", LABELER)
    ]


def test_the_author_is_told_and_nobody_else(place: Town) -> None:
    uri, who, other = place.writer.post(1), place.moderator("python"), place.moderator("python")
    done = command(place, who, "remove", uri)
    refused = command(place, who, "remvoe", "")
    assert became(place, who) == [
        {
            "uri": refused.uri, "cid": refused.cid, "community": "python", "text": "remvoe", "state": "refused",
            "at": iso(refused.at), "doneAt": iso(refused.at),
            "fault": {
                "name": "UnknownCommand",
                "message": "'remvoe' is no command: there are " + ", ".join(Word) + ".",
            },
        },
        {
            "uri": done.uri, "cid": done.cid, "community": "python", "text": "remove", "state": "done",
            "subject": {"uri": uri, "cid": version(place, uri)}, "at": iso(done.at), "doneAt": iso(done.at),
            "outcome": "Done: remove, number 1 of the log.", "decision": 1,
        },
    ]  # fmt: skip
    assert place.ask("listCommands", other).json == {"commands": []}
    assert place.ask("listCommands", None).fault == (401, "AuthMissing")
    cursor = place.ask("listCommands", who, limit=1).cursor
    assert place.ask("listCommands", other, cursor=cursor).fault == (400, "InvalidCursor")
    assert [one["text"] for one in place.every("listCommands", who, limit=1)] == ["remvoe", "remove"]


def test_roles_and_accounts_are_those_of_the_moment(place: Town) -> None:
    uri, who = place.writer.post(1), place.moderator("python")
    place.put("python", who)
    command(place, who, "remove", uri)
    assert became(place, who)[0]["fault"]["name"] == "NotPermitted"
    other = place.moderator("python")
    place.writer.sql("UPDATE actor SET active = 0 WHERE did = ?", other.did)
    command(place, other, "remove", uri)
    assert became(place, other)[0]["fault"]["name"] == "AccountInactive"
    last = place.moderator("python")
    command(place, last, "remove", uri, at=place.clock.micros() - 601_000_000)
    assert became(place, last)[0]["fault"]["name"] == "TooLate"
    command(place, last, "remove", uri, community=999)
    assert became(place, last)[0]["fault"]["name"] == "CommunityNotFound"
    assert rows(place)["decision"] == []


def test_the_command_lists_all(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, one, two = place.writer.post(1), place.moderator("python"), place.moderator("python")
    first = command(place, one, "remove \x1b[31mred", uri)
    became(place, one)
    second = command(place, two, "remove", uri, state=REFUSED, fault="TooLate", outcome="Late.", done_at=1)
    for name in ("DATA", "HOSTNAME"):
        monkeypatch.setenv(f"COMMUNITIES_{name}", {"DATA": str(tmp_path / "data"), "HOSTNAME": "a.example.com"}[name])
    monkeypatch.chdir(tmp_path)
    assert main(["commands", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["uri"], row["actor"], row["state"]) for row in told] == [
        (second.uri, two.did, "refused"), (first.uri, one.did, "done"),
    ]  # fmt: skip
    assert main(["commands", "--by", one.did]) == 0
    said = capsys.readouterr().out
    assert first.uri in said and second.uri not in said and "\x1b" not in said and f"about {uri}" in said
    assert main(["commands", "--before", "2", "--limit", "1"]) == 0
    assert first.uri in capsys.readouterr().out


@pytest.mark.parametrize("word", ["restore", "approve", "unban"])
def test_what_gives_back_what_was_taken_down_takes_its_label_back(tmp_path: Path, word: str) -> None:
    """As `decide` does; and whose role does not cover the label commands it no more than they decide it."""
    labels = tmp_path / "taking.toml"
    labels.write_text(LABELS.replace("system =", 'takedown = "spam"\nsystem =', 1))
    with desk(tmp_path, labels=str(labels)) as moderating:
        place = moderating.place
        place.writer.declare(RULES.replace('slug = "python"', f'slug = "python"{TAKING}', 1))
        uri, who = place.writer.post(1), place.moderator("python")
        what = uri.split("/")[2] if word == "unban" else uri
        done(emit(moderating, who, what, TAKEDOWN))
        assert labels_of(moderating, what) == {("spam", ""): None}
        limited = place.moderator("python", limits=Limits(labels=frozenset(("spoiler",))))
        command(place, limited, word, uri)
        assert became(place, limited)[0]["fault"]["name"] == "NotPermitted"
        assert down(moderating, what) == {"python"} and labels_of(moderating, what) == {("spam", ""): None}
        command(place, who, word, uri)
        assert became(place, who)[0]["state"] == "done"
        assert down(moderating, what) == set() and labels_of(moderating, what) == {}
