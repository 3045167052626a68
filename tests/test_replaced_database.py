"""A database file that is replaced while real processes have it open: they end, and never mix the old with the new."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from models.database import (
    DatabaseMixedError,
    DatabaseMovedError,
    check_in_place,
    file_identity,
    open_database,
    sql,
    writing,
)
from tests.service_process import Service, get_json, until
from tests.test_cli_run import RULES, nowhere, started

Start = Callable[..., Service]
POINT = "INSERT INTO meta (key, value) VALUES ('copied', 'yes')"


def copy_of(path: Path) -> Path:
    """A whole copy, as docs/OPERATING.md says, and something in it by which it is known."""
    copy = path.with_name("backup.db")
    connection = apsw.Connection(str(path))
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    connection = apsw.Connection(str(copy))
    connection.execute(POINT)
    connection.close()
    return copy


def put_back(path: Path, *, whole: bool = True) -> None:
    """Move a copy into place; `whole`: after what lies beside the old file was removed."""
    copy = copy_of(path)
    for end in ("-wal", "-shm") if whole else ():
        path.with_name(path.name + end).unlink()
    copy.replace(path)


def is_the_copy(path: Path) -> bool:
    with closing(open_database(path, readonly=True)) as database:
        (number,) = sql(database).execute("SELECT count(*) FROM meta WHERE key = 'copied'").fetchone()
        return bool(number) and sql(database).execute("PRAGMA integrity_check").get == "ok"


@pytest.fixture
def service(start_service: Start) -> Service:
    """`communities serve`, which answers."""
    service = start_service(RULES, "serve", source=nowhere())
    service.wait_health()
    return service


def test_who_comes_and_goes_takes_nothing_away(service: Service) -> None:
    """What the service has open beside SQLite ends none of its locks: the log stays, whoever was the last to close."""
    for path in ("/xrpc/_health", "/xrpc/app.bsky.feed.describeFeedGenerator"):
        assert get_json(f"{service.url}{path}") is not None
    beside = [service.database.with_name(service.database.name + end) for end in ("-wal", "-shm")]
    before = [path.stat().st_ino for path in beside]
    with closing(open_database(service.database)) as database, writing(database) as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('a guest', 'yes')")
    assert [path.stat().st_ino for path in beside] == before
    service.wait_health()


def test_serve_ends_so_that_it_is_started_again(service: Service) -> None:
    put_back(service.database)
    assert service.wait_exit() == 1
    said = f"{service.database}: the file was deleted or replaced while it was in use; start again to go on with"
    assert said in service.log_tail() and "Traceback" not in service.log_tail()
    service.start()
    service.wait_health()
    assert is_the_copy(service.database)


def test_serve_ends_for_good_where_a_new_start_would_mix_two_databases(service: Service) -> None:
    with closing(open_database(service.database)) as database, writing(database) as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('old', 'yes')")
    put_back(service.database, whole=False)
    assert service.wait_exit() == 2
    said = service.log_tail()
    assert "communities.db-wal beside it is still that of the old file" in said and "put the copy there" in said
    assert "Traceback" not in said


def test_a_file_that_is_gone_is_noticed_too(service: Service) -> None:
    for path in sorted(service.database.parent.glob("communities.db*"), reverse=True):
        path.unlink()
    assert service.wait_exit() == 1
    assert "deleted or replaced" in service.log_tail() and not service.database.exists()


def test_run_goes_on_with_the_new_file(start_service: Start) -> None:
    service = start_service(RULES, source=nowhere())
    before = started(service)
    put_back(service.database)

    def anew() -> bool:
        ended = service.log.read_text().count("ended with code 1; starting it again in 2 s")
        return ended == len(before) and get_json(f"{service.url}/xrpc/_health") is not None

    until("both have begun again", anew, 60)
    after = started(service)
    assert not set(after.values()) & set(before.values())
    assert is_the_copy(service.database)
    feeds = get_json(f"{service.url}/xrpc/app.bsky.feed.describeFeedGenerator")
    assert "ab" in json.dumps(feeds)


def test_run_ends_where_a_new_start_would_mix_two_databases(start_service: Start) -> None:
    service = start_service(RULES, source=nowhere())
    started(service)
    put_back(service.database, whole=False)
    assert service.wait_exit() == 2
    assert "starting it again" not in service.log.read_text()


def test_which_of_the_two_it_is(tmp_path: Path) -> None:
    path = tmp_path / "communities.db"
    with closing(open_database(path)) as database:
        identity = file_identity(database)
        assert identity == file_identity(path) and None not in identity
        check_in_place(path, identity)
        put_back(path, whole=False)
        with pytest.raises(DatabaseMixedError, match=r"remove .*communities\.db-wal and"):
            check_in_place(database, identity)
        path.with_name("communities.db-shm").unlink()
        with pytest.raises(DatabaseMovedError, match="start again") as fault:
            check_in_place(database, identity)
        assert not isinstance(fault.value, DatabaseMixedError)
        path.unlink()
