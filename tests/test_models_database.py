"""Opening the file: what is refused, WAL, two processes at once, and the transaction that every write goes through."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest
from playhouse.apsw_ext import APSWDatabase

from models import communities, meta
from models.commits import CommitWatch
from models.database import OLDEST_SQLITE, DatabaseError, check_in_place, file_identity, open_database, sql, writing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "communities.db"


@pytest.fixture
def database(path: Path) -> Iterator[Any]:
    opened = open_database(path)
    yield opened
    opened.close()


def refusal(path: Path, *, readonly: bool = False) -> str:
    with pytest.raises(DatabaseError) as refused:
        open_database(path, readonly=readonly)
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_the_file_is_in_wal_mode_and_sqlite_is_new_enough(database: Any, path: Path) -> None:
    assert sql(database).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert sql(database).execute("PRAGMA synchronous").fetchone() == (1,)
    version = tuple(map(int, sql(database).execute("SELECT sqlite_version()").fetchone()[0].split(".")))
    assert version >= OLDEST_SQLITE == (3, 51, 3)
    assert apsw.sqlite_lib_version() == ".".join(map(str, version))
    reader = open_database(path, readonly=True)
    assert sql(reader).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    reader.close()


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(APSWDatabase, "server_version", (3, 51, 2))
    with pytest.raises(DatabaseError, match=r"SQLite 3\.51\.2 is too old"):
        open_database(path)
    assert not path.exists()


def test_a_file_that_is_no_database(path: Path) -> None:
    content = b"this is no database at all, but a text of some length\n" * 50
    path.write_bytes(content)
    for readonly in (False, True):
        assert "not a database; put back a backup" in refusal(path, readonly=readonly)
    assert path.read_bytes() == content


def test_a_file_that_was_cut(path: Path) -> None:
    open_database(path).close()
    path.write_bytes(path.read_bytes()[:5000])
    assert "malformed" in refusal(path) or "not a database" in refusal(path)


def test_a_folder_in_its_place_and_a_file_in_its_folders_place(path: Path) -> None:
    path.mkdir()
    assert "cannot be opened" in refusal(path)
    file = path.parent / "file"
    file.write_text("x")
    assert "cannot be opened" in refusal(file / "communities.db")


def test_the_folder_it_makes_is_for_its_user_alone(path: Path) -> None:
    open_database(path.parent / "data" / "communities.db").close()
    assert (path.parent / "data").stat().st_mode & 0o777 == 0o700


def test_readonly_makes_and_changes_nothing(path: Path) -> None:
    assert "no such database" in refusal(path, readonly=True)
    assert not path.exists()
    open_database(path).close()
    reader = open_database(path, readonly=True)
    with pytest.raises(apsw.ReadOnlyError):
        sql(reader).execute("DELETE FROM meta")
    reader.close()
    path.unlink()
    apsw.Connection(str(path)).close()
    path.write_bytes(b"")
    assert "run `communities ingest`" in refusal(path, readonly=True)


FIRST_START = """
import pathlib, sys
from models.database import open_database, sql, writing
from models import meta
print("ready", flush=True)
sys.stdin.readline()
database = open_database(pathlib.Path(sys.argv[1]))
with writing(database) as connection:
    print(meta.secret(connection, "key").hex(), flush=True)
database.close()
"""


def test_two_first_starts_at_once(tmp_path: Path) -> None:
    """Both come up on one schema and hold the same secret, whoever was first."""
    command = [sys.executable, "-c", FIRST_START]
    for attempt in range(3):
        path = str(tmp_path / f"{attempt}" / "communities.db")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        both = [subprocess.Popen([*command, path], **pipes) for _ in range(3)]
        for process in both:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        secrets = {process.communicate(timeout=60)[0] for process in both}
        assert [process.returncode for process in both] == [0, 0, 0]
        assert len(secrets) == 1 and len(secrets.pop()) == 65


def test_a_write_is_whole_or_not_at_all(database: Any) -> None:
    with pytest.raises(RuntimeError), writing(database) as connection:
        meta.put(connection, "a", "1")
        raise RuntimeError
    assert meta.get(sql(database), "a") is None
    with writing(database) as connection:
        meta.put(connection, "a", "1")
        meta.put(connection, "a", "2")
    assert meta.get(sql(database), "a") == "2"


def test_readers_see_only_what_is_committed_and_do_not_wait(database: Any, path: Path) -> None:
    reader = open_database(path, readonly=True)
    with writing(database) as connection:
        meta.put(connection, "a", "1")
        assert meta.get(sql(reader), "a") is None
    assert meta.get(sql(reader), "a") == "1"
    reader.close()


def test_a_secret_is_made_once(database: Any) -> None:
    with writing(database) as connection:
        first = meta.secret(connection, "key")
        assert meta.secret(connection, "key") == first != meta.secret(connection, "other")
    assert len(first) == 32


def rule(slug: str, **more: Any) -> dict[str, Any]:
    return {"slug": slug, "name": slug.upper(), "description": "", "owner": None, **more}


def test_declared_communities_keep_their_ids(database: Any) -> None:
    clock = count(100)

    def declare(*rules: dict[str, Any]) -> bool:
        with writing(database) as connection:
            return communities.declare(connection, rules, next(clock))

    def slugs() -> dict[str, int]:
        return {row.slug: row.id for row in communities.declared(sql(database))}

    def revision() -> str | None:
        return meta.get(sql(database), communities.REVISION)

    assert declare(rule("a"), rule("b")) and revision() == "1"
    first = slugs()
    assert not declare(rule("b"), rule("a")) and revision() == "1"
    assert declare(rule("b")) and slugs() == {"b": first["b"]}
    assert declare(rule("c"), rule("a", owner="did:plc:x")) and revision() == "3"
    third = slugs()
    assert third["a"] == first["a"] and third["c"] not in first.values()
    (again,) = [row for row in communities.declared(sql(database)) if row.slug == "a"]
    assert (again.name, again.owner, again.rule["owner"]) == ("A", "did:plc:x", "did:plc:x")
    assert declare() and slugs() == {} and not declare()
    # Each was made at its first time.
    made = sql(database).execute("SELECT slug, created_at FROM community ORDER BY id").fetchall()
    assert made == [("a", 100), ("b", 100), ("c", 103)]


def test_communities_of_records_stay_as_they_are(database: Any) -> None:
    with writing(database) as connection:
        communities.declare(connection, [rule("a")], 1)
        values = json.dumps(rule("b")), "at://did:plc:x/social.communities.community/b"
        connection.execute(
            "INSERT INTO community (slug, name, description, rule, declared, uri) VALUES ('b', 'B', '', ?, 1, ?)",
            values,
        )
        before = connection.execute("SELECT * FROM community WHERE slug = 'b'").fetchall()
        assert not communities.declare(connection, [rule("a")], 2)
        assert communities.declare(connection, [rule("c")], 3) and communities.declare(connection, [], 4)
        assert connection.execute("SELECT * FROM community WHERE slug = 'b'").fetchall() == before
        assert [row.slug for row in communities.declared(connection)] == ["b"]
        assert not communities.declare(connection, [], 5)


def test_a_file_that_is_replaced_while_in_use_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "communities.db"
    database = open_database(path)
    try:
        identity = file_identity(database)
        check_in_place(database, identity)
        path.rename(tmp_path / "away.db")
        with pytest.raises(DatabaseError, match=r"communities\.db: the file was deleted or replaced"):
            check_in_place(database, identity)
        path.write_bytes(b"")
        with pytest.raises(DatabaseError):
            check_in_place(database, identity)
    finally:
        database.close()


@pytest.mark.parametrize("gone", [("",), ("-shm", "")])
def test_a_thread_that_connects_late_makes_no_new_file(tmp_path: Path, gone: tuple[str, ...]) -> None:
    path = tmp_path / "communities.sqlite"
    database = open_database(path)
    for end in gone:
        path.with_name(path.name + end).unlink()
    with ThreadPoolExecutor(1) as thread, pytest.raises(DatabaseError, match="deleted or replaced"):
        thread.submit(lambda: sql(database).execute("SELECT 1").fetchall()).result()
    assert not path.exists()
    database.close()


def test_what_other_threads_commit_outlives_a_loss_of_power(database: Any) -> None:
    def synchronous() -> int:
        return int(sql(database).execute("PRAGMA synchronous").fetchall()[0][0])

    with ThreadPoolExecutor(1) as thread:
        assert (synchronous(), thread.submit(synchronous).result()) == (1, 2)


def test_a_commit_by_anybody_is_noticed(path: Path) -> None:
    with closing(open_database(path)) as database, closing(CommitWatch(path)) as watch:
        assert watch.any() and not watch.any()
        sql(database).execute("SELECT count(*) FROM post").fetchall()
        assert not watch.any()
        for number in range(3):
            with writing(database) as connection:
                connection.execute("INSERT INTO meta (key, value) VALUES (?, '')", (str(number),))
            assert watch.any() and not watch.any()
        sql(database).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        watch.any()
        with writing(database) as connection:
            connection.execute("DELETE FROM meta")
        assert watch.any() and not watch.any()


def test_who_watches_commits_keeps_the_locks_of_the_process(path: Path) -> None:
    """Another process that comes and goes neither empties the log nor makes the WAL index anew under this one."""
    with closing(open_database(path)) as database:
        log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
        for _ in range(2):
            with closing(CommitWatch(path)) as watch:
                assert watch.any()
        before = index.stat()
        come_and_go = "import apsw, sys; c = apsw.Connection(sys.argv[1]); c.pragma('user_version'); c.close()"
        subprocess.run([sys.executable, "-c", come_and_go, str(path)], check=True)
        after = index.stat()
        assert log.exists() and (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
        with writing(database) as connection:
            connection.execute("INSERT INTO meta (key, value) VALUES ('kept', '')")
    with closing(open_database(path)) as database:
        assert sql(database).execute("SELECT key FROM meta WHERE key = 'kept'").get == "kept"
