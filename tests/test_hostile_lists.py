"""The server of a list's owner is anybody's: what it answers is bounded in members and in time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest
from aiohttp import web

from communities.matching import Matcher
from firehose.housekeeping import DAY, Housekeeping
from firehose.in_force import Changes
from firehose.index import Index
from firehose.lists import ListError, ListReader, read_list
from firehose.rules import REAPPLY
from models import meta
from models.database import open_database, sql, writing
from tests.didnet import plc
from tests.ingest_site import Site
from tests.service_process import PATIENCE
from xrpc.egress import egress_session
from xrpc.resolver import DidResolver

OWNER = plc(1)
LIST = f"at://{OWNER}/app.bsky.graph.list/l"


@asynccontextmanager
async def town(list_records: Any) -> AsyncIterator[str]:
    """A directory and a PDS in one; `list_records` answers for the PDS. Gives its URL."""

    async def document(request: web.Request) -> web.Response:
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": here}
        return web.json_response({"id": request.match_info["did"], "service": [service]})

    app = web.Application()
    app.router.add_get("/xrpc/com.atproto.repo.listRecords", list_records)
    app.router.add_get("/{did}", document)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield here
    finally:
        await runner.cleanup()


async def test_a_page_of_more_records_than_asked_for_is_refused() -> None:
    """Two thousand pages of a megabyte would be millions of members."""
    asked = 0

    async def many(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        value = {"list": LIST, "subject": plc(2)}
        records = [{"uri": f"at://{OWNER}/app.bsky.graph.listitem/{asked}-{n}", "value": value} for n in range(101)]
        return web.json_response({"records": records, "cursor": str(asked)})

    async with town(many) as url, egress_session(("127.0.0.1",)) as session:
        with pytest.raises(ListError, match="as the lexicon says"):
            await read_list(LIST, DidResolver(session, url, allow=("127.0.0.1",)), session)
    assert asked == 1


async def test_a_list_that_never_ends_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages come one by one, each in time; the list behind it must be read all the same."""
    monkeypatch.setattr("firehose.lists.READ_SECONDS", 0.2)
    other = f"at://{plc(2)}/app.bsky.graph.list/l"
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        if request.query["repo"] == OWNER:
            asked += 1
            await asyncio.sleep(0.01)  # the server's own slowness
            return web.json_response({"records": [{}], "cursor": str(asked)})
        value = {"list": other, "subject": plc(3)}
        return web.json_response({"records": [{"uri": f"at://{plc(2)}/app.bsky.graph.listitem/a", "value": value}]})

    database = open_database(tmp_path / "x.db")
    with writing(database) as connection:
        connection.execute("INSERT INTO list (uri) VALUES (?), (?)", (LIST, other))
    stop = asyncio.Event()
    async with town(answer) as url, egress_session(("127.0.0.1",)) as session:
        resolver = DidResolver(session, url, allow=("127.0.0.1",))
        reader = ListReader(database, Index(sql(database), 0), resolver, session, 60_000_000, stop.set)
        async with asyncio.timeout(10 * PATIENCE):
            await reader.run(stop)
    assert asked > 1
    rows = sql(database).execute("SELECT uri, read_at > 0, error FROM list ORDER BY uri").fetchall()
    assert rows == [(LIST, 0, "it could not be read in 0 s"), (other, 1, None)]
    assert sql(database).execute("SELECT list, subject FROM list_item").fetchall() == [(other, plc(3))]
    database.close()


def test_an_endless_list_change_does_not_stop_what_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at stored posts anew begins from the first with every change; what is used up leaves before that."""
    monkeypatch.setattr("firehose.housekeeping.MOST_INTERACTIONS", 5)
    database = open_database(tmp_path / "x.db")
    now = 10 * DAY
    house = Housekeeping(database, Index(sql(database), 0), 90 * DAY, clock=lambda: now)
    with writing(database) as connection:
        connection.execute("INSERT INTO used_token (iss, jti, expires) VALUES ('a', 'b', 1)")
        connection.executemany(
            "INSERT INTO interaction (viewer, item, event, req_id, feed, feed_context, at)"
            " VALUES ('v', '', '', ?, '', '', ?)",
            [(str(n), now - n) for n in range(20)],
        )
    for _ in range(3):
        with writing(database) as connection:
            meta.put(connection, REAPPLY, "0")
        house.step(Matcher())
    query = "SELECT count(*), (SELECT count(*) FROM used_token), min(at) FROM interaction"
    left = sql(database).execute(query).fetchone()
    assert left == (5, 0, now - 4)
    database.close()


async def test_a_list_that_changes_without_an_end_leaves_time_for_the_stream(tmp_path: Path) -> None:
    """Compiling is held to a tenth of the time, whatever it costs."""
    async with Site(tmp_path) as site:
        (alice,) = site.people("alice")
        compiled: list[float] = []

        take_lists = site.ingest.in_force.take_lists

        def slow(owners: Iterable[str] | None = None) -> Changes:
            compiled.append(time.monotonic())
            while time.monotonic() < compiled[-1] + 0.05:
                pass
            return take_lists(owners)

        site.ingest.in_force.take_lists = slow  # type: ignore[method-assign]
        async with asyncio.timeout(60):
            while len(compiled) < 3:
                site.ingest.index.list_changes[alice.did] += 1
                await asyncio.sleep(0.005)
        assert min(after - before for before, after in pairwise(compiled)) >= 0.5
        await site.caught_up(alice.post("#python").seq)


async def test_f4_a_database_that_refuses_a_write_does_not_end_the_reading_of_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"list": LIST, "subject": plc(3)}
    tries = 0

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"records": [{"uri": f"at://{OWNER}/app.bsky.graph.listitem/a", "value": value}]})

    def full_once(database: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise apsw.FullError("database or disk is full")
        return writing(database)

    async def at_once(stop: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(0)

    database = open_database(tmp_path / "x.db")
    with writing(database) as connection:
        connection.execute("INSERT INTO list (uri) VALUES (?)", (LIST,))
    monkeypatch.setattr("firehose.lists.writing", full_once)
    monkeypatch.setattr("firehose.lists.pause", at_once)
    stop = asyncio.Event()
    async with town(answer) as url, egress_session(("127.0.0.1",)) as session:
        resolver = DidResolver(session, url, allow=("127.0.0.1",))
        reader = ListReader(database, Index(sql(database), 0), resolver, session, 60_000_000, stop.set)
        async with asyncio.timeout(10 * PATIENCE):
            await reader.run(stop)
    assert tries == 2
    assert sql(database).execute("SELECT subject FROM list_item").fetchall() == [(plc(3),)]
    database.close()
