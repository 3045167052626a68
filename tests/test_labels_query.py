"""queryLabels: what it finds, held against a naive reading of every row; what it refuses; which way it goes there."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler import query
from labeler.label import Label, check, to_json
from labeler.turns import BUDGET
from models.database import Connection
from tests.didnet import plc
from tests.stream_site import (
    FIRST,
    FIRST_HOST,
    PUBLIC,
    QUERY,
    SECOND,
    SECOND_HOST,
    START,
    Labels,
    Site,
    configure,
    label,
    labels_in,
    served,
)
from xrpc.key import parse_did_key

COLLECTIONS = ("app.bsky.feed.post", "app.bsky.feed.po%t", "app.bsky.feed.p_st")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Site, Labels]]:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        async with served(config) as site:
            yield site, labels


def patterns(*given: str) -> str:
    return "&".join(f"uriPatterns={quote(one, safe='')}" for one in given)


def uris(body: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["uri"] for one in body["labels"]]


async def test_a_label_is_given_whole_and_verifies(site: tuple[Site, Labels]) -> None:
    door, labels = site
    said = label(1, cid="bafyreid27zk7lbis4zw5fz4podbvbs4fc5ivwji3dmrwa6zggnj4bnd57u", exp=START + 10**9)
    labels.publish(said)
    status, body = await door.ask(patterns(said.uri))
    ((_, signed),) = labels.rows()
    assert (status, body) == (200, {"cursor": "1", "labels": [to_json(signed)]})
    assert body["labels"][0]["ver"] == 1 and not body["labels"][0]["sig"]["$bytes"].endswith("=")
    assert check(signed, parse_did_key(PUBLIC))


async def test_negated_and_expired_labels_are_given_so_that_mirrors_agree(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.publish(label(1), label(2, exp=START), label(3))
    labels.publish(label(1, neg=True, cts=START + 99))
    _, body = await door.ask(patterns("*"))
    assert [(one["uri"][-2:], one.get("neg"), "exp" in one) for one in body["labels"]] == [
        ("p2", None, True),
        ("p3", None, False),
        ("p1", True, False),
    ]
    assert body["cursor"] == "4"


async def test_others_are_answered_between_costly_queries(
    site: tuple[Site, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, labels = site
    labels.fill(1)
    done: list[int] = []
    find = query.find

    def costly(*given: Any) -> Any:
        time.sleep(0.02)
        done.append(len(done))
        return find(*given)

    monkeypatch.setattr(query, "find", costly)
    many = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(100)]
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for _, one in many:
        one.write(f"GET /xrpc/{QUERY}?uriPatterns=* HTTP/1.1\r\nHost: {FIRST_HOST}\r\n\r\n".encode())
    writer.write(b"GET /xrpc/_health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in await reader.readline()
    assert len(done) < 20, "it had not to wait until all were answered"
    for other, _ in many:
        assert b" 200 " in await other.readline()
    assert len(done) == 100
    for one in (writer, *(one for _, one in many)):
        one.close()


async def test_of_many_cheap_queries_a_turn_has_what_its_budget_holds(
    site: tuple[Site, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several are answered in a turn of the loop, but never so many that others would wait for all of them."""
    door, labels = site
    labels.fill(1)
    loop, find = asyncio.get_running_loop(), query.find
    turn, turns, stopped = 0, Counter[int](), False

    def count() -> None:
        nonlocal turn
        turn += 1
        if not stopped:
            loop.call_soon(count)

    def cheap(*given: Any) -> Any:
        time.sleep(BUDGET / 8)
        turns[turn] += 1
        return find(*given)

    monkeypatch.setattr(query, "find", cheap)
    many = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(300)]
    count()
    for _, one in many:
        one.write(f"GET /xrpc/{QUERY}?uriPatterns=* HTTP/1.1\r\nHost: {FIRST_HOST}\r\n\r\n".encode())
    for other, one in many:
        assert b" 200 " in await other.readline()
        one.close()
    stopped = True
    # Turns are counted somewhere within a turn of the loop, so that a count may have the parts of two.
    assert sum(turns.values()) == 300 and 1 < max(turns.values()) <= 16, turns


async def test_s55_pages_go_by_seq_and_end(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.fill(120)
    found, cursor = [], ""
    while True:
        _, body = await door.ask(patterns("at://*") + cursor)
        if not body["labels"]:
            assert "cursor" not in body
            break
        found += body["labels"]
        cursor = f"&cursor={body['cursor']}"
    assert found == [to_json(signed) for _, signed in labels.rows()]
    assert [len((await door.ask(patterns("*") + f"&limit={limit}"))[1]["labels"]) for limit in (1, 250)] == [1, 120]


async def test_patterns_are_literal_but_for_a_star_at_the_end(site: tuple[Site, Labels]) -> None:
    """S54."""
    door, labels = site
    made = [f"at://{plc(1)}/{collection}/a" for collection in COLLECTIONS] + [plc(1), plc(12), f"at://{plc(1)}/x/A"]
    labels.publish(*(Label(FIRST, uri, "", "spoiler", False, START) for uri in made))
    for pattern, wanted in {
        f"at://{plc(1)}/app.bsky.feed.p_st/a": made[2:3],
        f"at://{plc(1)}/app.bsky.feed.po%*": made[1:2],
        f"at://{plc(1)}/app.bsky.feed.p_*": made[2:3],
        f"at://{plc(1)}/*": [*made[:3], made[5]],
        plc(1): [plc(1)],
        f"at://{plc(1)}/x/a": [],
        "%": [],
        "\\*": [],
        "did:*": [plc(1), plc(12)],
        "*": made,
    }.items():
        assert uris((await door.ask(patterns(pattern)))[1]) == wanted, pattern
    both = patterns(plc(12), "did:*", plc(1), f"at://{plc(1)}/x*", plc(12))
    assert uris((await door.ask(both))[1]) == [plc(1), plc(12), made[5]]
    for bad in ("a*b", "**", "*a", ""):
        status, body = await door.ask(patterns(bad))
        assert (status, body["error"]) == (400, "InvalidRequest")
    assert (await door.ask(patterns(*["x"] * 50)))[0] == 200
    assert (await door.ask(patterns(*["x"] * 51)))[0] == 400
    assert (await door.ask(""))[0] == 400


@pytest.mark.parametrize(
    "bad",
    [
        *(f"limit={value}" for value in ("0", "-1", "251", "abc", "", "%EF%BC%91", "1_0", "%205%20", "%2B5", "1e3")),
        *(f"limit={value}" for value in ("18446744073709551616", "5&limit=5")),
        *(f"cursor={value}" for value in ("x", "-1", "9007199254740992", "%EF%BC%91", "", "1&cursor=1", "1.0")),
        *("sources=x", "sources=did:key:", "uriPatterns=%00", "uriPatterns=%FF", "uriPatterns=%zz"),
        "&".join(["sources=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"] * 51),
    ],
)
async def test_s48_parameters_are_read_strictly(site: tuple[Site, Labels], bad: str) -> None:
    status, body = await site[0].ask(f"uriPatterns=*&{bad}")
    assert (status, body["error"]) == (400, "InvalidRequest"), body


async def test_the_host_says_whose_labels_are_meant(site: tuple[Site, Labels]) -> None:
    door, labels = site
    labels.publish(label(1), label(2, SECOND), label(3))
    labels.run("INSERT INTO labeler (did) VALUES ('did:plc:stranger')")
    first, second = [1, 3], [2]
    for host, wanted in {
        "labels.example.org": first,
        "LABELS.example.org": first,
        "labels.example.org:443": first,
        SECOND_HOST: second,
        "second.example.org": first,
        "elsewhere.example": first,
    }.items():
        _, body = await door.ask(patterns("*"), host)
        assert [int(one["uri"].rpartition("p")[2]) for one in body["labels"]] == wanted, host
    for src, count in ((FIRST, 2), (SECOND, 0)):
        _, body = await door.ask(patterns("*") + f"&sources={src}&sources=did:web:example.com")
        assert len(body["labels"]) == count
    assert (await door.ask(patterns("a*b") + f"&sources={SECOND}"))[0] == 400


async def test_a_caller_is_bounded_when_he_can_be_told_from_others(site: tuple[Site, Labels]) -> None:
    """S166, S167."""
    door, _ = site

    async def count(address: str) -> int:
        """How many are answered until one is refused."""
        for number in range(1200):
            url = f"{door.url(QUERY)}?{patterns('*')}"
            async with door.client.get(url, headers={"X-Forwarded-For": address}) as answer:
                if answer.status == 429:
                    assert answer.headers["RateLimit-Policy"] == "1000;w=20"
                    assert "RateLimit-Policy" in answer.headers["Access-Control-Expose-Headers"]
                    return number
        return 1200

    # What stands before the address that our own proxy has written is the caller's invention.
    assert 1000 <= await count("1.2.3.4, 2001:db8:1:2::7") < 1200
    assert await count("9.9.9.9, 2001:db8:1:2:ffff::") < 100  # what came free meanwhile
    assert (await door.ask(patterns("*"), X_Forwarded_For="2001:db8:1:3::7"))[0] == 200
    assert (await door.ask(patterns("*")))[0] == 200


# Against every row, read naively


def naive(connection: Connection, given: Sequence[str], cursor: int, limit: int) -> list[tuple[int, bytes]]:
    rows = connection.execute("SELECT seq, uri, signed FROM label WHERE labeler = 1 ORDER BY seq").fetchall()
    found = [
        (seq, signed)
        for seq, uri, signed in rows
        if seq > cursor and any(uri.startswith(one[:-1]) if one[-1:] == "*" else uri == one for one in given)
    ]
    return found[:limit]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """30,000 labels: a crowded account at the beginning, leaps of the numbers, rare subjects in between."""
    config = configure(tmp_path_factory.mktemp("many"))
    chance = random.Random(5)
    labels = Labels(config)
    rows, seq = [], 0
    for number in range(30_000):
        did = plc(1 if number < 3000 else chance.randrange(2, 400))
        uri = did if chance.random() < 0.2 else f"at://{did}/{chance.choice(COLLECTIONS)}/{number}"
        seq += 1_000_000 if number % 9973 == 0 else 1
        val = "spoiler" if uri != did else f"v{number}"
        rows.append((seq, 1, did, uri, "", val, 0, number, None, 1, 1, b"%d" % number))
        if number % 7 == 0:
            rows.append((seq := seq + 1, 2, did, uri, "", val, 0, number, None, 1, 1, b"other"))
    with labels.database.atomic("IMMEDIATE"):
        labels.connection.executemany(f"INSERT INTO label VALUES ({', '.join('?' * 12)})", rows)
    return labels


DIDS = st.integers(1, 420).map(plc)
PATTERNS = st.one_of(
    DIDS,
    st.sampled_from(("*", "did:*", "at://*", "zzz*", "did:plc:*", "at://did:plc:*", f"at://{plc(1)}/*")),
    st.builds(lambda did, length: f"at://{did[:length]}*", DIDS, st.integers(8, 32)),
    st.builds(lambda did, length: f"{did[:length]}*", DIDS, st.integers(4, 32)),
    st.builds(
        lambda did, of, tail: f"at://{did}/{of}/{tail}", DIDS, st.sampled_from(COLLECTIONS), st.sampled_from("*1")
    ),
    st.builds(lambda number: f"at://{plc(1)}/app.bsky.feed.post/{number}*", st.integers(0, 30)),
)
CURSORS = st.one_of(st.just(0), st.integers(0, 5_000_000), st.integers(0, 35_000).map(lambda n: n + 1_000_000))


@settings(max_examples=250)
@given(st.lists(PATTERNS, min_size=1, max_size=12), CURSORS, st.sampled_from((1, 2, 50, 250)))
def test_it_finds_what_reading_everything_finds(many: Labels, given: list[str], cursor: int, limit: int) -> None:
    """S54, S55."""
    assert query.find(many.connection, 1, given, cursor, limit) == naive(many.connection, given, cursor, limit)


def test_no_way_reads_all_labels(many: Labels) -> None:
    """S54: each step of each plan goes by an index, and only so much is put in order as a page or a few have."""
    one: tuple[object, ...] = (1, 0, "a", "b")
    some: tuple[object, ...] = (1, 0, "[]", None)
    bindings: dict[str, tuple[object, ...]] = {query.NAMED: (1, "x", 0), query.STREAM: (1, 0, 9)}
    bindings |= {query.SIGNED: ("[]",), query.MORE: (1, "a", "b", 9), query.BY_NAME: (1, "a", "b", 0, 9)}
    bindings |= {query.NEXT: (*some, 9, 9), query.NEXT_OF_ONE: (*one, 9, 9)}
    bindings |= {query.NEAR: (*some, 9, 9), query.NEAR_OF_ONE: (*one, 9, 9)}
    bindings |= {query.BLOCKS: some, query.BLOCKS_OF_ONE: one}
    sorting = {query.BY_NAME, query.NEAR, query.NEAR_OF_ONE}
    plans = {}
    for statement, values in bindings.items():
        steps = [row[3] for row in many.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        assert any("SEARCH label" in step for step in steps), steps
        assert not any("SCAN label" in step for step in steps), steps
        assert any("TEMP B-TREE" in step for step in steps) == (statement in sorting), steps
        plans[statement] = str(steps)
    for statement in (query.NEXT, query.NEXT_OF_ONE):
        assert "COVERING INDEX label_stream (labeler=? AND seq>?)" in plans[statement]
    for statement in (query.BLOCKS, query.BLOCKS_OF_ONE, query.NEAR, query.NEAR_OF_ONE):
        assert "COVERING INDEX label_block (labeler=? AND <expr>=? AND uri>? AND uri<?)" in plans[statement]


def test_a_page_costs_some_thousand_rows_at_most(many: Labels) -> None:
    """Counted in steps of SQLite's machine, which do not depend on the weather."""
    for pattern in ("*", "did:*", "at://*", f"at://{plc(1)}/*", "at://did:plc:*", plc(1), f"at://{plc(7)}/*", "zzz*"):
        for cursor in (0, 1_015_000, 5_000_000):
            count = 0

            def step() -> bool:
                nonlocal count
                count += 1
                return False

            many.database.connection().set_progress_handler(step, 100)
            try:
                query.find(many.connection, 1, [pattern], cursor, 250)
            finally:
                many.database.connection().set_progress_handler(None)
            assert count * 100 < 60_000, (pattern, cursor, count)


# Whatever is asked


async def test_s61_fuzzed_queries(site: tuple[Site, Labels], caplog: pytest.LogCaptureFixture) -> None:
    """10,000 of them, over connections that are kept: none fails, all are answered in JSON."""
    door, labels = site
    labels.fill(300)
    fuzz = random.Random(20261129)
    pieces = ["*", "%2A", "at://", "did:", "did:plc:", plc(1), plc(3), "%", "%00", "%FF", "%F4%8F%BF%BF", "/", "_", "'"]
    pieces += ["&", "=", "uriPatterns=", "limit=", "cursor=", "sources=", "5", "250", "-1", "9" * 30, "%EF%BC%91", "a"]
    pieces += [
        "&uriPatterns=*",
        "&uriPatterns=did:*",
        "app.bsky.feed.post",
        "%ED%A0%80",
        '"',
        ";--",
        "+",
        "%20",
        "x" * 999,
    ]
    seen = set()
    for number in range(10_000):
        text = "".join(fuzz.choice(pieces) for _ in range(fuzz.randrange(1, 9)))
        status, body = await door.ask(text if number % 3 else f"uriPatterns={text}")
        assert status in (200, 400), (status, text)
        assert (body.keys() <= {"labels", "cursor"}) if status == 200 else (body["error"] == "InvalidRequest"), text
        seen.add(status)
    assert seen == {200, 400} and not caplog.records
    assert orjson.dumps(await door.ask("uriPatterns=*&limit=1"))
