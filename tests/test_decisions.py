"""The log of decisions in the database: numbered and linked for each community, appended to, and never changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from communities import logbook
from communities.access import Action
from communities.log import Acting, BrokenLogError, Decision, Event, Head, genesis, verify
from models import decisions
from models.database import open_database, sql, writing
from models.tables import Decision as DecisionTable

BIRDS, TREES = 1, 2
SLUGS = {BIRDS: "birds", TREES: "trees"}
POST = "at://did:plc:a/app.bsky.feed.post/3k"
FULL = Decision(Action.REMOVE, "did:plc:m", Acting.MODERATOR, POST, "bafyrei", "it says \0 and ü", "spam", 7)
WORDS = "'', '', '', '', '', '', ''"
BARE = Decision(Action.EDIT, "did:plc:o", Acting.OWNER)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    opened = open_database(tmp_path / "communities.db")
    yield opened
    opened.close()


def write(database: Any, community: int, *made: Decision) -> list[Event]:
    with writing(database) as connection:
        return [logbook.write(connection, community, SLUGS[community], 5, decision) for decision in made]


def read(database: Any, community: int) -> list[Event]:
    return list(logbook.read(sql(database), community))


def test_what_is_written_is_read_and_each_community_has_a_log_of_its_own(database: Any) -> None:
    birds = write(database, BIRDS, FULL, BARE)
    trees = write(database, TREES, FULL)
    birds += write(database, BIRDS, FULL)
    assert read(database, BIRDS) == birds and read(database, TREES) == trees and read(database, 3) == []
    assert [event.seq for event in birds] == [1, 2, 3] and [event.seq for event in trees] == [1]
    assert verify(read(database, BIRDS), genesis("birds")) == logbook.head(sql(database), BIRDS, "birds")
    assert verify(read(database, TREES), genesis("trees")) == Head(1, trees[0].hash)
    assert logbook.head(sql(database), 3, "bees") == genesis("bees")
    with pytest.raises(BrokenLogError):
        verify(read(database, TREES), genesis("birds"))


def test_what_the_caller_takes_back_was_never_written(database: Any) -> None:
    def fail() -> None:
        with writing(database) as connection:
            logbook.write(connection, BIRDS, "birds", 5, FULL)
            raise ZeroDivisionError

    (first,) = write(database, BIRDS, FULL)
    with pytest.raises(ZeroDivisionError):
        fail()
    (second,) = write(database, BIRDS, BARE)
    assert read(database, BIRDS) == [first, second] and second.seq == 2


def test_pages_go_back_and_are_about_a_subject(database: Any) -> None:
    events = write(database, BIRDS, *[FULL, BARE] * 3)
    write(database, TREES, FULL)

    def page(*words: Any, **more: Any) -> list[int]:
        return [event.seq for event in logbook.page(sql(database), BIRDS, *words, **more)]

    assert page(4) == [6, 5, 4, 3] and page(4, before=3) == [2, 1] and page(4, before=1) == []
    assert page(9, subject=POST) == [5, 3, 1] and page(1, before=5, subject=POST) == [3] and page(9, subject="") == []
    assert logbook.page(sql(database), BIRDS, 9) == events[::-1]


def test_all_are_read_in_order_whatever_a_batch_is(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events = write(database, BIRDS, *[BARE] * 6)
    for batch in (1, 2, 3, 5, 6, 7):
        monkeypatch.setattr(decisions, "_BATCH", batch)
        assert read(database, BIRDS) == events
    monkeypatch.setattr(decisions, "_BATCH", 4)
    reading = logbook.read(sql(database), BIRDS)
    found = [next(reading)]
    events += write(database, BIRDS, FULL)
    assert [*found, *reading] == events


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE decision SET reason = 'x' WHERE seq = 1", "never changed"),
        ("UPDATE decision SET seq = 9 WHERE seq = 2", "never changed"),
        ("UPDATE OR IGNORE decision SET hash = hash", "never changed"),
        ("DELETE FROM decision WHERE seq = 2", "never deleted"),
        ("DELETE FROM decision", "never deleted"),
        ("REPLACE INTO decision SELECT * FROM decision WHERE seq = 2", "follows"),
        ("INSERT OR IGNORE INTO decision SELECT * FROM decision WHERE seq = 2", "follows"),
        (
            "INSERT INTO decision SELECT * FROM decision WHERE seq = 2"
            " ON CONFLICT DO UPDATE SET reason = 'x'",
            "follows",
        ),
        (f"INSERT INTO decision SELECT 3, 2, 5, {WORDS}, 1, salts, prev, hash FROM decision", "follows"),
        (f"INSERT INTO decision SELECT 1, 4, 5, {WORDS}, 1, salts, hash, hash FROM decision", "follows"),
        (
            f"INSERT INTO decision SELECT 1, 3, 5, {WORDS}, 1, salts, prev, hash FROM decision"
            " WHERE seq = 2",
            "follows",
        ),
        (f"INSERT INTO decision SELECT 3, 1, -1, {WORDS}, 1, salts, prev, hash FROM decision", "CHECK"),
    ],
)  # fmt: skip
def test_the_database_refuses_whatever_does_not_append(database: Any, statement: str, said: str) -> None:
    events = write(database, BIRDS, FULL, BARE)
    with pytest.raises(apsw.ConstraintError, match=said), writing(database) as connection:
        connection.execute(statement)
    assert read(database, BIRDS) == events


def test_two_who_read_the_same_head_do_not_both_append(database: Any) -> None:
    (event,) = write(database, BIRDS, FULL)
    (row,) = decisions.newest(sql(database), BIRDS, 1)
    for seq in (1, 2):
        with pytest.raises(apsw.ConstraintError, match="follows"), writing(database) as connection:
            decisions.append(connection, row._replace(seq=seq))
    assert read(database, BIRDS) == [event]


def test_who_goes_round_the_triggers_is_found(database: Any) -> None:
    """Somebody with the file in hand can change it; the hashes tell where."""
    write(database, BIRDS, FULL, BARE, FULL)
    with writing(database) as connection:
        for name in ("update", "delete", "insert"):
            connection.execute(f"DROP TRIGGER decision_{name}")
    changes = [f"{column} = 'x'" for column in ("actor", "role", "action", "subject", "cid", "reason", "rule")]
    changes += ["subject = NULL", "reason = NULL", "until = NULL", "until = 8", "at = 6"]
    changes += ["salts = zeroblob(96)", "prev = zeroblob(32)", "hash = zeroblob(32)", "seq = 0", "seq = 17"]
    for change in changes:
        with pytest.raises(ZeroDivisionError), writing(database) as connection:
            connection.execute(f"UPDATE decision SET {change} WHERE seq = 3")
            with pytest.raises(BrokenLogError) as broken:
                verify(read(database, BIRDS), genesis("birds"))
            assert broken.value.seq == (1 if change == "seq = 0" else 3), change
            raise ZeroDivisionError
    verify(read(database, BIRDS), genesis("birds"))


def test_the_model_reads_what_the_log_wrote(database: Any) -> None:
    (event,) = write(database, BIRDS, FULL)
    with database.bind_ctx([DecisionTable]):
        row: Any = DecisionTable.get((DecisionTable.community == BIRDS) & (DecisionTable.seq == 1))
    assert (row.actor, row.reason, row.until, bytes(row.hash)) == ("did:plc:m", "it says \0 and ü", 7, event.hash)
