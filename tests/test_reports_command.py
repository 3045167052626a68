"""`communities reports`: what readers have reported is listed for the operator."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from communities import logbook
from communities.access import Action
from communities.log import Acting, Decision
from communities.report_cases import again, begin
from firehose.housekeeping import DAY, REPORT_DAYS, Housekeeping
from firehose.index import Index
from models import appeals, reports
from models.appeals import Against
from models.database import open_database, sql, writing
from models.reports import Said
from service.cli import main

Capture = pytest.CaptureFixture[str]
AT = 1_790_000_000_000_000
POST = "at://did:plc:author/app.bsky.feed.post/3k"
SPAM = "com.atproto.moderation.defs#reasonSpam"
TROLL = "tools.ozone.report.defs#reasonHarassmentTroll"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three reports: of an account, and two of a post that waits because of them."""
    monkeypatch.chdir(tmp_path)
    with closing(open_database(tmp_path / "data" / "communities.db")) as database, writing(database) as connection:
        connection.execute(
            "INSERT INTO community (slug, name, description, rule, declared) VALUES ('b', '', '', '{}', 1)"
        )
        connection.execute("INSERT INTO actor (id, did) VALUES (1, 'did:plc:author')")
        connection.execute(
            "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at) VALUES (5, 1, '3k', x'', x'', 1, 1)"
        )
        begin(connection, Said("did:plc:alice", SPAM, "", "did:plc:author"), [reports.SITE], AT)
        troll = Said("did:plc:alice", TROLL, "a\x1b[2J", "did:plc:author", POST, "bafy", tool="app")
        begin(connection, troll, [1], AT)
        spam = Said("did:plc:bob", SPAM, "", "did:plc:author", POST, "bafy")
        again(connection, begin(connection, spam, [1], AT), spam, [1], AT + 1)
        reports.flag(connection, 1, 5, TROLL, AT)
    return tmp_path


def test_reports_are_listed_the_newest_first(folder: Path, capsys: Capture) -> None:
    assert main(["reports"]) == 0
    text = capsys.readouterr().out
    assert text.index("did:plc:bob, 2 times") < text.index("harassment troll, by did:plc:alice") < text.index("no comm")
    assert "waits in: b" in text and "\x1b" not in text and "a\\x1b[2J" in text
    assert main(["reports", "--json", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "id": 3,
        "at": "2026-09-21T14:13:20.000000Z",
        "reporter": "did:plc:bob",
        "reasonType": SPAM,
        "reason": "",
        "subject": POST,
        "cid": "bafy",
        "labeler": "",
        "tool": "",
        "times": 2,
        "reaches": ["b"],
        "waitsIn": ["b"],
        "brigade": False,
        "appeals": [],
    }


@pytest.mark.parametrize(
    ("asked", "ids"), [(["--before", "3"], [2, 1]), (["--subject", POST], [3, 2]), (["--limit", "0"], [])]
)
def test_some_of_them(folder: Path, capsys: Capture, asked: list[str], ids: list[int]) -> None:
    assert main(["reports", "--json", *asked]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids


def test_one_of_them(folder: Path, capsys: Capture) -> None:
    assert main(["reports", "--show", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["tool"], found["evidence"]) == (2, "app", None)
    for number in ("4", "0", "-5"):
        assert main(["reports", "--show", number]) != 0
        assert f"there is no report {number}" in capsys.readouterr().err


def test_appeals_say_against_whom_they_are(folder: Path, capsys: Capture) -> None:
    with closing(open_database(folder / "data" / "communities.db")) as database, writing(database) as connection:
        decision = Decision(Action.REMOVE, "did:plc:moderator", Acting.MODERATOR, POST)
        seq = logbook.write(connection, 1, "b", AT, decision).seq
        for number, against in ((2, Against(1, seq)), (3, Against(reports.SITE)), (3, Against(9, 0, 7))):
            appeals.put(connection, number, "did:plc:author", f"{POST}{number}", "", against, AT)
        connection.execute("UPDATE flag SET brigade = 1")
    assert main(["reports", "--appeals"]) == 0
    text = capsys.readouterr().out
    assert "appeal, open, against: b\n        decision 1, by did:plc:moderator" in text
    assert (
        "against: site" in text and "against: community 9, which is gone\n        labelled by nobody, event 7" in text
    )
    assert "brigade?" in text and "no community's queue" not in text
    with closing(open_database(folder / "data" / "communities.db")) as database, writing(database) as connection:
        connection.execute("UPDATE appeal SET state = 'granted' WHERE report = 2")
    assert main(["reports", "--appeals", "--json"]) == 0
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found["id"] == 3 and [one["against"] for one in found["appeals"]] == ["site", "community 9, which is gone"]


def test_old_reports_go(folder: Path) -> None:
    with closing(open_database(folder / "data" / "communities.db")) as database:
        connection = sql(database)
        index = Index(connection, DAY)
        keeping = Housekeeping(database, index, 10_000 * DAY, clock=lambda: AT + 1 + REPORT_DAYS * DAY)
        while keeping.step(index.admissions.matcher):
            pass
        assert connection.execute("SELECT id FROM report").fetchall() == [(3,)]
        assert connection.execute("SELECT report, scope FROM report_case").fetchall() == [(3, 1)]
