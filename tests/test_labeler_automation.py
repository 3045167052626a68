"""Automatic rules over a real database: what they label, once, up to their quota, and what people have overruled."""

import time
from pathlib import Path

import pytest

from models import label_rules
from tests.automation_site import NOW, Robot
from tests.didnet import plc
from tests.label_scene import AUTHOR, POST, Scene, version

WORDS = '[[rule]]\nname = "words"\nvalue = "spam"\nkeywords = ["buy now"]\n'


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path, capsys)


def test_a_post_that_fits_is_labelled_in_its_version_with_the_rule_as_actor(scene: Scene) -> None:
    robot = Robot(scene, WORDS + 'communities = ["birds"]\n')
    assert robot.post("Buy now!") == POST and robot.post("hello", "3l")
    assert robot.events() == [("rule:words", POST, version("Buy now!"), "spam", "", "words", "keyword buy now", 1)]
    assert robot.holds(POST) == {"spam"} and scene.sql("SELECT * FROM label_due") == []
    (shown,) = scene.json("rules")
    assert (shown["rule"], shown["quota"]) == ("words", 200)


def test_posts_of_other_communities_are_left_alone(scene: Scene) -> None:
    robot = Robot(scene, WORDS + 'communities = ["frogs"]\n')
    robot.post("buy now")
    assert robot.events() == []
    robot.post("buy now", "3l", slug="frogs")
    assert len(robot.events()) == 1


def test_the_author_is_labelled_where_the_rule_says_so_once(scene: Scene) -> None:
    robot = Robot(scene, WORDS + 'on = "account"\n')
    robot.post("buy now", "3k")
    robot.post("buy now again", "3l")
    assert [event[:3] for event in robot.events()] == [("rule:words", AUTHOR, "")]


def test_an_edited_post_is_looked_at_again_and_the_same_version_is_not_labelled_twice(scene: Scene) -> None:
    robot = Robot(scene, WORDS)
    robot.post("hello")
    assert robot.events() == []
    robot.post("buy now 1")
    scene.sql("UPDATE post SET likes = likes + 1")
    assert scene.sql("SELECT * FROM label_due") == [], "a like is no edit"
    scene.sql("INSERT INTO label_due (post) SELECT id FROM post")  # as after a crash before it was noted as done
    robot.work()
    assert len(robot.events()) == 1
    robot.post("buy now 2")
    assert [event[2] for event in robot.events()] == [version("buy now 1"), version("buy now 2")]


def test_nothing_is_noted_without_rules(scene: Scene) -> None:
    scene.post("3k", "buy now")
    assert scene.sql("SELECT * FROM label_due") == []
    robot = Robot(scene, WORDS)
    scene.post("3l", "buy now")
    assert len(scene.sql("SELECT * FROM label_due")) == 1
    scene.labels("")
    robot.work()
    assert scene.sql("SELECT * FROM label_due") == scene.sql("SELECT * FROM label_watch") == []
    scene.post("3m", "buy now")
    assert scene.sql("SELECT * FROM label_due") == [] and robot.events() == []


def test_a_quota_stops_a_rule_for_the_day_and_is_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    robot = Robot(scene, WORDS + "quota = 3\n")
    for number in range(5):
        robot.post(f"buy now {number}", f"a{number}")  # each as after a restart: it is not only remembered
    assert len(robot.events()) == 3
    assert "the rule words has issued its 3 labels of today" in caplog.text
    scene.sql("UPDATE label_rule_day SET day = day + ?", _today() - int(NOW) // 86_400)
    (shown,) = scene.json("rules")
    assert (shown["labelled"], shown["over"], shown["full"]) == (3, 2, True)
    assert "stopped until midnight" in scene.label("rules")
    scene.sql("UPDATE label_rule_day SET day = day - ?", _today() - int(NOW) // 86_400)
    robot.now += 86_400
    robot.post("buy now tomorrow", "b")
    assert len(robot.events()) == 4


def _today() -> int:
    return int(time.time()) // 86_400


def test_a_dry_run_writes_no_label_but_counts_and_keeps_a_bounded_sample(scene: Scene) -> None:
    robot = Robot(scene, WORDS + "dry_run = true\nquota = 2\n")
    for number in range(label_rules.SAMPLES + 5):
        scene.post(f"a{number}", f"buy now {number}")
    robot.work()
    assert robot.events() == scene.sql("SELECT * FROM label_outbox") == []
    assert scene.sql("SELECT matched, labelled, over FROM label_rule_day") == [(label_rules.SAMPLES + 5, 0, 0)]
    samples = scene.sql("SELECT uri, why FROM label_rule_sample ORDER BY id DESC")
    assert len(samples) == label_rules.SAMPLES and samples[0] == (
        f"at://{AUTHOR}/app.bsky.feed.post/a24",
        "keyword buy now",
    )
    (shown,) = scene.json("rules", "--samples", "2")
    assert shown["dryRun"] and len(shown["samples"]) == 2


def test_all_that_a_rule_did_is_undone_in_one_command_and_not_done_again(scene: Scene) -> None:
    robot = Robot(scene, WORDS)
    uris = [robot.post(f"buy now {number}", f"a{number}") for number in range(4)]
    scene.label("add", uris[0], "spoiler")
    scene.publish()
    assert scene.json("retract", "--rule", "words")[0]["labels"] == 4
    scene.publish()
    assert [robot.holds(uri) for uri in uris] == [{"spoiler"}, set(), set(), set()]
    scene.sql("INSERT INTO label_due (post) SELECT id FROM post")
    robot.work()
    assert robot.holds(uris[1]) == set()


def test_what_a_person_took_away_is_not_said_again_of_that_version(scene: Scene) -> None:
    robot = Robot(scene, WORDS + WORDS.replace('"words"', '"more"'))
    robot.post("buy now")
    assert len(robot.events()) == 1, "it holds, so the second rule has nothing to add"
    scene.label("remove", POST, "spam")
    scene.sql("INSERT INTO label_due (post) SELECT id FROM post")
    robot.work()
    assert robot.holds(POST) == set()
    robot.post("buy now, edited")
    assert robot.holds(POST) == {"spam"}, "another version is another matter"


def test_a_persons_label_stays_as_it_is(scene: Scene) -> None:
    robot = Robot(scene, WORDS + 'for = "1d"\n')
    scene.label("add", POST, "spam")
    robot.post("buy now")
    assert [event[0] for event in robot.events()] == ["cli"]


def test_a_label_that_ends(scene: Scene) -> None:
    robot = Robot(scene, WORDS + 'for = "1d"\n')
    robot.post("buy now")
    assert scene.sql("SELECT exp - cts FROM label_outbox") == [(86_400_000,)]


def test_an_account_is_labelled_again_when_its_label_has_ended_and_not_when_a_person_ended_it(scene: Scene) -> None:
    robot = Robot(scene, WORDS + 'on = "account"\nfor = "1d"\n')
    robot.now = time.time()  # the command goes by the clock of this machine
    robot.post("buy now", "a")
    robot.post("buy now", "b")
    robot.now += 2 * 86_400
    robot.post("buy now", "c")
    assert len(robot.events()) == 2 and robot.holds(AUTHOR) == {"spam"}
    scene.label("remove", AUTHOR, "spam")
    robot.now += 2 * 86_400
    robot.post("buy now", "d")
    assert [event[0] for event in robot.events()] == ["rule:words", "rule:words", "cli"]


def test_a_post_that_makes_a_fault_of_ours_is_passed_over_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from labeler.automation import Automation
    from labeler.rule_match import RuleMatcher

    match, apply = RuleMatcher.match, Automation._apply
    monkeypatch.setattr(
        RuleMatcher, "match", lambda self, case, known: 1 / 0 if "/a1" in case.uri else match(self, case, known)
    )
    monkeypatch.setattr(
        Automation, "_apply", lambda self, c, case, *more: 1 / 0 if "/a3" in case.uri else apply(self, c, case, *more)
    )
    robot = Robot(scene, WORDS)
    for number in range(5):
        scene.post(f"a{number}", "buy now")
    robot.work()
    assert [event[1][-2:] for event in robot.events()] == ["a0", "a2", "a4"]
    assert scene.sql("SELECT * FROM label_due") == []
    assert "cannot be held against" in caplog.text and "cannot be done" in caplog.text


def test_posts_by_rate_and_by_list(scene: Scene) -> None:
    flood = '[[rule]]\nname = "flood"\nvalue = "spam"\nmore_than = { posts = 2, within = "1h" }\n'
    listed = f'[[rule]]\nname = "listed"\nvalue = "spoiler"\nlists = ["at://{plc(1)}/app.bsky.graph.list/x"]\n'
    robot = Robot(scene, flood + listed)
    scene.sql("INSERT INTO list_item VALUES (?, 'r', ?, ?)", plc(1), f"at://{plc(1)}/app.bsky.graph.list/x", plc(6))
    at = int(NOW * 1_000_000)
    uris = [robot.post(str(number), f"a{number}", at=at + number * 60_000_000) for number in range(4)]
    late = robot.post("late", "b", at=at + 7_200_000_000)
    assert [robot.holds(uri) for uri in (*uris, late)] == [set(), set(), {"spam"}, {"spam"}, set()]
    assert robot.holds(robot.post("x", "c", did=plc(6))) == {"spoiler"}
    (_, shown) = scene.json("rules")
    assert shown["unreadLists"] == [f"at://{plc(1)}/app.bsky.graph.list/x"], "a rule that can fit nothing is told of"


def test_a_post_waits_until_the_age_of_its_author_is_known(scene: Scene) -> None:
    robot = Robot(scene, '[[rule]]\nname = "new"\nvalue = "spam"\naccount_younger_than = "7d"\n')
    young = robot.post("a", "a")
    old = robot.post("a", "a", did=plc(6))
    assert robot.events() == []
    assert sorted(scene.sql("SELECT did, created_at FROM account_age")) == sorted([(AUTHOR, None), (plc(6), None)])
    assert robot.work() == 0, "nobody turns in circles"
    day = 86_400_000_000
    for did, days in ((AUTHOR, 2), (plc(6), 8)):
        scene.sql("UPDATE account_age SET created_at = ? WHERE did = ?", int(NOW * 1e6) - days * day, did)
        scene.sql("UPDATE label_due SET waits = '' WHERE waits = ?", did)
    robot.work()
    assert robot.holds(young) == {"spam"} and robot.holds(old) == set()


def test_what_is_no_post_any_more_or_none_at_all_stops_nothing(scene: Scene) -> None:
    robot = Robot(scene, WORDS)
    scene.post("a", "buy now")
    scene.sql("DELETE FROM post")
    scene.post("b", "buy now")
    scene.sql("UPDATE post SET record = x'ff00'")
    scene.sql("INSERT INTO label_due (post) VALUES (999)")
    uri = scene.post("c", "buy now")
    robot.work()
    assert [event[1] for event in robot.events()] == [uri]
    assert scene.sql("SELECT * FROM label_due") == []


def test_an_edit_while_a_post_is_looked_at_is_not_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(scene, WORDS)
    scene.post("3k", "hello")
    from labeler import automation

    judge = automation.case_of

    def slow(*args: object) -> object:
        found = judge(*args)  # type: ignore[arg-type]
        monkeypatch.undo()
        scene.post("3k", "buy now")  # by another process, between the look and the act
        return found

    monkeypatch.setattr(automation, "case_of", slow)
    robot.work()
    assert robot.holds(POST) == {"spam"}


def test_the_backtest_shows_what_rules_would_do_and_writes_nothing(scene: Scene) -> None:
    for number in range(30):
        scene.post(f"a{number}", f"buy now {number}" if number % 3 == 0 else "hello")
    scene.labels((scene.folder / "labels.toml").read_text() + WORDS)
    (shown,) = scene.json("rules", "--backtest", "1000", "--samples", "2")
    assert (shown["posts"], shown["fits"], len(shown["samples"])) == (30, 10, 2)
    (few,) = scene.json("rules", "--backtest", "6")
    assert (few["posts"], few["fits"]) == (6, 2)
    assert "would fit 10 of 30 posts" in scene.label("rules", "--backtest", "1000")
    for table in ("label_event", "label_outbox", "label_rule_day", "label_rule_sample", "label_due"):
        assert scene.sql(f"SELECT * FROM {table}") == []


def test_faults_of_the_file_are_told_by_the_command(scene: Scene) -> None:
    scene.labels('[[rule]]\nname = "a"\n')
    said = scene.label("rules", code=2)
    assert "labels.toml:1: rule[1].value: is missing" in said
    scene.labels("")
    assert "declares no rules" in scene.label("rules")


def test_a_moderators_removal_in_a_version_counts_although_no_rule_was_there_before(scene: Scene) -> None:
    robot = Robot(scene, WORDS)
    scene.label("add", POST, "spam", "--cid", version("buy now"))
    scene.label("remove", POST, "spam")
    robot.post("buy now")
    assert robot.holds(POST) == set()
