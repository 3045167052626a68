"""subscribeLabels: who begins where, what is sent, and that each gets exactly the rows in order."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libipld import encode_dag_cbor

from labeler.frames import labels_frame, unsigned, websocket
from labeler.label import check, to_json
from labeler.pages import PAGE, floor_key
from models import labelers, meta
from models.commits import CommitWatch
from service import labelling
from service.cli import main
from tests.service_process import PATIENCE, Service
from tests.stream_site import (
    FIRST,
    FIRST_HOST,
    PUBLIC,
    SECOND,
    SECOND_HOST,
    START,
    STREAM,
    Labels,
    Message,
    Site,
    configure,
    declaration,
    label,
    labels_in,
    read_message,
    served,
)
from xrpc.key import parse_did_key

ROOT = Path(__file__).parents[1]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Site, Labels]]:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        async with served(config) as site:
            yield site, labels


def seqs(messages: list[Message]) -> list[int]:
    return [one.seq for one in messages]


@given(st.integers(0, 2**53 - 1))
def test_numbers_are_written_as_cbor_has_them(number: int) -> None:
    assert unsigned(number) == encode_dag_cbor(number)


@given(st.integers(1, 2**53 - 1), st.binary(max_size=70_000))
def test_a_frame_is_what_the_library_would_make(seq: int, text: bytes) -> None:
    """S78: the header and the payload, keys in canonical order; RFC 6455 for the lengths around it."""
    signed = encode_dag_cbor({"uri": text.hex()})
    frame = labels_frame(seq, signed)
    assert frame == encode_dag_cbor({"op": 1, "t": "#labels"}) + encode_dag_cbor(
        {"labels": [{"uri": text.hex()}], "seq": seq}
    )
    wire = websocket(frame)
    assert wire.endswith(frame) and wire[0] == 0x82
    wide = 0 if len(frame) < 126 else 2 if len(frame) < 1 << 16 else 8
    assert len(wire) == 2 + wide + len(frame) and wire[1] == {0: len(frame), 2: 126, 8: 127}[wide]
    assert not wide or int.from_bytes(wire[2 : 2 + wide], "big") == len(frame)


async def test_s78_a_message_holds_the_stored_label(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.publish(label(1), label(2, neg=True), label(3, exp=START, cid="bafyreiaaaa"))
    async with door.subscriber(0) as one:
        assert "Sec-WebSocket-Extensions" not in one.ws._response.headers
        for seq, signed in labels.rows():
            message = await one.next()
            assert message.data == labels_frame(seq, signed) and check(signed, parse_did_key(PUBLIC))
            assert 0 < message.seq < 2**53


async def test_s68_none_zero_and_n(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.fill(PAGE + 20)
    async with (
        door.subscriber() as live,
        door.subscriber(0) as oldest,
        door.subscriber(PAGE + 18) as behind,
        door.subscriber(PAGE + 20) as level,
    ):
        assert seqs(await oldest.take(PAGE + 20)) == list(range(1, PAGE + 21))
        assert seqs(await behind.take(2)) == [PAGE + 19, PAGE + 20]
        await until_subscribed(door, 4)
        labels.fill(2, first=5000)
        for one in (live, oldest, behind, level):
            assert seqs(await one.take(2)) == [PAGE + 21, PAGE + 22]


async def metrics(site: Site) -> dict[str, float]:
    """The samples of the labelers, by name without labels; several of one name are added."""
    async with site.client.get(f"http://127.0.0.1:{site.metrics_port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found: dict[str, float] = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if line.startswith("communities_label"):
            key = name.partition("{")[0] if "kind=" not in name else name.partition('kind="')[2].rstrip('"}')
            found[key] = found.get(key, 0) + float(value)
    return found


async def until_subscribed(site: Site, count: int) -> None:
    """Wait until so many have been let in."""
    async with asyncio.timeout(30 * PATIENCE):
        while (await metrics(site)).get("communities_label_subscribers") != count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cursor", ["x", "-1", "9007199254740992", "%EF%BC%91", "", "1.0", "%2B1", "1" * 30])
@pytest.mark.parametrize("protocol", [(), ("xrpc.v1.json",)])
async def test_s66_a_cursor_that_is_none(site: tuple[Site, Labels], cursor: str, protocol: tuple[str, ...]) -> None:
    site[1].fill(3)
    async with site[0].subscriber(cursor, protocols=protocol) as one:
        message = await one.next()
        assert (message.kind, message.said["error"]) == ("error", "InvalidRequest")
        assert await one.next() == Message("close", {"code": 1008})


@pytest.mark.parametrize("cursor", [4, 2**53 - 1])
async def test_s67_a_cursor_in_the_future(site: tuple[Site, Labels], cursor: int) -> None:
    door, labels = site
    labels.fill(3)
    async with door.subscriber(cursor) as one:
        message = await one.next()
        labels.fill(3, first=10)
        assert (message.kind, message.said["error"]) == ("error", "FutureCursor")
        assert await one.next() == Message("close", {"code": 1008})


async def test_s67_what_another_labeler_has_published_is_not_the_future(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.publish(label(1), label(2, SECOND))
    async with door.subscriber(2) as one, door.subscriber(0, SECOND_HOST) as other:
        assert seqs(await other.take(1)) == [2]
        labels.publish(label(3, SECOND), label(4))
        assert seqs(await one.take(1)) == [4]
        assert seqs(await other.take(1)) == [3]


@pytest.mark.parametrize("protocol", [(), ("xrpc.v1.json",)])
async def test_s69_a_cursor_before_what_is_kept(site: tuple[Site, Labels], protocol: tuple[str, ...]) -> None:
    door, labels = site
    labels.fill(10)
    with labels.database.atomic("IMMEDIATE"):
        labels.connection.execute("DELETE FROM label WHERE seq <= 4")
        meta.put(labels.connection, floor_key(labelers.enter(labels.connection, FIRST)), "4")
    for cursor, outdated in ((0, True), (3, True), (4, False)):
        async with door.subscriber(cursor, protocols=protocol) as one:
            if outdated:
                message = await one.next()
                assert (message.kind, message.said["name"]) == ("#info", "OutdatedCursor")
            assert seqs(await one.take(6)) == [5, 6, 7, 8, 9, 10]


async def test_json_when_it_is_asked_for(site: tuple[Site, Labels]) -> None:
    """Proposal 0015; the first format that is known counts, and JSON may be compressed."""
    door, labels = site
    labels.fill(PAGE + 5)
    for asked, spoken in {
        ("xrpc.v1.json",): "xrpc.v1.json",
        ("x", "xrpc.v1.json", "xrpc.v0.cbor"): "xrpc.v1.json",
        ("xrpc.v0.cbor", "xrpc.v1.json"): "xrpc.v0.cbor",
        ("x", "y"): None,
        (): None,
    }.items():
        for compress in (0, 15):
            async with door.subscriber(0, protocols=asked, compress=compress) as one:
                assert one.ws.protocol == spoken
                assert bool(one.ws.compress) == (compress == 15 and spoken == "xrpc.v1.json")
                messages = await one.take(PAGE + 5)
                assert seqs(messages) == list(range(1, PAGE + 6))
                if spoken == "xrpc.v1.json":
                    want = {"$type": f"{STREAM}#labels", "seq": 1, "labels": [to_json(labels.rows()[0][1])]}
                    assert messages[0].said == want


async def test_replays_are_identical(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.fill(700)
    found = []
    for _ in range(2):
        async with door.subscriber(0) as one:
            found.append([message.data for message in await one.take(700)])
        labels.run("UPDATE meta SET value = value")  # a commit that is none of ours
    assert found[0] == found[1]


async def test_what_was_replaced_comes_once_in_its_new_place(site: tuple[Site, Labels]) -> None:
    door, labels = site
    async with door.subscriber(0) as one:
        labels.publish(label(1))
        assert seqs(await one.take(1)) == [1]
        labels.publish(label(1, neg=True, cts=START + 5), label(2))
        assert seqs(await one.take(2)) == [2, 3]
    async with door.subscriber(0) as one:
        messages = await one.take(2)
        assert [(each.seq, each.said["labels"][0].get("neg", False)) for each in messages] == [(2, True), (3, False)]


async def test_leaps_of_the_numbers_are_nothing_special(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.publish(*(label(number) for number in range(40)), step=2**40)
    async with door.subscriber(0) as one:
        assert seqs(await one.take(40)) == [1 + number * 2**40 for number in range(40)]


async def publishing(config: Any, count: int) -> asyncio.subprocess.Process:
    """Another process that publishes."""
    words = (sys.executable, "-m", "tests.stream_site", str(config.database), FIRST, str(count))
    return await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=PIPE)


async def test_s70_everybody_gets_exactly_the_rows(site: tuple[Site, Labels]) -> None:
    """50 who read from everywhere, some slowly, some who come again, while another process publishes 1,000 labels."""
    door, labels = site
    labels.fill(1500)
    writer = await publishing(labels.config, 1000)
    assert writer.stdout is not None
    await writer.stdout.readline()

    async def read(number: int) -> None:
        start = cursor = (0, 7, 1499, 1600, 900)[number % 5] if number % 10 else 0
        found: list[bytes] = []
        while cursor < 2500:
            async with door.subscriber(min(cursor, 1500) if not found else cursor) as one:
                if not found:
                    start = cursor = min(cursor, 1500)
                for taken in range(2500):
                    message = await one.next()
                    found.append(message.data)
                    cursor = message.seq
                    if cursor == 2500 or (number % 3 == 1 and taken == 400):
                        break  # and come again with the cursor
                    if number % 4 == 2 and taken % 100 == 0:
                        await asyncio.sleep(0.005)
        assert found == [labels_frame(seq, signed) for seq, signed in labels.rows(after=start)]

    await asyncio.gather(*(read(number) for number in range(50)), writer.communicate())
    assert len(labels.rows()) == 2500


async def test_a_label_of_another_process_is_there_within_a_blink(site: tuple[Site, Labels]) -> None:
    door, labels = site
    loop = asyncio.get_running_loop()
    waits = []
    async with door.subscriber() as one:
        await until_subscribed(door, 1)
        for number in range(30):
            labels.publish(label(number))
            start = loop.time()
            await one.take(1)
            waits.append(loop.time() - start)
    assert sorted(waits)[15] < 0.05 * PATIENCE


async def test_nobody_listening_nothing_is_looked_at(
    site: tuple[Site, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = CommitWatch.any

    def counted(self: CommitWatch) -> bool:
        nonlocal looks
        looks += 1
        return look(self)

    monkeypatch.setattr(CommitWatch, "any", counted)
    async with site[0].subscriber(0) as one:
        site[1].fill(1)
        await one.take(1)
    await until_subscribed(site[0], 0)
    before = looks
    await asyncio.sleep(0.1)
    assert looks <= before + 2  # the report for `status`, once in 5 s


async def test_sigkill_and_each_label_once(tmp_path: Path, start_service: Callable[..., Service]) -> None:
    """F1: whoever comes again with the cursor that he has gets each label exactly once."""
    config = configure(tmp_path, declaration((FIRST, FIRST_HOST)))
    with labels_in(config) as labels:
        service = start_service(command="serve", labels=str(config.labels), data=str(config.data))
        await asyncio.to_thread(until_up, service)
        labels.fill(600)
        writer = await publishing(config, 600)
        found: dict[int, list[bytes]] = {number: [] for number in range(6)}
        seen: dict[int, int] = dict.fromkeys(found, 0)
        url = f"{service.url}/xrpc/{STREAM}"

        async def read(number: int) -> None:
            async with aiohttp.ClientSession() as client:
                while seen[number] < 1200:
                    try:
                        async with client.ws_connect(f"{url}?cursor={seen[number]}") as ws:
                            async for message in ws:
                                found[number].append(message.data)
                                seen[number] = read_message(message.data).seq
                                if seen[number] == 1200:
                                    return
                    except (aiohttp.ClientError, ConnectionError):
                        await asyncio.sleep(0.02)

        async def kill() -> None:
            for part in (300, 700, 1000):
                async with asyncio.timeout(60 * PATIENCE):
                    while max(seen.values()) < part:
                        await asyncio.sleep(0.002)
                await asyncio.to_thread(service.kill)
                service.start()

        await asyncio.gather(kill(), *(read(number) for number in found), writer.communicate())
        await asyncio.to_thread(until_up, service)
        rows = [labels_frame(seq, signed) for seq, signed in labels.rows()]
        assert all(one == rows for one in found.values()) and len(rows) == 1200


def until_up(service: Service) -> None:
    service.wait_health()


async def test_subscribers_are_told_of(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.fill(5)
    forwarded = {"X-Forwarded-For": "2001:db8:7:8:9::1"}
    async with door.subscriber(2, headers=forwarded) as one, door.subscriber(0, protocols=("xrpc.v1.json",)) as two:
        await one.take(3)
        await two.take(5)
        await until_subscribed(door, 2)
        text = await (await door.client.get(f"http://127.0.0.1:{door.metrics_port}/metrics")).text()
        assert f'communities_label_head_seq{{labeler="{FIRST}"}} 5' in text
        assert 'client="2001:db8:7:8::/64"' in text and 'format="json"' in text
        assert (await metrics(door))["communities_label_lag_seqs"] == 0
        async with asyncio.timeout(30 * PATIENCE):
            while True:
                rows = labels.run("SELECT report FROM process WHERE name = 'serve'")
                told = json.loads(rows[0][0]) if rows else {}
                if len(told.get("subscribers", ())) == 2 and told["labelers"][0]["head"] == 5:
                    break
                await asyncio.sleep(0.05)
        assert told["labelers"][0] == {"did": FIRST, "head": 5} and told["publisher"]["state"].startswith("waiting: ")
        assert {each["labeler"] for each in told["subscribers"]} == {FIRST}
        assert [(each["format"], each["cursor"], each["lag"]) for each in told["subscribers"]] == [
            ("cbor", 5, 0),
            ("json", 5, 0),
        ]


async def test_status_names_subscribers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those furthest behind first, twenty of them: `communities status` all, `labeler status` those of each labeler."""
    monkeypatch.setattr(labelling, "REPORT_SECONDS", 0.01)
    config = configure(tmp_path)
    for name, value in {"DATA": config.data, "LABELS": config.labels, "LABELER_KEY": config.labeler_key}.items():
        monkeypatch.setenv(f"COMMUNITIES_{name}", str(value))
    monkeypatch.chdir(tmp_path)

    async def said(*words: str) -> str:
        capsys.readouterr()
        await asyncio.to_thread(main, words)
        return capsys.readouterr().out

    async def until(there: Callable[[list[Any]], bool]) -> list[Any]:
        async with asyncio.timeout(30 * PATIENCE):
            while True:
                readers: list[Any] = json.loads(await said("status", "--json"))["labelSubscribers"] or []
                if there(readers):
                    return readers
                await asyncio.sleep(0.05)

    with labels_in(config) as labels:
        labels.fill(5)
        async with served(config) as door, AsyncExitStack() as stack:
            other = await stack.enter_async_context(door.subscriber(0, SECOND_HOST))
            for number in range(22):
                client = {"X-Forwarded-For": f"192.0.2.{number}"}
                one = await stack.enter_async_context(door.subscriber(2, headers=client))
                await one.take(3)
            readers = await until(lambda readers: sum(one["cursor"] == 5 for one in readers) == 22)
            assert {one["labeler"] for one in readers} == {FIRST, SECOND} and readers[0]["labeler"] == SECOND
            assert (readers[0]["cursor"], readers[0]["lag"], readers[1]["client"]) == (0, 0, "192.0.2.0")
            text = await said("status")
            assert "readers  of labels: 23\n" in text and "reader   and 3 more, none further behind\n" in text
            line = f"reader   192.0.2.7 (cbor) of {FIRST}: cursor 5, up to date, since 20"
            assert line in text and text.count("reader   ") == 21
            first, second = (await said("labeler", "status")).split("\n\n")
            assert "subscribers  22\n  192.0.2.0 (cbor)" in first and SECOND not in first and "and 2 more" in first
            assert f"subscribers  1\n  address unknown (cbor) of {SECOND}: cursor 0" in second
            counts = [len(one["subscribers"]) for one in json.loads(await said("labeler", "status", "--json"))]
            assert counts == [22, 1]
            assert not other.ws.closed
        assert await until(lambda readers: not readers) == [], "it says when it stops that nobody is left"
        lagging = {"labeler": FIRST, "client": "2001:db8::/64", "format": "json", "cursor": 4, "since": 0}
        lags = json.dumps({"subscribers": [lagging | {"lag": lag} for lag in (0, 1, 7)]})
        labels.run("UPDATE process SET at = unixepoch() * 1000000, report = ? WHERE name = 'serve'", lags)
        assert [one["lag"] for one in await until(bool)] == [7, 1, 0]
        text = await said("status")
        assert text.index("at most 7 labels behind, since 1970-01-01T00:00:00Z") < text.index("at most 1 label behind")
        labels.run("UPDATE process SET at = at - 600000000 WHERE name = 'serve'")
        assert "readers  of labels: unknown: no sign of life from the web process for 6" in await said("status")
        assert json.loads(await said("status", "--json"))["labelSubscribers"] is None


async def test_a_fault_of_the_database_does_not_end_the_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "REPORT_SECONDS", 0.01)
    faults, report = [apsw.BusyError("busy")], labelling.Labelling.report

    def faulty(self: labelling.Labelling) -> dict[str, Any]:
        if faults:
            raise faults.pop()
        return report(self)

    monkeypatch.setattr(labelling.Labelling, "report", faulty)
    config = configure(tmp_path)
    with labels_in(config) as labels:
        async with served(config), asyncio.timeout(30 * PATIENCE):
            while not labels.run("SELECT 1 FROM process WHERE name = 'serve'"):
                await asyncio.sleep(0.01)
    assert not faults
