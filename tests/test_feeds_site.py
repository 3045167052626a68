"""The rest of the site: describeFeedGenerator, did.json, health, metrics, and what a fuzzer sends."""

import asyncio
import json
import random
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from service.status import STALE_SECONDS
from service.wiring import VERSION
from tests.didnet import plc
from tests.feed_site import HOST, INTERACTIONS, SERVICE, SKELETON, Site, Writer, feed_uri, site_and_writer
from tests.feed_site import site as serving
from tests.lexicons import Lexicons

DESCRIBE = "app.bsky.feed.describeFeedGenerator"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("site")) as served:
        for number in range(5):
            served[1].post(number)
        yield served


@pytest.fixture
def site(both: tuple[Site, Writer]) -> Site:
    return both[0]


def test_describe_names_the_service_and_every_feed(site: Site, shared_data: Path) -> None:
    answer = site.ask("", method=DESCRIBE).json
    assert answer == {"did": SERVICE, "feeds": [{"uri": feed_uri(key)} for key in ("everything", "python", "rust")]}
    Lexicons(shared_data / "lexicons").output(DESCRIBE, answer)


def test_describe_has_the_links_that_are_configured(tmp_path: Path, shared_data: Path) -> None:
    links = {"privacy_url": "https://example.com/privacy", "terms_url": "https://example.com/terms"}
    with serving(tmp_path, **links) as site:
        answer = site.ask("", method=DESCRIBE).json
    Lexicons(shared_data / "lexicons").output(DESCRIBE, answer)
    assert answer["links"] == {"privacyPolicy": links["privacy_url"], "termsOfService": links["terms_url"]}
    assert answer["feeds"] == [{"uri": feed_uri("everything")}]


def test_the_did_document_of_a_did_web(site: Site) -> None:
    reply = site.request("GET", "/.well-known/did.json")
    assert reply.json == {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": SERVICE,
        "service": [
            {"id": "#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": f"https://{HOST}"},
            {"id": "#communities", "type": "CommunitiesService", "serviceEndpoint": f"https://{HOST}"},
        ],
    }
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert site.request("POST", "/.well-known/did.json", b"{}").fault == (404, "NotFound")


def test_the_port_is_part_of_a_did_web(tmp_path: Path) -> None:
    with serving(tmp_path, hostname="localhost:3000") as site:
        document = site.request("GET", "/.well-known/did.json").json
    assert document["id"] == "did:web:localhost%3A3000"
    assert document["service"][0]["serviceEndpoint"] == "http://localhost:3000"


def test_a_did_plc_has_its_document_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path, service_did=plc(5)) as site:
        assert site.request("GET", "/.well-known/did.json").fault == (404, "NotFound")
        assert site.ask("", method=DESCRIBE).json["did"] == plc(5)


def test_the_root_and_other_paths_answer_in_json(site: Site) -> None:
    for path in ("/", "/favicon.ico", "/.well-known/", "/%2e%2e/etc/passwd", "//"):
        assert site.request("GET", path).fault == (404, "NotFound")
    assert site.request("GET", "/xrpc/com.example.unknown").fault == (501, "MethodNotImplemented")


# Health


def report(writer: Writer, age: float, **said: Any) -> None:
    at = int((time.time() - age) * 1_000_000)
    writer.sql("INSERT OR REPLACE INTO process VALUES ('ingest', ?, ?)", at, json.dumps(said))


def health(site: Site) -> Any:
    return site.request("GET", "/xrpc/_health").json


def test_health_before_ingest_ever_ran(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        answer = health(site)
    assert answer["state"] == "never started" and answer["version"] == VERSION
    assert answer["source"] == "wss://bsky.network"
    assert [answer[key] for key in ("cursor", "lagSeconds", "lastEventAt", "rulesFault")] == [None] * 4


def test_health_while_ingest_reads_and_after_it_died(both: tuple[Site, Writer]) -> None:
    site, writer = both
    at = int((time.time() - 5) * 1_000_000)
    writer.sql("INSERT OR REPLACE INTO source VALUES (?, 'seq', 77, ?)", site.config.source_urls[0], at)
    writer.sql("INSERT OR REPLACE INTO source VALUES ('wss://other.example', 'seq', 99, ?)", at)
    report(writer, 0, state="reading")
    answer = health(site)
    assert answer["state"] == "reading" and answer["cursor"] == 77
    assert 4.5 <= answer["lagSeconds"] < 60
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", answer["lastEventAt"])
    report(writer, STALE_SECONDS + 5, state="reading")
    assert health(site)["state"].startswith("no sign of life for 2")
    report(writer, STALE_SECONDS + 5, state="stopped")
    assert health(site)["state"] == "stopped"
    report(writer, 0, state="reading", rulesFault="communities.toml:3: no")
    assert health(site)["rulesFault"] == "communities.toml:3: no"


# Metrics


SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:\\[\\"n]|[^"\\\n])*",?)*)\})? (\S+)')


def parse_metrics(text: str) -> dict[tuple[str, str], float]:
    """Prometheus text format 0.0.4, strictly: HELP and TYPE before the samples of a family, no sample twice."""
    assert text.endswith("\n")
    helped: set[str] = set()
    typed: set[str] = set()
    found: dict[tuple[str, str], float] = {}
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped
            helped.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            assert name in helped and name not in typed and kind in ("gauge", "counter")
            assert (kind == "counter") == name.endswith("_total")
            typed.add(name)
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            key = (sample[1], sample[2] or "")
            assert sample[1] in typed and key not in found
            found[key] = float(sample[3])
    return found


def test_s174_metrics_are_on_the_private_listener_alone(site: Site) -> None:
    for path in ("/metrics", "/xrpc/metrics", "/xrpc/../metrics", "/admin", "/debug"):
        assert site.request("GET", path).status in (400, 404)
    for path in ("/xrpc/_health", "/", f"/xrpc/{SKELETON}", "/.well-known/did.json"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{site.metrics_port}{path}", timeout=10)
        refused.value.close()


def test_metrics_are_prometheus_text(both: tuple[Site, Writer]) -> None:
    site, writer = both
    kinds = {"#commit": 5, 'a"b\\c\nd': 1}
    report(writer, 0, state="reading", received=80, events=kinds, dropped={"post invalid": 2}, closes={}, applied={})
    before = parse_metrics(site.metrics())
    site.page()
    site.page()
    after = parse_metrics(site.metrics())
    asked = ("communities_requests_total", 'kind="skeleton anonymous"')
    assert after[asked] == before.get(asked, 0) + 2
    assert after["communities_ingest_up", ""] == 1 and after["communities_ingest_received_seq", ""] == 80
    assert after["communities_events_total", r'kind="a\"b\\c\nd"'] == 1
    assert after["communities_dropped_total", 'reason="post invalid"'] == 2
    assert after["communities_rows", 'table="communities"'] == 2
    report(writer, STALE_SECONDS + 5, state="reading")
    assert parse_metrics(site.metrics())["communities_ingest_up", ""] == 0


def test_metrics_before_ingest_ever_ran(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        assert parse_metrics(site.metrics())["communities_ingest_up", ""] == 0


# Fuzz


PATHS = [
    f"/xrpc/{SKELETON}", f"/xrpc/{DESCRIBE}", f"/xrpc/{INTERACTIONS}", "/xrpc/_health", "/.well-known/did.json",
    "/xrpc/", "/xrpc/com.atproto.server.getSession", "/", "/metrics", "/xrpc/..%2f", "/%00", "*", "http://a/b",
]  # fmt: skip
NAMES = ["feed", "limit", "cursor", "x", "feed[]", "Feed", "__proto__", "%66eed", "limit%00", ""]
VALUES = [
    feed_uri("python"), feed_uri("rust"), feed_uri("no"), "50", "0", "-1", "1e9", "１０", "", "%", "%00", "%FF",
    "A" * 513, "A" * 3000, "' OR 1=1 --", "{}", "null", "\x7f", "é", "at://", "at://did:plc:x/a/b/c/d",
]  # fmt: skip
HEADERS = [
    b"Authorization: Bearer x.y.z", b"Authorization: Bearer " + b"A" * 5000, b"Authorization:", b"Accept: text/html",
    b"Content-Type: application/json", b"Content-Type: \xff", b"Content-Encoding: gzip", b"Range: bytes=0-1",
    b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"If-None-Match: *", b"X: \x01", b"Content-Length: 5",
    b"Content-Length: -1", b"Upgrade: websocket", b"Origin: null", b"Cookie: a=b", b"Host: a", b"Accept-Language: \xe9",
    b"Access-Control-Request-Method: GET",
]  # fmt: skip
METHODS = [*["GET"] * 8, *["POST"] * 4, "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "get", "QUERY", "CONNECT"]


def fuzzed(rng: random.Random) -> tuple[str, bytes]:
    """A method and the bytes of a request with it."""
    method, path = rng.choice(METHODS), rng.choice(PATHS[: rng.choice((1, 3, len(PATHS)))])
    pairs = []
    if rng.random() < 0.5:
        pairs.append(f"feed={quote(feed_uri('python'), safe='')}")
    for _ in range(rng.randrange(3)):
        value = rng.choice(VALUES)
        pairs.append(f"{rng.choice(NAMES)}={value if rng.random() < 0.1 and ' ' not in value else quote(value)}")
    noise = bytes(rng.randrange(33, 256) for _ in range(rng.randrange(20))) if rng.random() < 0.1 else b""
    target = (path + ("?" + "&".join(pairs) if pairs else "")).encode() + noise
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close"]
    lines += rng.sample(HEADERS, rng.choice((0, 0, 1, 2)))
    bodies = [b"", b"{}", b"[" * 50, b'{"interactions":[]}', rng.randbytes(30), b"5\r\nabcde\r\n"]
    # Always as long as any length that is said, and with an end for chunks: nobody is to wait for more.
    body = rng.choice(bodies) + b"0\r\n\r\n"
    if not any(line.startswith((b"Content-Length", b"Transfer")) for line in lines):
        lines.append(b"Content-Length: %d" % len(body))
    return method, b"\r\n".join(lines) + b"\r\n\r\n" + body


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the last response in `answer` (100 Continue may stand before it)."""
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, body


def test_s61_fuzzed_requests_get_json_and_never_a_5xx(both: tuple[Site, Writer]) -> None:
    site, _ = both
    rng = random.Random(61)
    requests = [fuzzed(rng) for _ in range(2000)]
    statuses: Counter[int] = Counter()

    async def send_all() -> None:
        queue = iter(requests)

        async def worker() -> None:
            for method, request in queue:
                answer = await exchange(site.port, request)
                status, headers, body = split(answer)
                statuses[status] += 1
                where = (request[:200], answer[:300])
                if status == 204:
                    continue
                assert headers["content-type"].startswith("application/json"), where
                answered = {} if method == "HEAD" else json.loads(body)
                assert isinstance(answered, dict), where
                # 501 is the protocol's own answer to a method that is not served here.
                assert status < 500 or status == 501, where
                assert status == 200 or method == "HEAD" or answered.keys() == {"error", "message"}, where

        await asyncio.gather(*(worker() for _ in range(16)))

    asyncio.run(send_all())
    assert {200, 204, 400, 401, 404} <= statuses.keys(), statuses
    assert site.page().status == 200
