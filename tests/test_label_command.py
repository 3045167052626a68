"""`communities label`: labels come, are listed and go, through the command line and a real database."""

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from models import database
from models.database import open_database, writing
from service import label_import
from tests.civic_posts import a_cid
from tests.label_scene import AUTHOR, LABELER, LABELS, OTHER, POST, SECOND, Scene

CID = a_cid("v1")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path, capsys)


def test_a_label_comes_holds_at_once_is_published_and_goes(scene: Scene) -> None:
    assert "no key yet" in scene.label("add", POST, "spam", "spoiler", "--reason", "seen", "--community", "birds")
    (one, two) = scene.json("list", POST)
    assert (one["value"], two["value"]) == ("spam", "spoiler")
    assert (one["actor"], one["community"], one["reason"], one["published"]) == ("cli", "birds", "seen", False)
    assert scene.publish() == 2
    assert [line["published"] for line in scene.json("list", POST)] == [True, True]
    assert "-spam" in scene.label("remove", POST, "spam")
    assert scene.holds(POST) == {"spoiler"}
    scene.publish()
    assert sorted(scene.stream()) == [("spam", "", 1), ("spoiler", "", 0)]


def test_what_stands_already_is_not_said_again(scene: Scene) -> None:
    assert scene.json("add", POST, "spam")[0]["event"] == 1
    assert scene.json("add", POST, "spam") == [{"event": None, "added": [], "removed": []}]
    assert "how it stands already" in scene.label("remove", AUTHOR, "spam")
    assert len(scene.sql("SELECT 1 FROM label_event")) == 1


def test_a_label_for_a_time_and_a_version(scene: Scene) -> None:
    scene.label("add", POST, "spam", "--cid", CID, "--for", "2d")
    (one,) = scene.json("list", POST)
    assert one["cid"] == CID and one["until"] > one["since"]
    assert "until" in scene.label("list", POST)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["add", POST, "nonsense"], "does not declare"),
        (["add", POST, "!hide"], "does not declare"),
        (["add", POST, "!takedown"], "never issued"),
        (["add", POST, "SPAM"], "letters a to z"),
        (["add", "alice.example.com", "spam"], "a subject is a DID"),
        (["add", "at://alice.example.com/app.bsky.feed.post/3k", "spam"], "a subject is a DID"),
        (["add", AUTHOR, "spam", "--cid", CID], "no versions"),
        (["add", POST, "spam", "--cid", "x"], "no CID"),
        (["add", POST, "spam", "--labeler", OTHER], "declares no labeler"),
        (["add", POST, "spam", "--community", "nowhere"], "there is no community nowhere"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_nothing_changes(scene: Scene, words: list[str], why: str) -> None:
    assert why in scene.label(*words, code=1)
    assert scene.sql("SELECT 1 FROM label_event") == scene.sql("SELECT 1 FROM label_outbox") == []


def test_system_values_where_they_are_declared(scene: Scene) -> None:
    scene.label("add", AUTHOR, "!warn")
    assert scene.holds(AUTHOR) == {"!warn"}


def test_which_labeler_is_meant(scene: Scene) -> None:
    scene.labels(LABELS + SECOND)
    assert "say which labeler" in scene.label("add", POST, "owl", code=1)
    assert scene.json("add", POST, "owl", "--labeler", OTHER, "--community", "birds")[0]["added"] == ["owl"]
    assert "does not label for frogs" in scene.label(
        "add", POST, "owl", "--labeler", OTHER, "--community", "frogs", code=1
    )
    assert scene.json("add", POST, "spam", "--community", "frogs")[0]["added"] == ["spam"], "the only one for them"
    scene.labels("")
    assert "declares no labeler" in scene.label("add", POST, "spam", code=1)
    assert [one["value"] for one in scene.json("list", POST, "--labeler", OTHER)] == ["owl"], "still to be seen"


def test_the_list_of_what_was_done_and_of_the_newest(scene: Scene) -> None:
    for number in range(5):
        scene.label("add", f"{POST}{number}", "spam")
    scene.label("remove", f"{POST}4", "spam")
    assert [one["event"] for one in scene.json("list", "--limit", "2")] == [4, 3]
    assert [one["event"] for one in scene.json("list", "--before", "3")] == [2, 1]
    events = scene.json("list", f"{POST}4", "--events")
    assert [(one["added"], one["removed"]) for one in events] == [([], ["spam"]), (["spam"], [])]
    scene.label("add", POST, "spam", "--reason", "a\x1b[2J")
    assert "\x1b" not in scene.label("list", POST)


def test_import_of_both_forms_is_checked_applied_and_repeatable(scene: Scene) -> None:
    lines = [{"uri": POST, "val": "spam", "cid": CID}, {"uri": AUTHOR, "val": "spoiler", "exp": "2999-01-01T00:00:00Z"}]
    (scene.folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert scene.json("import", "a.jsonl", "--batch", "one")[0] == {
        "lines": 2, "changed": 2, "bad": 0, "batch": "one", "dryRun": False,
    }  # fmt: skip
    (scene.folder / "b.csv").write_text(f'\ufeffval,uri,neg\nspam,"{POST}",true\nspam,{AUTHOR},\n')
    assert scene.json("import", "b.csv", "--dry-run")[0]["changed"] == 0
    assert scene.json("import", "b.csv")[0]["changed"] == 2
    assert scene.json("import", "b.csv")[0]["changed"] == 0, "the second time all is so already"
    assert scene.holds(POST) == set() and scene.holds(AUTHOR) == {"spam", "spoiler"}
    assert "1 labels were taken back" in scene.label("retract", "--batch", "one")


def test_import_names_every_fault_and_applies_nothing(scene: Scene) -> None:
    bad = [
        "{", '{"uri": 5, "val": "spam"}', '["x"]', '{"uri": "at://a.example/x/y", "val": "spam"}',
        json.dumps({"uri": POST, "val": "nonsense"}), json.dumps({"uri": POST, "val": "spam", "cid": "x"}),
        json.dumps({"uri": POST, "val": "spam", "exp": "2001-01-01T00:00:00Z"}),
        json.dumps({"uri": POST, "val": "spam", "neg": "yes"}), json.dumps({"uri": POST, "val": "spam", "more": 1}),
        json.dumps({"uri": POST, "val": "spam", "exp": "soon"}), json.dumps({"uri": POST}), "[" * 5000,
        json.dumps({"uri": POST, "val": "spam", "cts": "x" * 300_000}),
    ]  # fmt: skip
    good = json.dumps({"uri": POST, "val": "spam"})
    (scene.folder / "a.jsonl").write_text("\n".join([good, *bad, good]))
    said = scene.label("import", "a.jsonl", code=1)
    for number in range(2, len(bad) + 2):
        assert f"a.jsonl:{number}: " in said
    assert "nothing was changed: 13 of 15" in said and scene.holds(POST) == set()
    assert scene.json("import", "a.jsonl", "--skip-bad", code=1)[0]["changed"] == 1
    assert scene.holds(POST) == {"spam"}


@pytest.mark.parametrize(
    "text", ["uri;val\n", "uri,val,val\nx,y,z\n", "uri,val,colour\n", "just text", "uri,val\ra,b\r"]
)
def test_a_file_of_another_kind_is_refused_at_its_first_line(scene: Scene, text: str) -> None:
    (scene.folder / "a.csv").write_text(text)
    assert "a.csv:1: " in scene.label("import", "a.csv", code=1)


def test_an_import_that_is_interrupted_says_how_to_go_on_and_how_to_take_it_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scene.folder / "a.csv").write_text(f"uri,val\n{POST},spam\n{AUTHOR},spam\n")
    monkeypatch.setattr(label_import, "PIECE", 1)
    issue_all, calls = label_import.issue_all, []

    def interrupted(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return issue_all(*given)

    monkeypatch.setattr(label_import, "issue_all", interrupted)
    said = scene.label("import", "a.csv", "--batch", "two words", code=130)
    assert "of 2 lines at least 1 are applied" in said and said.count("--batch 'two words'") == 2
    assert scene.json("import", "a.csv", "--batch", "two words")[0]["changed"] == 1
    assert scene.json("retract", "--batch", "two words")[0]["labels"] == 2
    assert "to take it back" not in scene.label("import", "a.csv", "--dry-run")


def test_a_file_that_is_changed_while_it_is_imported_is_told_of(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    file = scene.folder / "a.csv"
    file.write_text(f"uri,val\n{POST},spam\n{AUTHOR},spam\n")
    pieces = label_import._pieces

    def changed(*given: Any) -> Any:
        file.write_text(f"uri,val\n{POST},spam\nnobody,spam\n")
        return pieces(*given)

    monkeypatch.setattr(label_import, "_pieces", changed)
    said = scene.label("import", "a.csv", "--batch", "b", code=1)
    assert "was changed while it was read: 1 lines were applied, and 2 had" in said and "--batch b" in said


def test_a_database_that_others_write_for_long_is_told_of(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with closing(open_database(scene.path)) as other, writing(other):
        assert "locked; another process writes" in scene.label("add", POST, "spam", code=1)
        assert scene.holds(POST) == set()
    scene.label("add", POST, "spam")


def test_to_take_back_nothing_in_particular_is_wrong_usage(scene: Scene) -> None:
    assert "say what to take back" in scene.label("retract", code=2)
    assert "must not be empty" in scene.label("retract", "--rule", "", code=2)


@pytest.mark.parametrize(
    "subject", ["alice.example", "https://bsky.app/profile/alice.example/post/3k", "at://alice.example"]
)
def test_what_cannot_be_labelled_is_not_said_to_have_no_label(scene: Scene, subject: str) -> None:
    assert "a subject is a DID" in scene.label("list", subject, code=1)


def test_a_folder_that_may_not_be_looked_into_is_told_of(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMUNITIES_DATA", "x" * 300)
    assert "communities.db: the database cannot be opened" in scene.label("list", code=1)


def test_import_from_standard_input_and_of_what_was_exported(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        json.dumps({"uri": f"{POST}{number}", "val": "spam"}) for number in range(1100)
    ]  # several pieces and pages
    (scene.folder / "many").write_text("\n".join(lines))

    class Input:
        buffer = io.BytesIO((scene.folder / "many").read_bytes())

    monkeypatch.setattr("sys.stdin", Input)
    assert scene.json("import", "-", "--batch", "many")[0]["changed"] == 1100
    assert scene.publish() == 1100
    exported = scene.json("export")
    assert [one["uri"] for one in exported] == [f"{POST}{number}" for number in range(1100)]
    assert exported[0]["src"] == LABELER and exported[0]["sig"]["$bytes"]
    assert scene.json("retract", "--batch", "many", "--dry-run")[0]["labels"] == 1100
    assert scene.json("retract", "--batch", "many")[0]["labels"] == 1100
    (scene.folder / "back").write_text("\n".join(map(json.dumps, exported)))
    assert scene.json("import", "back")[0]["changed"] == 1100


def test_retract_takes_back_what_still_holds_because_of_it(scene: Scene) -> None:
    scene.label("add", POST, "spam", "spoiler", "--community", "birds")
    scene.label("add", AUTHOR, "spam", "--community", "frogs")
    assert "0 labels" in scene.label("retract", "--community", "birds", "--actor", "did:plc:nobody")
    assert "2 labels would be" in scene.label("retract", "--event", "1", "--dry-run")
    assert scene.holds(POST) == {"spam", "spoiler"}
    assert "2 labels were" in scene.label("retract", "--community", "birds", "--reason", "wrong")
    assert "0 labels were" in scene.label("retract", "--event", "1")
    assert scene.holds(POST) == set() and scene.holds(AUTHOR) == {"spam"}
    assert scene.json("list", POST, "--events")[0]["reason"] == "wrong"
    assert "1 labels were" in scene.label("retract", "--actor", "cli")


def test_without_a_database_nothing_is_made(scene: Scene) -> None:
    scene.path.unlink()
    for suffix in ("-wal", "-shm"):
        scene.path.with_name(scene.path.name + suffix).unlink(missing_ok=True)
    assert "no such database" in scene.label("add", POST, "spam", code=1)
    assert not scene.path.exists()
