"""`labels.toml` that changes while the service runs: what is taken up, what takes a new start, what never goes out."""

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labeler.holding import PIECE
from labeler.issue import Wanted, issue
from labeler.labels_file import read_labels
from labeler.labels_in_force import LabelsInForce
from labeler.pacing import Pace
from labeler.publisher import Publisher
from models import labelers
from models.database import writing
from service import labels_watch
from service.cli import main
from tests.civic_reports import SPAM, TROLL, report, taken
from tests.civic_site import Town, town
from tests.didnet import plc
from tests.label_scene import LABELER, LABELS, OTHER, SECOND
from tests.label_site import LabelSite
from tests.service_process import PATIENCE, until
from tests.stream_site import FIRST, FIRST_HOST, START, Labels, configure, declaration, label, served
from tests.test_automating import card, events
from tests.test_civic_labels import label as label_by
from tests.test_labels_doors import give_key
from tests.test_labels_stream import metrics, until_subscribed

RULE = '[[rule]]\nname = "links"\nvalue = "spam"\ndomains = ["bad.example"]\n'
INPUT = f'[[input]]\ndid = "{plc(710)}"\nhide = ["porn"]\n'
REASONS = f'reason_types = ["{SPAM}"]\nsystem'


def put(path: Path, text: str) -> None:
    """Change the file at once: half of it would be a fault, or mean something else."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


# The file


def test_a_change_is_taken_up_once(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(LABELS)
    declared = LabelsInForce(path)
    assert not declared.refresh()
    path.write_text(LABELS.replace('"spoiler"', '"plot"') + RULE)
    assert declared.refresh() and not declared.refresh() and declared.fault == ""
    assert declared.values() == {LABELER: {"spam", "plot", "!warn"}} and len(declared.file.rules) == 1
    path.write_text(LABELS.replace('"spoiler"', '"plot"') + "# nothing new\n" + RULE)
    assert not declared.refresh()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LABELS.replace("inform", "shout"), r"labels\.toml:16: labeler\[1\]\.label\[2\]\.severity: "),
        (LABELS + "[[rule", r"labels\.toml:19: no valid TOML"),
        (LABELS + RULE.replace("spam", "ham"), r"labels\.toml:21: rule\[1\]\.value: "),
        (LABELS + SECOND, rf"labels\.toml:21: labeler\[2\]\.did: {OTHER} is new: restart to serve it"),
        (
            LABELS.replace("labels.example", "elsewhere.example"),
            rf"labels\.toml:4: labeler\[1\]\.endpoint: is another one: restart to serve {LABELER} there",
        ),
        ("", rf"labels\.toml:1: labeler: {LABELER} is not declared any more: restart to end it"),
        (None, f"{LABELER} is not declared any more"),
    ],
    ids=["key", "toml", "rule", "new", "endpoint", "empty", "gone"],
)
def test_what_cannot_be_taken_up_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None, said: str
) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(LABELS)
    declared = LabelsInForce(path)
    before = declared.file
    path.write_text(text) if text is not None else path.unlink()
    assert declared.refresh() and not declared.refresh()
    assert declared.file is before
    assert len(declared.fault.splitlines()) == 1
    assert re.search(said, declared.fault), declared.fault
    assert declared.fault in caplog.text and "stays in force" in caplog.text
    path.write_text(LABELS)
    assert declared.refresh() and declared.fault == "" and declared.file == before


def test_a_file_that_comes_later_takes_a_new_start(tmp_path: Path) -> None:
    declared = LabelsInForce(tmp_path / "labels.toml")
    (tmp_path / "labels.toml").write_text(LABELS)
    assert declared.refresh() and f"{LABELER} is new: restart to serve it" in declared.fault
    assert declared.labelers() == ()
    (tmp_path / "labels.toml").unlink()
    assert declared.refresh() and declared.fault == ""


# What waits


class Changing:
    """A publisher of labeler 1 that may say `values`."""

    def __init__(self, folder: Path, pace: Pace | None = None) -> None:
        self.site = LabelSite(folder / "labels.db")
        self.values = set(self.site.vocabularies[1].values)
        self.pace = pace or Pace.unlimited()
        self.start()

    def start(self) -> None:
        site = self.site
        site.publisher.close()
        values: dict[str, Any] = {"values": lambda: {1: set(self.values)}}
        site.publisher = Publisher(site.database, lambda: site.signers, self.pace, site.clock, signing=60.0, **values)

    def held(self) -> dict[str, int]:
        return labelers.held_back(self.site.connection, 1)


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Changing]:
    found = Changing(tmp_path)
    yield found
    found.site.close()


def subject(number: int) -> str:
    return f"at://{plc(5)}/app.bsky.feed.post/p{number}"


def test_what_is_not_declared_any_more_waits_until_it_is(changing: Changing, caplog: pytest.LogCaptureFixture) -> None:
    """Its negation goes out, and so does all that stands behind it; also over a new start."""
    site = changing.site
    site.issue(subject(0), "spam")
    site.publish()
    for number in range(1, 4):
        site.issue(subject(number), "spam", "spoiler")
    site.remove(subject(0), "spam")
    changing.values.discard("spam")
    assert site.publish() == 4
    assert sorted((row.val, row.neg) for row in site.rows()) == [("spam", 1)] + [("spoiler", 0)] * 3
    assert changing.held() == {"spam": 3} and labelers.waiting(site.connection, 1) == []
    assert "does not declare spam: declare it again" in caplog.text
    assert site.publisher.wait is None, "nothing is waited for"
    changing.start()
    site.remove(subject(1), "spam")
    assert site.publish() == 0 and changing.held() == {"spam": 2}, "it can be taken back, and was never said"
    changing.values.add("spam")
    assert site.publish() == 2 and changing.held() == {}
    assert {row.uri for row in site.rows() if row.val == "spam" and not row.neg} == {subject(2), subject(3)}
    site.check_signatures()


def test_much_that_is_held_back_keeps_nothing_waiting(tmp_path: Path) -> None:
    """However slow the pace is: what is held back does not count."""
    changing = Changing(tmp_path, Pace(per_second=1, per_hour=10, per_day=10))
    site = changing.site
    with writing(site.database) as connection:
        connection.executemany(
            "INSERT INTO label_outbox (labeler, uri, val, neg, cts, priority, event) VALUES (1, ?, 'spam', 0, 1, 3, 1)",
            [(subject(number),) for number in range(PIECE + 100)],
        )
    site.issue(subject(1), "spoiler", batch="b")
    changing.values.discard("spam")
    assert site.publisher.step() == 1 and [row.val for row in site.rows()] == ["spoiler"]
    assert changing.held() == {"spam": PIECE + 100}
    site.close()


# The service


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_watch, "SECONDS", 0.02)


def fault_of(place: Town) -> str:
    rows = place.writer.sql("SELECT report FROM process WHERE name = 'labels.toml'")
    return str(json.loads(rows[0][0])["fault"]) if rows else ""


@pytest.mark.usefixtures("quick")
def test_a_running_service_takes_up_values_reasons_and_rules(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    put(path, LABELS)
    with town(tmp_path, labels=str(path)) as place:
        who, uri = place.moderator("python"), place.writer.post(1)
        assert label_by(place, who, uri, "plot").fault == (403, "UndeclaredLabel")
        taken(report(place, place.person(), plc(3), TROLL, to=LABELER))
        put(path, LABELS.replace('"spoiler"', '"plot"').replace("system", REASONS))
        until("the new value can be used", lambda: label_by(place, who, uri, "plot").status == 200)
        assert label_by(place, who, uri, "spoiler").fault == (403, "UndeclaredLabel")
        taken(report(place, place.person(), plc(4), SPAM, to=LABELER))
        assert report(place, place.person(), plc(4), TROLL, to=LABELER).fault == (400, "InvalidRequest")

        put(path, LABELS + RULE + INPUT)
        until("a rule watches", lambda: place.writer.sql("SELECT * FROM label_watch"))
        bad = place.writer.post(2, embed=card("www.bad.example"))
        until("the rule has labelled", lambda: len(events(place)) == 2)
        assert events(place)[-1] == ("rule:links", bad, "spam")
        text = urllib.request.urlopen(f"http://127.0.0.1:{place.site.metrics_port}/metrics").read().decode()
        assert 'communities_label_rule_today{rule="links",kind="labelled"} 1' in text
        assert "communities_labels_fault 0.0" in text
        put(path, LABELS)
        until("no rule watches", lambda: not place.writer.sql("SELECT * FROM label_watch"))
        assert place.site.page("python").status == 200


@pytest.mark.usefixtures("quick")
def test_a_fault_is_told_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labels.toml"
    put(path, LABELS)
    monkeypatch.chdir(tmp_path)
    with town(tmp_path, labels=str(path)) as place:
        monkeypatch.setenv("COMMUNITIES_DATA", str(place.writer.database.database.rpartition("/")[0]))

        def status(*words: str) -> str:
            capsys.readouterr()
            assert main(["status", *words]) == 1  # nothing ingests
            return capsys.readouterr().out

        assert "labels.toml" not in status() and json.loads(status("--json"))["labelsFault"] is None
        put(path, LABELS + SECOND)
        until("the fault is told", lambda: fault_of(place))
        said = f"{path}:21: labeler[2].did: {OTHER} is new: restart to serve it"
        assert f"labels   labels.toml has changed, and what it said before is in force:\n{said}\n" in status()
        assert json.loads(status("--json"))["labelsFault"] == said
        text = urllib.request.urlopen(f"http://127.0.0.1:{place.site.metrics_port}/metrics").read().decode()
        assert "communities_labels_fault 1.0" in text
        who, uri = place.moderator("python"), place.writer.post(1)
        assert label_by(place, who, uri, "spam").status == 200
        put(path, LABELS)
        until("the fault is gone", lambda: not fault_of(place))
        put(path, LABELS + "[[rule")
        until("another fault is told", lambda: "no valid TOML" in fault_of(place))
    put(path, LABELS)
    with town(tmp_path, labels=str(path)) as place:
        assert fault_of(place) == "", "it was read anew"


@pytest.mark.usefixtures("quick")
async def test_what_another_process_says_meanwhile_never_goes_out_undeclared(tmp_path: Path) -> None:
    """It read the file before it was changed. When the value is declared again, the label comes by itself."""
    text = declaration((FIRST, FIRST_HOST))
    config = configure(tmp_path, text)
    give_key(config)
    (old,) = read_labels(config.labels).labelers
    async with served(config) as site, site.subscriber() as one:
        labels = Labels(config, key=False)
        await until_subscribed(site, 1)

        def say(number: int, now: int, **done: tuple[str, ...]) -> None:
            wanted = Wanted(labelers.enter(labels.connection, FIRST), FIRST, label(number).uri, actor="cli", **done)
            with writing(labels.database) as connection:
                issue(connection, replace(old, system=frozenset(("!warn",))), wanted, now)

        async def wait(there: Callable[[], Any]) -> None:
            async with asyncio.timeout(30 * PATIENCE):
                while not there():
                    await asyncio.sleep(0.02)

        say(1, START, add=("spoiler",))
        assert (await one.next()).said["labels"][0]["val"] == "spoiler"
        other = text.replace('"spoiler"', '"plot"').replace("[[labeler.", 'system = ["!warn"]\n[[labeler.')
        put(config.labels, other)
        await wait(lambda: labels.run("SELECT 1 FROM process WHERE name = 'labels.toml'"))
        say(2, START + 1, add=("spoiler", "!warn"))
        say(1, START + 2, remove=("spoiler",))
        came = [(await one.next()).said["labels"][0] for _ in range(2)]
        assert sorted((row["val"], row.get("neg", False)) for row in came) == [("!warn", False), ("spoiler", True)]
        await wait(lambda: labelers.held_back(labels.connection, 1) == {"spoiler": 1})
        assert (await metrics(site))["communities_labels_fault"] == 0
        began = time.monotonic()
        put(config.labels, text)
        last = (await one.next()).said["labels"][0]
        assert (last["uri"], last["val"], last.get("neg", False)) == (label(2).uri, "spoiler", False)
        assert time.monotonic() - began < 10 * PATIENCE, "the change itself wakes the publisher"
        labels.database.close()
