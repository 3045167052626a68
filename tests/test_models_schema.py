"""The schema: what a fresh file has, what migrating does, and that the peewee models say the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import peewee
import pytest

from communities import logbook
from communities.access import Action, Role, Scope, Status
from communities.casebook import append, standing
from communities.log import Acting, Decision
from communities.members import held
from communities.membership import Membership
from communities.mod_event import Kind, ModEvent
from communities.records import OURS
from communities.short_code import code_of
from firehose.times import now_micros, tid
from models import event_selection, migrations, mod_events, tool_use
from models.case_tables import TABLES as CASES
from models.database import DatabaseError, open_database, sql, writing
from models.event_selection import Selection
from models.label_rule_tables import TABLES as LABEL_RULES
from models.label_rules import was_done_by_rule
from models.mod_events import SubjectKey
from models.moderation_tables import TABLES as MODERATION
from models.ozone_tables import TABLES as OZONE
from models.steps_appeals import APPEALS
from models.steps_cases import CASES as CASES_STEP
from models.steps_commands import COMMANDS
from models.steps_context import CONTEXT
from models.steps_declared import REFUSED
from models.steps_forward import FORWARD
from models.steps_hidden import HIDDEN
from models.steps_label_rules import LABEL_RULES as RULES_STEP
from models.steps_labels import SUBJECTS
from models.steps_limits import LIMITS
from models.steps_ozone import SETS, TEAM
from models.steps_queues import QUEUES
from models.steps_reports import REPORT_WORK
from models.steps_tagging import TAGGING
from models.steps_undo import UNDO
from models.tables import TABLES as INDEX

HOUR = 3_600_000_000
TABLES = (*INDEX, *MODERATION, *LABEL_RULES, *OZONE, *CASES)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    opened = open_database(tmp_path / "communities.db")
    yield opened
    opened.close()


def tables(database: Any) -> set[str]:
    rows = sql(database).execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name for (name,) in rows}


def test_every_table_has_a_model_and_every_model_a_table(database: Any) -> None:
    assert {model._meta.table_name for model in TABLES} == tables(database)


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_a_model_says_what_the_table_is(database: Any, model: Any) -> None:
    meta = model._meta
    columns = sql(database).execute(f"PRAGMA table_info({meta.table_name})").fetchall()
    assert [field.column_name for field in meta.sorted_fields] == [name for _, name, *_ in columns]
    key = meta.primary_key
    keyed = list(key.field_names) if isinstance(key, peewee.CompositeKey) else [key.column_name]
    assert sorted(keyed) == sorted(name for _, name, *_, place in columns if place)
    for field, (_, name, kind, required, default, place) in zip(meta.sorted_fields, columns, strict=True):
        stored = {"AUTO": "INTEGER", "BOOL": "INTEGER", "INT": "INTEGER"}.get(field.field_type, field.field_type)
        assert stored == kind, name
        assert field.null == (not required and not place), name
        stated = None if default is None else default.strip("'") if kind == "TEXT" else int(default)
        assert field.default == stated or (field.default is None and stated is None), name
    unique = {
        tuple(row[2] for row in sql(database).execute(f"PRAGMA index_info({index[1]})").fetchall())
        for index in sql(database).execute(f"PRAGMA index_list({meta.table_name})").fetchall()
        if index[2] and index[3] == "u"
    }
    declared = {(field.column_name,) for field in meta.sorted_fields if field.unique and not field.primary_key}
    declared |= {tuple(columns) for columns, is_unique in meta.indexes if is_unique}
    assert declared == unique


def test_models_read_and_write_what_the_hot_paths_do(database: Any) -> None:
    from models.tables import Actor, Post

    with database.bind_ctx([Actor, Post]), database.atomic():
        actor: Any = Actor.create(did="did:plc:x")
        post: Any = Post.create(actor=actor.id, rkey="r", cid=b"c", record=b"\x00\xff", sort_at=1 << 62, event_at=2)
        found: Any = Post.select().where(Post.rkey == "r").get()
    assert (found.id, bytes(found.record), found.sort_at, found.likes) == (post.id, b"\x00\xff", 1 << 62, 0)
    assert sql(database).execute("SELECT active, purge, rev FROM actor").fetchone() == (1, 0, "")


def test_migrating_again_does_nothing(database: Any) -> None:
    before = sql(database).execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
    with writing(database):
        assert migrations.migrate(database.connection()) == 0
    assert sql(database).execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall() == before
    assert sql(database).execute("PRAGMA user_version").fetchone() == (len(migrations.STEPS),)


def test_opening_again_keeps_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "communities.db"
    for round in range(3):
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO meta VALUES (?, 'x')", (f"k{round}",))
        assert len(sql(database).execute("SELECT * FROM meta").fetchall()) == round + 1
        database.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    open_database(path).close()
    steps = (*migrations.STEPS, "CREATE TABLE extra (x); INSERT INTO extra VALUES (1); SELECT x FROM nowhere")
    monkeypatch.setattr(migrations, "STEPS", steps)
    with pytest.raises(DatabaseError, match=r"communities\.db: .*nowhere"):
        open_database(path)
    monkeypatch.undo()
    database = open_database(path, readonly=True)
    assert "extra" not in tables(database)
    database.close()


def test_a_later_step_runs_over_rows_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    database = open_database(path)
    with writing(database) as connection:
        connection.execute("INSERT INTO meta VALUES ('a', 'b')")
    database.close()
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, "ALTER TABLE meta ADD COLUMN extra INTEGER DEFAULT 7"))
    with pytest.raises(DatabaseError, match="run `communities ingest` to migrate"):
        open_database(path, readonly=True)
    database = open_database(path)
    assert sql(database).execute("SELECT * FROM meta").fetchall() == [("a", "b", 7)]
    database.close()
    monkeypatch.undo()
    for readonly in (False, True):
        with pytest.raises(DatabaseError, match=r"communities\.db: .*schema"):
            open_database(path, readonly=readonly)


def test_step_2_brings_repositories_and_overlays_to_a_file_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:1])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO source VALUES ('wss://old', 'seq', 7, 1), ('wss://now', 'seq', 9, 5)")
            connection.execute(
                "INSERT INTO actor (id, did, rev, active, account_seq, purge)"
                " VALUES (1, 'did:plc:aa', '3x', 1, 0, 0), (2, 'did:plc:b', '', 0, 8, 1)"
            )
            connection.execute(
                "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at)"
                " VALUES (5, 1, 'r', x'01', x'02', 3, 4)"
            )
            connection.execute(
                "INSERT INTO feed_item VALUES (1, 0, 3, 5, 'at://did:plc:aa/app.bsky.feed.post/r', 'hashtag:x')"
            )
        database.close()
    database = open_database(path)
    found = "SELECT did, rev, active, allowed, shown, account_seq, account_source, purge FROM actor ORDER BY id"
    assert sql(database).execute(found).fetchall() == [
        ("did:plc:aa", "3x", 1, 1, 1, 0, "", 0),
        ("did:plc:b", "", 0, 1, 0, 8, "wss://now", 1),
    ]
    assert sql(database).execute("SELECT count(*) FROM repo").fetchone() == (0,)
    assert sql(database).execute("SELECT uri FROM feed_item").fetchall() == [("at://did:plc:aa/app.bsky.feed.post/r",)]
    database.close()


@pytest.mark.parametrize("url", ["wss://relay", "jetstream+wss://server"])
def test_step_3_takes_the_last_commits_for_partial_where_operations_came_singly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:2])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO source VALUES ('wss://other', 'seq', 9, 5), (?, 'seq', 7, 1)", (url,))
            connection.execute("INSERT INTO actor (id, did, rev) VALUES (1, 'did:plc:aa', '3x')")
            connection.execute("INSERT INTO actor (id, did, active) VALUES (2, 'did:plc:bb', 0)")
            connection.execute("INSERT INTO repo (actor, state) VALUES (1, 'synced')")
        database.close()
    database = open_database(path)
    split = url.startswith("jetstream")
    assert sql(database).execute("SELECT rev, split FROM actor WHERE id = 1").fetchall() == [("3x", split)]
    assert sql(database).execute("SELECT id, counted FROM actor").fetchall() == [(1, 1), (2, 0)]
    assert sql(database).execute("SELECT state, read_at FROM repo").fetchall() == [("synced", 0)]
    assert sql(database).execute("SELECT count(*) FROM late").fetchone() == (0,)
    database.close()


def test_step_4_brings_activity_and_videos_to_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    at = 1_700_000_000_000_000
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:3])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO meta VALUES ('reapply_after', '3')")
            connection.execute("INSERT INTO actor (id, did) VALUES (1, 'did:plc:aa'), (2, 'did:plc:b')")
            connection.execute("INSERT INTO actor (id, did, allowed, counted) VALUES (3, 'did:plc:c', 0, 0)")
            connection.executemany(
                "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at, likes)"
                " VALUES (?, 1, ?, x'', x'', ?, ?, 1)",
                [(number, f"r{number}", at, at) for number in range(1, 6)],
            )
            connection.executemany(
                "INSERT INTO engagement (post, actor, kind, rkey) VALUES (?, ?, 1, ?)",
                [
                    (1, 1, tid(at + 7)), (1, 2, tid(at + 1_234_567)), (1, 3, tid(at + 9_999_999)),
                    (2, 1, tid(at - 7)), (3, 1, "zzz"), (3, 2, tid(at + 3) + "x"), (4, 2, tid(now_micros() + HOUR)),
                ],
            )  # fmt: skip
        database.close()
    database = open_database(path)
    found = dict(sql(database).execute("SELECT id, active_at FROM post"))
    assert at < now_micros() - HOUR
    assert 0 <= now_micros() - found.pop(4) < HOUR
    assert found == {1: at + 1_234_567, 2: at, 3: at, 5: at}
    assert sql(database).execute("SELECT DISTINCT likes, video FROM post").fetchall() == [(1, 0)]
    assert sql(database).execute("SELECT value FROM meta").fetchall() == [("0",)], "all posts are looked at again"
    database.close()


def test_step_5_has_what_was_read_ahead_of_the_stream_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    states = ("synced", "synced", "pending", "desynchronized", "error", "unresolvable")
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:4])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(
                "INSERT INTO actor (id, did, ahead) VALUES (?, ?, ?)",
                [(number, f"did:plc:{number}", number % 2) for number in range(1, 8)],
            )
            connection.executemany(
                "INSERT INTO repo (actor, state, why, data, due_at) VALUES (?, ?, 'before', x'01', 9)",
                list(enumerate(states, 1)),
            )
            # Of all but the first: two records of each; the last is followed by nobody.
            connection.executemany(
                "INSERT INTO late VALUES (?, ?, 'r', x'01')",
                [(number, collection) for number in range(2, 8) for collection in ("a", "b")],
            )
        database.close()
    database = open_database(path)
    found = sql(database).execute("SELECT actor, state, why, data, due_at FROM repo ORDER BY actor").fetchall()
    assert found == [
        (1, "synced", "before", b"\x01", 9),
        (2, "desynchronized", "it was read ahead of the stream", None, 0),
        *((number, state, "before", b"\x01", 9) for number, state in enumerate(states[2:], 3)),
        (7, "desynchronized", "it was read ahead of the stream", None, 0),
    ]
    assert sql(database).execute("SELECT count(*) FROM late").fetchone() == (0,)
    with writing(database) as connection:
        connection.execute("INSERT INTO late VALUES (1, 1, 'r', 'at://x', 5)")
    for query, index in (
        ("SELECT 1 FROM late WHERE subject = ?", "late_subject"),
        ("SELECT 1 FROM late WHERE noted_at < ?", "late_noted_at"),
        ("SELECT id FROM actor WHERE ahead = 1 AND id > ? ORDER BY id", "actor_ahead"),
    ):
        plan = sql(database).execute(f"EXPLAIN QUERY PLAN {query}", (1,)).fetchall()
        assert index in str(plan), plan
    assert sql(database).execute("SELECT id FROM actor WHERE ahead = 1").fetchall() == [(1,), (3,), (5,), (7,)]
    database.close()


def test_step_8_finds_children_and_keeps_generations_of_a_file_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:7])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(
                "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (?, ?, '', '', ?, 1)",
                [(1, "top", "{}"), (2, "child", '{"parent": "top"}'), (3, "apart", '{"parent": null}')],
            )
            connection.execute("INSERT INTO generation VALUES (5, 1, 'hot', x'0100000000000000')")
        database.close()
    database = open_database(path)
    assert sql(database).execute("SELECT id, parent FROM community ORDER BY id").fetchall() == [
        (1, None),
        (2, "top"),
        (3, None),
    ]
    assert sql(database).execute("SELECT * FROM generation").fetchall() == [(5, 1, "hot", b"\1" + bytes(7), "", None)]
    database.close()


def test_step_9_numbers_changes_in_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:8])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(
                "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (?, ?, '', '', ?, 1)",
                [(1, "a", "{}"), (2, "b", '{"account": "did:plc:b"}'), (3, "c", '{"account": null}')],
            )
        database.close()
    database = open_database(path)
    numbers = "SELECT id, revised FROM community ORDER BY id"
    assert sql(database).execute(numbers).fetchall() == [(1, 1), (2, 2), (3, 3)]
    assert sql(database).execute("SELECT account FROM community").fetchall() == [(None,), ("did:plc:b",), (None,)]
    with writing(database) as connection:
        connection.execute("UPDATE community SET rule = '{\"a\": 1}' WHERE id = 1")
        connection.execute(
            "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (9, 'd', '', '', '{}', 1)"
        )
        connection.execute("UPDATE community SET created_at = 5 WHERE id = 2")
        connection.execute("UPDATE community SET declared = 0 WHERE id IN (1, 3)")
        connection.execute(
            "INSERT INTO community (slug, name, description, rule, declared) VALUES ('b', 'B', '', '{}', 1)"
            " ON CONFLICT (slug) DO UPDATE SET name = excluded.name"
        )
    changed = dict(sql(database).execute(numbers))
    assert (changed[9], changed[2]) == (5, 8) and {changed[1], changed[3]} == {6, 7}
    database.close()


def test_steps_10_and_11_bring_reports_and_labels_to_a_file_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:9])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO actor (id, did) VALUES (1, 'did:plc:a')")
            connection.execute(
                "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at) VALUES (7, 1, 'p', x'', x'', 1, 1)"
            )
        database.close()
    database = open_database(path)
    assert sql(database).execute("SELECT next, turn FROM label_head").fetchall() == [(1, 0)]
    with writing(database) as connection:
        connection.execute("INSERT INTO flag (community, post, at, reason_type) VALUES (1, 7, 5, 'x'), (1, 8, 5, 'x')")
        connection.execute("DELETE FROM post WHERE id = 7")
        connection.execute(
            "INSERT INTO label_event (at, labeler, actor, role, uri) VALUES (1, 1, 'did:plc:m', 'admin', 'did:plc:a')"
        )
    assert sql(database).execute("SELECT post FROM flag").fetchall() == [(8,)]
    assert sql(database).execute("SELECT reports, brigade FROM flag").fetchall() == [(1, 0)]
    with writing(database) as connection:
        connection.execute(
            "INSERT INTO evidence (id, at, did, uri, record) VALUES (1, 5, 'did:plc:a', 'at://a', x'01'),"
            " (2, 5, 'did:plc:b', 'at://b', NULL)"
        )
        connection.execute(
            "INSERT INTO report (at, last_at, reporter, reason_type, did, evidence) VALUES (5, 5, 'r', 'x', 'a', 1),"
            " (5, 5, 's', 'x', 'a', 1), (5, 5, 'r', 'x', 'b', 2)"
        )
        connection.execute(
            "INSERT INTO report_case (id, report, scope, subject, at, changed_at, state) VALUES"
            " (1, 1, 1, 1, 5, 5, 'open'), (2, 1, 0, 1, 5, 5, 'open'), (3, 2, 1, 1, 5, 5, 'open'),"
            " (4, 3, 0, 2, 5, 5, 'open')"
        )
        connection.execute(
            "INSERT INTO appeal (report, community, did, at, last_at) VALUES (1, 1, 'a', 5, 5), (1, 0, 'a', 5, 5)"
        )
        connection.execute("DELETE FROM report WHERE id IN (1, 3)")
    assert sql(database).execute("SELECT report, scope FROM report_case").fetchall() == [(2, 1)]
    assert sql(database).execute("SELECT * FROM appeal").fetchall() == []
    assert sql(database).execute("SELECT id FROM evidence").fetchall() == [(1,)]
    appeal = "INSERT INTO appeal (report, community, did, at, last_at, state) VALUES (2, 1, 'a', 5, 5, ?)"
    with writing(database) as connection:
        for state in ("granted", "denied", "open"):
            connection.execute(appeal, (state,))
    for state in ("open", "forgotten"):
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(appeal, (state,))
    replaced = "INSERT OR REPLACE INTO label_event (id, at, labeler, actor, role, uri) VALUES (1, 1, 1, 'x', 'y', 'z')"
    for change in ("UPDATE label_event SET reason = 'x'", "DELETE FROM label_event", replaced):
        with pytest.raises(apsw.ConstraintError, match="never"), writing(database) as connection:
            connection.execute(change)
    database.close()


def test_the_step_of_refused_records_leaves_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(REFUSED)])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(
                "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at, gone, fault)"
                " VALUES (?, ?, ?, x'01', 'at://x', 'at://y', '{}', ?, ?, ?)",
                [
                    (1, "social.communities.community", "birds", 5, 0, None),
                    (1, "social.communities.membership", "k", 7, 0, "Banned"),
                    (1, "social.communities.submission", "k", 9, 1, None),
                    (1, "app.bsky.graph.block", "k", 6, 0, None),
                    (2, "social.communities.role", "k", 8, 0, "Superseded"),
                ],
            )
        kept = sql(database).execute("SELECT * FROM declaration").fetchall()
        database.close()
    database = open_database(path)
    assert sql(database).execute("SELECT * FROM declaration").fetchall() == [(*row, None) for row in kept]
    listed = (
        "SELECT rkey, at FROM declaration INDEXED BY declaration_listed WHERE actor = 1 AND gone = 0 AND collection IN"
    )
    ours = ", ".join(f"'{collection}'" for collection in sorted(OURS))
    found = sql(database).execute(f"{listed} ({ours}) ORDER BY at DESC").fetchall()
    assert found == [("k", 7), ("birds", 5)]
    database.close()


def test_step_13_notes_posts_for_rules_in_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    insert = "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at) VALUES (1, ?, x'01', x'', 1, 1)"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(RULES_STEP)])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute(insert, ("a",))
        database.close()
    database = open_database(path)
    due = "SELECT post, times FROM label_due ORDER BY post"
    with writing(database) as connection:
        connection.execute(insert, ("b",))
        assert connection.execute(due).fetchall() == [], "nobody has asked for it"
        connection.execute("INSERT INTO label_watch VALUES (1)")
        connection.execute(insert, ("c",))
        connection.execute("UPDATE post SET cid = x'02' WHERE rkey IN ('a', 'c')")
        connection.execute("UPDATE post SET cid = x'02', likes = 7 WHERE rkey = 'a'")
        connection.execute("UPDATE post SET likes = 8")
        assert connection.execute(due).fetchall() == [(1, 1), (3, 2)]
    database.close()


def test_step_14_gives_stored_items_their_short_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    codes = {
        "": "",
        "hashtag:a": "h:a",
        "joined\nsubmission\napproved": "j;s;y",
        'keyword:say "no;\nlist:at://did:plc:x': "k:say %22no%3B;l:at://did:plc:x",
        "mention:did:plc:x\nmember:did:plc:y\nmember:did:plc:y": "m:did:plc:x;a:did:plc:y",
        "something:new\nhashtag:a": "h:a;+",
        "hashtag:" + "x" * 300 + "\nhashtag:é": "h:é;+",
    }
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(CONTEXT)])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(
                "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence)"
                " VALUES (1, 0, 5, ?, 'at://did:plc:xx/app.bsky.feed.post/1', ?)",
                list(enumerate(codes)),
            )
        database.close()
    database = open_database(path)
    rows = sql(database).execute("SELECT evidence, context, sort_at FROM feed_item ORDER BY post").fetchall()
    assert rows == [(evidence, code, 5) for evidence, code in codes.items()]
    assert {code_of(evidence) for evidence in codes} == set(codes.values()), "as new items have them"
    with pytest.raises(apsw.ConstraintError), writing(database) as connection:
        connection.execute("UPDATE feed_item SET context = '\"'")
    database.close()


def test_step_15_finds_the_events_of_a_subject_in_a_file_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "communities.db"
    subjects = [f"at://did:plc:{account}/app.bsky.feed.post/3lmnopqrstu2x" for account in "ab"] + ["did:plc:a"]
    insert = (
        "INSERT INTO label_event (at, labeler, actor, role, uri, added, rule)"
        " VALUES (1, 1, 'rule:r', 'm', ?, 'spam', 'r')"
    )
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(SUBJECTS)])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(insert, [(one,) for one in subjects])
        database.close()
    with caplog.at_level("INFO"):
        database = open_database(path)
    assert "bringing the schema of the database" in caplog.text  # of a large one it takes minutes
    with writing(database) as connection:
        connection.execute(insert, (subjects[2],))
    assert [was_done_by_rule(sql(database), 1, "r", one, "") for one in (*subjects, "did:plc:b")] == [True] * 3 + [
        False
    ]
    replaced = "INSERT OR REPLACE INTO label_event (id, at, labeler, actor, role, uri) VALUES (1, 1, 1, 'x', 'y', 'z')"
    for change in ("UPDATE label_event SET reason = 'x'", "DELETE FROM label_event", replaced):
        with pytest.raises(apsw.ConstraintError, match="never"), writing(database) as connection:
            connection.execute(change)
    database.close()


def test_step_16_brings_teams_and_settings_to_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(TEAM)])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO labeler (id, did) VALUES (1, 'did:plc:l')")
            connection.executemany(
                "INSERT INTO community (id, slug, name, description, owner, rule, declared)"
                " VALUES (?, ?, '', '', ?, '{}', 1)",
                [(1, "a", "did:plc:o"), (2, "b", None)],
            )
        database.close()
    database = open_database(path)
    plan = (
        sql(database).execute("EXPLAIN QUERY PLAN SELECT id FROM community WHERE owner = ?", ("did:plc:o",)).fetchall()
    )
    assert "community_owner" in str(plan), plan
    assert sql(database).execute("SELECT id FROM community WHERE owner = 'did:plc:o'").fetchall() == [(1,)]
    assert sql(database).execute("SELECT count(*) FROM team_member").fetchone() == (0,)
    member = "INSERT INTO team_member (labeler, did, role, at, changed_at, changed_by) VALUES (1, ?, ?, 5, 5, 'x')"
    setting = (
        "INSERT INTO setting (labeler, owner, key, value, manager, at, made_by, changed_at, changed_by)"
        " VALUES (1, ?, 'a.b.c', '{}', ?, 5, 'x', 5, 'x')"
    )
    with writing(database) as connection:
        connection.execute(member, ("did:plc:a", 4))
        connection.execute(setting, ("", 4))
        connection.execute(setting, ("did:plc:a", 0))
    assert sql(database).execute("SELECT did, disabled FROM team_member").fetchall() == [("did:plc:a", 0)]
    bad = [(member, ("did:plc:b", 0)), (member, ("did:plc:b", 5)), (setting, ("did:plc:b", 4)), (setting, ("", 0))]
    for statement, bindings in bad:
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(statement, bindings)
    database.close()


def test_step_17_makes_events_and_statuses_of_the_reports_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    spam, appeal = "com.atproto.moderation.defs#reasonSpam", "tools.ozone.report.defs#reasonAppeal"
    post, other = "at://did:plc:a/app.bsky.feed.post/p", "at://did:plc:a/app.bsky.feed.post/q"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(CASES_STEP)])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO labeler (id, did) VALUES (3, 'did:plc:l')")
            connection.execute("INSERT INTO actor (id, did) VALUES (1, 'did:plc:a')")
            connection.execute("INSERT INTO actor (id, did) VALUES (2, 'did:plc:b')")
            connection.execute("INSERT INTO decided VALUES (2, 1, 'p', x'01', 'removed', 1, 40)")
            connection.execute(
                "INSERT INTO decision VALUES (2, 1, 40, 'did:plc:m', 'moderator', 'remove', ?, 'c1', 'no', 'Rule',"
                " NULL, zeroblob(96), zeroblob(32), zeroblob(32))",
                (post,),
            )
            connection.execute(
                "INSERT INTO membership (community, actor, status, role, scope, until, since, via)"
                " VALUES (1, 2, 'banned', 1, '*', 99, 45, 'xrpc')"
            )
            connection.executemany(
                "INSERT INTO report (id, at, last_at, reporter, reason_type, reason, did, uri, cid, labeler, tool_meta)"
                " VALUES (?, ?, ?, ?, ?, ?, 'did:plc:a', ?, ?, ?, ?)",
                [
                    (1, 10, 10, "did:plc:r", spam, "gone", post, "c0", "", ""),
                    (2, 20, 30, "did:plc:r", spam, "why", post, "c1", "did:plc:l", '{"a": 1}'),
                    (5, 25, 25, "did:plc:s", spam, "", "", "", "did:plc:l", ""),
                    (6, 26, 50, "did:plc:a", appeal, "", other, "c2", "", ""),
                ],
            )
            connection.execute("DELETE FROM report WHERE id = 1")
            connection.executemany(
                "INSERT INTO report_route (report, community) VALUES (?, ?)", [(2, 1), (2, 2), (5, 0), (5, 1), (6, 0)]
            )
        database.close()
    database = open_database(path)

    def found(query: str) -> list[Any]:
        return sql(database).execute(query).fetchall()

    # Of each report the scopes: the communities, the labeler that was asked (below 0), the service (0).
    cases = (
        "SELECT id, report, scope, s.path, state, at FROM report_case c JOIN subject s ON s.id = c.subject ORDER BY 1"
    )
    assert found(cases.replace("SELECT id", "SELECT c.id")) == [
        (2, 2, 1, "app.bsky.feed.post/p", "open", 20),
        (5, 5, -3, "", "open", 25),
        (6, 6, 0, "app.bsky.feed.post/q", "escalated", 26),
        (7, 2, 2, "app.bsky.feed.post/p", "closed", 20),
        (8, 5, 1, "", "open", 25),
    ]
    assert found(
        "SELECT id, at, scope, type, actor, cid, comment, said, tool_meta FROM mod_event WHERE id IN (2, 7)"
    ) == [
        (2, 20, 1, "modEventReport", "did:plc:r", "c1", "why", f'{{"reportType":"{spam}"}}', '{"a": 1}'),
        (7, 20, 2, "modEventReport", "did:plc:r", "c1", "why", f'{{"reportType":"{spam}"}}', '{"a": 1}'),
    ]
    assert found("SELECT kind, value, event FROM mod_event_value ORDER BY event")[:2] == [
        ("report", spam, 2),
        ("report", spam, 5),
    ]
    statuses = "SELECT scope, state, at, reported_at, appealed, appealed_at, reports, appeals, cid FROM subject_status"
    assert found(f"{statuses} WHERE reports OR appeals ORDER BY scope, at") == [
        (-3, 1, 25, 25, None, None, 1, 0, ""),
        (0, 2, 26, 50, 1, 50, 0, 1, "c2"),
        (1, 1, 20, 30, None, None, 1, 0, "c1"),
        (1, 1, 25, 25, None, None, 1, 0, ""),
        (2, 3, 20, 30, None, None, 1, 0, "c1"),
    ]
    assert found("SELECT * FROM account_records ORDER BY scope") == [
        (0, "did:plc:a", 0, 0, 1, 1, 1, 1, 0),
        (1, "did:plc:a", 1, 1, 0, 0, 1, 1, 0),
        (2, "did:plc:a", 1, 1, 0, 0, 1, 0, 1),
    ]
    # What is removed and who is banned is taken down.
    down = "SELECT scope, s.did, s.path, takendown, suspend_until, takedowns, suspensions, reviewed_by, reviewed_at"
    assert found(f"{down} FROM subject_status t JOIN subject s ON s.id = t.subject WHERE takendown ORDER BY scope") == [
        (1, "did:plc:b", "", 1, 99, 0, 1, "schedule", 45),
        (2, "did:plc:a", "app.bsky.feed.post/p", 1, None, 1, 0, "did:plc:m", 40),
    ]
    events = "SELECT at, scope, actor, role, cid, comment, said, until, decision FROM mod_event"
    assert found(f"{events} WHERE type = 'modEventTakedown' ORDER BY id") == [
        (40, 2, "did:plc:m", "moderator", "c1", "no", '{"policies":["Rule"]}', None, 1),
        (45, 1, "schedule", "automation", "", "", "{}", 99, None),
    ]
    with writing(database) as connection:
        connection.execute("DELETE FROM report WHERE id = 2")
    assert (
        found("SELECT id FROM mod_event WHERE type = 'modEventReport' ORDER BY id")
        == found("SELECT id FROM report_case ORDER BY id")
        == [(5,), (6,), (8,)]
    )
    assert found("SELECT event FROM mod_event_value ORDER BY event") == [(5,), (6,), (8,)]
    for change in ("UPDATE mod_event SET comment = 'x'", "DELETE FROM mod_event"):
        with pytest.raises(apsw.ConstraintError, match="never"), writing(database) as connection:
            connection.execute(change)
    database.close()


def test_step_18_brings_templates_and_sets_to_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    member = (
        "INSERT INTO team_member (labeler, did, role, at, changed_at, changed_by) VALUES (1, 'did:plc:a', 3, 5, 5, 'x')"
    )
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(SETS)])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute(member)
        database.close()
    database = open_database(path)
    assert sql(database).execute("SELECT did, role FROM team_member").fetchall() == [("did:plc:a", 3)]
    template = (
        "INSERT INTO template (labeler, name, subject, content, disabled, at, made_by, changed_at, changed_by)"
        " VALUES (?, ?, '', '', ?, 5, 'x', 5, 'x')"
    )
    kept = (
        "INSERT INTO value_set (labeler, name, size, last, at, made_by, changed_at, changed_by)"
        " VALUES (?, ?, ?, ?, 5, 'x', 5, 'x')"
    )
    value = "INSERT INTO set_value (value_set, number, value) VALUES (?, ?, ?)"
    good = [(template, (1, "a", 0)), (template, (2, "a", 1)), (kept, (1, "a", 0, 0)), (kept, (2, "a", 1, 2))]
    good += [(value, (1, 1, "v")), (value, (2, 1, "v"))]
    for statement, bindings in good:
        with writing(database) as connection:
            connection.execute(statement, bindings)
    bad = [(template, (1, "a", 0)), (template, (1, "b", 2)), (kept, (1, "a", 0, 0)), (kept, (1, "b", -1, 0))]
    bad += [(kept, (1, "b", 2, 1)), (value, (1, 1, "w")), (value, (1, 2, "v"))]
    for statement, bindings in bad:
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(statement, bindings)
    for table in ("template", "value_set"):
        with writing(database) as connection:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(*({"template": (template, (1, "n", 0)), "value_set": (kept, (1, "n", 0, 0))}[table]))
        assert sql(database).execute(f"SELECT id FROM {table}").fetchall() == [(3,)], "no number comes twice"
    database.close()


def test_step_19_brings_queues_to_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    case = (
        "INSERT INTO report_case (id, report, scope, subject, at, changed_at, state, closed_at)"
        " VALUES (?, 1, ?, 1, 5, 6, ?, ?)"
    )
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(QUEUES)])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(case, [(1, 1, "open", None), (2, 2, "closed", 9)])
        database.close()
    database = open_database(path)
    closed = "SELECT id, queue, closed_at FROM report_case INDEXED BY report_case_closed WHERE queue = -1"
    found = sql(database).execute(f"{closed} AND closed_at >= 0 AND state = 'closed'").fetchall()
    assert found == [(2, -1, 9)], "what is there already is in none, and counted"
    queue = (
        "INSERT INTO report_queue (labeler, name, enabled, at, made_by, changed_at, changed_by, deleted_at)"
        " VALUES (?, ?, ?, 5, 'x', 5, 'x', ?)"
    )
    given = (
        "INSERT INTO queue_assignment (labeler, queue, did, at, by, ended_at, ended_by) VALUES (1, ?, ?, 5, 'x', ?, ?)"
    )
    good = [(queue, (1, "a", 1, 7)), (queue, (1, "a", 1, 8)), (queue, (1, "a", 1, None)), (queue, (2, "a", 0, None))]
    good += [(given, (1, "d", 6, "x"))] * 2 + [(given, (1, "d", None, "")), (given, (2, "d", None, ""))]
    for statement, bindings in good:
        with writing(database) as connection:
            connection.execute(statement, bindings)
    bad = [(queue, (1, "a", 1, None)), (queue, (1, "b", 2, None)), (given, (1, "d", None, ""))]
    bad += [(given, (1, "e", None, "x")), (given, (1, "e", 6, ""))]
    for statement, bindings in bad:
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(statement, bindings)
    for table, statement, bindings in (("report_queue", *good[0]), ("queue_assignment", *good[4])):
        with writing(database) as connection:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(statement, bindings)
        assert sql(database).execute(f"SELECT id FROM {table}").fetchall() == [(5,)], "no number comes twice"


def test_step_20_says_what_the_reports_in_a_file_are_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    spam, post = "com.atproto.moderation.defs#reasonSpam", "at://did:plc:a/app.bsky.feed.post/p"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(REPORT_WORK)])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(
                "INSERT INTO report (id, at, last_at, reporter, reason_type, did, uri, convo, message)"
                " VALUES (?, 5, 5, 'did:plc:r', ?, 'did:plc:a', ?, ?, ?)",
                [(1, spam, post, "", ""), (2, "x", "", "", ""), (3, spam, "", "c", ""), (4, spam, "", "c", "m")],
            )
            connection.executemany(
                "INSERT INTO report_case (id, report, scope, subject, at, changed_at, state)"
                " VALUES (?, ?, ?, 1, 5, 5, ?)",
                [(1, 1, 1, "open"), (2, 2, 0, "closed"), (3, 3, 0, "open"), (4, 4, 0, "open"), (5, 1, 2, "escalated")],
            )
        database.close()
    database = open_database(path)
    execute = sql(database).execute
    assert execute("SELECT id, state, reason_type, about, assignee FROM report_case ORDER BY id").fetchall() == [
        (1, "open", spam, "app.bsky.feed.post", ""),
        (2, "closed", "x", "account", ""),
        (3, "open", spam, "conversation", ""),
        (4, "open", spam, "message", ""),
        (5, "escalated", spam, "app.bsky.feed.post", ""),
    ]
    held = "INSERT INTO report_assignment (report_case, scope, did, at, until, permanent, made_by) VALUES"
    with writing(database) as connection:
        connection.execute(f"{held} (1, 1, 'did:plc:m', 1, NULL, 1, 'x')")
        connection.execute(f"{held} (1, 1, 'did:plc:m', 1, 9, 0, 'x')")
    for bad in (
        "(1, 1, 'did:plc:n', 1, NULL, 1, 'x')",  # a second one who holds it
        "(1, 1, 'did:plc:m', 2, 8, 0, 'x')",  # who looks does so once
        "(2, 0, 'did:plc:m', 1, NULL, 0, 'x')",  # and not for good
        "(2, 0, 'did:plc:m', 1, 5, 2, 'x')",
    ):
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(f"{held} {bad}")
    database.close()


def test_step_21_says_when_appeals_of_a_file_were_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    appeal = (
        "INSERT INTO appeal (report, community, did, uri, at, last_at, state) VALUES (1, ?, 'did:plc:a', '', 5, 7, ?)"
    )
    event = "INSERT INTO mod_event (at, scope, subject, type, actor) VALUES (5, 1, 1, ?, 'did:plc:b')"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(APPEALS)])
        database = open_database(path)
        with writing(database) as connection:
            for community, state in enumerate(("open", "granted", "denied")):
                connection.execute(appeal, (community, state))
            for kind in ("modEventTakedown", "modEventReport"):
                connection.execute(event, (kind,))
        database.close()
    database = open_database(path)
    rows = sql(database).execute("SELECT state, closed_at, note FROM appeal ORDER BY id").fetchall()
    assert rows == [("open", None, ""), ("granted", 7, ""), ("denied", 7, "")]
    found = "SELECT id FROM mod_event INDEXED BY mod_event_decided WHERE subject = 1 AND scope = 1 AND id > 0"
    with pytest.raises(apsw.SQLError, match="no query solution"):
        sql(database).execute(found).fetchall()  # the index is of decisions alone
    kinds = "('modEventTakedown', 'modEventReverseTakedown', 'modEventLabel', 'modEventAcknowledge')"
    assert sql(database).execute(f"{found} AND type IN {kinds}").fetchall() == [(1,)]
    with pytest.raises(apsw.ConstraintError), writing(database) as connection:
        connection.execute(appeal, (0, "open"))
    database.close()


def test_step_22_brings_commands_to_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(COMMANDS)])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO actor (did, rev) VALUES ('did:plc:a', 'r')")
        database.close()
    database = open_database(path)
    assert sql(database).execute("SELECT did, rev FROM actor").fetchall() == [("did:plc:a", "r")]
    query = (
        "INSERT INTO command (uri, cid, community, actor, text, at, state, done_at)"
        " VALUES ('at://a', ?, ?, 'did:plc:a', 'ban', 5, ?, ?)"
    )
    for bindings in (("c", 1, "waiting", None), ("c", 2, "done", 6), ("d", 1, "unproven", None)):
        with writing(database) as connection:
            connection.execute(query, bindings)
    for bindings in (("c", 1, "done", 6), ("e", 1, "waiting", 6), ("e", 1, "refused", None), ("e", 1, "lost", 6)):
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(query, bindings)
    database.close()


def test_step_23_finds_what_was_done_in_a_batch_and_by_programs_in_a_file_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    event = (
        "INSERT INTO mod_event (at, scope, subject, type, actor, tool, batch, undoes) VALUES (?, 3, 1, ?, 'a', ?, ?, ?)"
    )
    rows = [
        (5, "modEventTag", "bot", "b", None), (6, "modEventTag", "", "", 1), (7, "modEventReport", "bot", "b", None),
        (8, "modEventLabel", "ozone-ui/x", "b", None),
    ]  # fmt: skip
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(UNDO)])
        database = open_database(path)
        with writing(database) as connection:
            connection.executemany(event, rows)
        database.close()
    database = open_database(path)
    connection = sql(database)
    batch = event_selection.select(connection, Selection("batch", "b", 3), event_selection.LAST, 5)
    assert [number for number, _ in batch.events] == [4, 1], "reports are none of them"
    actor = event_selection.select(connection, Selection("actor", "a", 3), event_selection.LAST, 2)
    assert ([number for number, _ in actor.events], actor.below) == ([4, 2], 2)
    assert mod_events.undoing(connection, 1) == [2] and tool_use.programs(connection, 5) == [("bot", "a")]
    database.close()


def test_step_24_brings_forwards_to_a_file_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(FORWARD)])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO subject (did, path, convo) VALUES ('did:plc:a', '', '')")
        database.close()
    database = open_database(path)
    assert sql(database).execute("SELECT id, did FROM subject").fetchall() == [(1, "did:plc:a")]
    query = (
        "INSERT INTO forward (scope, subject, recipient, asked_by, reason_type, at, next_at, state, done_at)"
        " VALUES (?, 1, ?, 'did:plc:m', 'r', 5, 5, ?, ?)"
    )
    for bindings in ((3, "did:plc:x", "waiting", None), (-1, "did:plc:x", "sent", 6), (3, "did:plc:y", "failed", 6)):
        with writing(database) as connection:
            connection.execute(query, bindings)
    for bindings in (
        (3, "did:plc:x", "waiting", None),
        (3, "z", "waiting", 6),
        (3, "z", "sent", None),
        (3, "z", "x", 6),
    ):
        with pytest.raises(apsw.ConstraintError), writing(database) as connection:
            connection.execute(query, bindings)
    database.close()


def test_step_25_limits_no_moderator_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "communities.db"
    columns = "community, actor, status, role, scope, since, via"
    put = f"INSERT INTO membership ({columns}) VALUES (3, ?, 'member', ?, ?, 5, 'x')"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(LIMITS)])
        database = open_database(path)
        with writing(database) as connection:
            for actor, role, scope in ((1, 1, "*"), (2, 2, "posts"), (3, 3, "*")):
                connection.execute(put, (actor, role, scope))
        database.close()
    database = open_database(path)
    found = {actor: held(sql(database), 3, actor) for actor in (1, 2, 3)}
    assert found == {
        1: Membership(Status.MEMBER),
        2: Membership(Status.MEMBER, Role.MODERATOR, frozenset((Scope.POSTS,))),
        3: Membership(Status.MEMBER, Role.ADMIN),
    }
    with pytest.raises(apsw.ConstraintError), writing(database) as connection:
        connection.execute("UPDATE membership SET limits = NULL")
    database.close()


def test_step_26_says_what_the_site_of_a_file_has_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: not what a team has taken down by an event; what was reported to the service goes on waiting."""
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(HIDDEN)])
        database = open_database(path)
        with writing(database) as connection:
            for number, (did, allowed) in enumerate((("a", 0), ("b", 1), ("c", 0), ("d", 0), ("e", 0)), 1):
                connection.execute("INSERT INTO actor (id, did, allowed) VALUES (?, ?, ?)", (number, did, allowed))
            append(connection, -1, SubjectKey("c"), ModEvent(Kind.TAKEDOWN, 5, "t", "site"))
            append(connection, 3, SubjectKey("d"), ModEvent(Kind.TAKEDOWN, 6, "m", "moderator"))
            append(connection, 0, SubjectKey("e"), ModEvent(Kind.REPORT, 7, "r", said={"reportType": "x"}))
        database.close()
    start = now_micros()
    for _ in range(2):
        database = open_database(path)
        connection = sql(database)
        rows = connection.execute(
            "SELECT e.scope, s.did, e.type, e.actor, e.role, s.path, s.convo, e.at FROM mod_event e"
            " JOIN subject s ON s.id = e.subject WHERE e.scope = 0 AND e.type != 'modEventReport' ORDER BY s.did"
        ).fetchall()
        assert [row[:-1] for row in rows] == [(0, did, "modEventTakedown", "cli", "cli", "", "") for did in "ade"]
        assert all(abs(at - start) < HOUR for *_, at in rows)
        stands = {did: standing(connection, 0, SubjectKey(did)) for did in "abcde"}
        down = {did: status.takendown for did, status in stands.items() if status is not None}
        assert down == {"a": True, "d": True, "e": True}
        waiting = stands["e"]
        assert waiting is not None and waiting.waits and waiting.reports == 1 and waiting.takedowns == 1
        database.close()


def test_step_27_has_what_waits_in_a_file_tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what is closed, nor what somebody has reported who moves nothing."""
    path = tmp_path / "communities.db"
    columns = "id, report, scope, subject, at, changed_at, state, muted"
    put = f"INSERT INTO report_case ({columns}) VALUES (?, 1, ?, 1, ?, 9, ?, ?)"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[: migrations.STEPS.index(TAGGING)])
        database = open_database(path)
        with writing(database) as connection:
            rows = [(1, 3, 5, "open", 0), (2, 4, 6, "closed", 0), (3, 5, 7, "open", 1), (4, 6, 8, "escalated", 0)]
            connection.executemany(put, rows)
        database.close()
    for _ in range(2):
        database = open_database(path)
        assert sql(database).execute("SELECT * FROM report_tagging").fetchall() == [(1, 5, 0), (4, 8, 0)]
        database.close()
    database = open_database(path)
    with writing(database) as connection:
        connection.execute("DELETE FROM report_case WHERE id = 1")
    assert sql(database).execute("SELECT report_case FROM report_tagging").fetchall() == [(4,)]
    database.close()


def test_tables_hold_only_their_types(database: Any) -> None:
    """STRICT: a fault of ours cannot store a text where a time belongs."""
    loose = sql(database).execute("SELECT name FROM pragma_table_list WHERE strict = 0 AND name NOT LIKE 'sqlite_%'")
    assert loose.fetchall() == []
    with pytest.raises(apsw.ConstraintError), writing(database) as connection:
        connection.execute("INSERT INTO used_token VALUES ('a', 'b', 'soon')")


def test_ids_of_posts_are_never_used_again(database: Any) -> None:
    def insert(rkey: str) -> int:
        with writing(database) as connection:
            row = connection.execute(
                "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at) VALUES (1, ?, x'', x'', 0, 0)"
                " RETURNING id",
                (rkey,),
            ).fetchone()
            return int(row[0])

    first = [insert("a"), insert("b")]
    with writing(database) as connection:
        connection.execute("DELETE FROM post")
    assert insert("c") > max(first)


def test_steps_6_and_7_bring_the_layer_of_communities_to_a_file_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "communities.db"
    with monkeypatch.context() as before:
        before.setattr(migrations, "STEPS", migrations.STEPS[:5])
        database = open_database(path)
        with writing(database) as connection:
            connection.execute("INSERT INTO community VALUES (3, 'birds', 'Birds', '', NULL, '{}', 1)")
            connection.execute("INSERT INTO community VALUES (4, 'empty', 'Empty', '', NULL, '{}', 0)")
            connection.execute("INSERT INTO actor (id, did) VALUES (1, 'did:plc:a')")
            for post, hidden in ((1, 0), (2, 0), (3, 1)):
                connection.execute(
                    "INSERT INTO feed_item VALUES (3, ?, ?, ?, 'at://did:plc:ab/app.bsky.feed.post/' || ?, 'h:b')",
                    (hidden, 10 * post, post, f"r{post}"),
                )
            connection.execute("INSERT INTO pin (community, position, actor, rkey) VALUES (3, 0, 1, 'r1')")
        database.close()
    database = open_database(path)
    execute = sql(database).execute
    counts = "SELECT community, members, posts, last_post_at FROM community_count ORDER BY community"
    assert execute(counts).fetchall() == [(3, 0, 2, 20), (4, 0, 0, 0)]
    ages = execute("SELECT uri, created_at FROM community").fetchall()
    assert all(uri is None and now_micros() - at < HOUR for uri, at in ages)
    assert execute("SELECT moderator FROM pin").fetchall() == [(0,)]
    with writing(database) as connection:
        connection.execute("UPDATE feed_item SET hidden = 4 WHERE post = 2")
        connection.execute("DELETE FROM feed_item WHERE post = 3")
        connection.execute(
            "INSERT INTO membership (community, actor, status, since, via) VALUES (3, 1, 'member', 5, 'x')"
        )
        logbook.write(connection, 3, "birds", 5, Decision(Action.EDIT, "did:plc:a", Acting.OWNER))
    assert execute(counts).fetchall()[0] == (3, 1, 1, 10)
    assert execute("SELECT community, seq, action FROM decision").fetchall() == [(3, 1, "edit")]
    database.close()
