"""What was reported is kept as it was: in the report's transaction what is indexed, and what is not from its PDS."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbrrr
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from communities.evidence import FRESH_MICROS, LONGEST_PARENT, PROFILE, blobs_of, decoded
from communities.refs import cid_text
from firehose.evidence import AGAIN_AFTER, AT_ONCE, HOST_BURST, EvidenceReader
from models.database import open_database
from service.cli import main
from tests.civic_posts import a_cid, version
from tests.civic_reports import SPAM, TROLL, on_host, report, taken
from tests.civic_site import Town, town
from tests.didnet import Account, plc
from tests.feed_site import RULES
from tests.service_process import Service, free_port, until
from xrpc.egress import FetchError, egress_session
from xrpc.record import MOST_BYTES, read_answer
from xrpc.resolver import DidResolver

GET = "/xrpc/com.atproto.repo.getRecord"
AUTHOR = 60
PHOTO: dict[str, Any] = {
    "$type": "blob",
    "ref": {"$link": "bafkreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"},
    "mimeType": "image/png",
    "size": 5,
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as found:
        yield found


class Pds:
    """The PDS of AUTHOR and others, on the host of the directory."""

    def __init__(self, place: Town) -> None:
        self.place = place
        self.records: dict[str, Any] = {}
        self.asked: list[str] = []
        self.answer: Callable[[], web.Response] | None = None
        """What is answered whatever is asked for."""
        place.site.net.answers[GET] = self._get
        self.author = self.account(AUTHOR)

    def account(self, number: int) -> Account:
        """Somebody who is here."""
        who = self.place.person(number)
        service = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": self.place.site.net.url,
        }
        self.place.site.net.publish(who, service=[service], alsoKnownAs=["at://Author.example.com"])
        return who

    def put(self, uri: str, value: Any) -> str:
        """A record is there now; returns its CID."""
        self.records[uri] = value
        return cid_of(value)

    async def _get(self, request: web.Request) -> web.Response:
        uri = "at://{repo}/{collection}/{rkey}".format(**request.query)
        self.asked.append(uri)
        if self.answer is not None:
            return self.answer()
        value = self.records.get(uri)
        if value is None:
            return web.json_response({"error": "RecordNotFound", "message": "no"}, status=400)
        return web.json_response({"uri": uri, "cid": cid_of(value), "value": value})


def cid_of(value: Any) -> str:
    """The CID of a record, given as JSON has it."""
    return cid_text(b"\x01\x71\x12\x20" + sha256(cbrrr.encode_dag_cbor(value, atjson_mode=True)).digest())


def fetch(place: Town, rounds: int = 1) -> int:
    """What the ingest process does now and then; returns how many were looked at."""

    async def step() -> int:
        database = open_database(place.site.config.database)
        try:
            async with egress_session(("localhost",)) as session:
                resolver = DidResolver(session, place.site.net.url, allow=("localhost",))
                reader = EvidenceReader(database, resolver, session, clock=place.clock.micros)
                return sum([await reader.step() for _ in range(rounds)])
        finally:
            database.close()

    return place.site.run(step())


def kept(place: Town) -> list[Any]:
    """Every snapshot: at-uri, CID, the record's value, handle, whether it is due, and why it is not here."""
    rows = place.writer.sql("SELECT uri, cid, record, handle, due_at IS NOT NULL, fault FROM evidence ORDER BY id")
    return [(uri, cid, decoded(record) if record else None, *rest) for uri, cid, record, *rest in rows]


def one(place: Town) -> dict[str, Any]:
    """The only snapshot, by the names of its columns."""
    names = "uri, cid, handle, parent, parent_text, due_at, tries, fault"
    (row,) = place.writer.sql(f"SELECT {names} FROM evidence")
    return dict(zip(names.split(", "), row, strict=True))


def shown(place: Town, number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `communities reports --show` says."""
    monkeypatch.setenv("COMMUNITIES_DATA", str(place.site.config.data))
    monkeypatch.chdir(place.site.config.data)
    assert main(["reports", "--show", str(number), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def post_uri(rkey: str = "p1", number: int = AUTHOR) -> str:
    return f"at://{plc(number)}/app.bsky.feed.post/{rkey}"


# What is indexed


def test_what_is_indexed_is_kept_with_the_report_and_outlives_the_post(
    place: Town, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = PHOTO | {"ref": cbrrr.CID.decode(PHOTO["ref"]["$link"])}
    fake = {"$link": "no CID", "more": {"$bytes": 5}}
    embed = {"$type": "app.bsky.embed.images", "images": [{"image": image, "alt": "x"}], "fake": fake, "b": b"\xff"}
    uri = place.writer.post(1, embed=embed)
    cid = version(place, uri)
    number = taken(report(place, place.person(), uri))
    ((kept_uri, kept_cid, record),) = place.writer.sql("SELECT uri, cid, record FROM evidence")
    assert (kept_uri, kept_cid, cid_text(b"\x01\x71\x12\x20" + sha256(record).digest())) == (uri, cid, cid)
    place.writer.delete(uri)
    assert place.writer.sql("SELECT * FROM post") == []
    found = shown(place, number, capsys, monkeypatch)["evidence"]
    assert found["record"]["text"] == "x" and found["cid"] == cid
    assert (found["record"]["embed"]["fake"], found["record"]["embed"]["b"]) == (fake, {"$bytes": "/w"})
    assert found["blobs"] == [{"cid": PHOTO["ref"]["$link"], "mimeType": "image/png", "size": 5}]


def test_a_version_is_kept_once_and_another_apart(place: Town) -> None:
    uri = place.writer.post(1)
    first = version(place, uri)
    for _ in range(3):
        taken(report(place, place.person(), uri))
    place.writer.post(1, rkey=uri.rpartition("/")[2], langs=["en"])
    taken(report(place, place.person(), uri, cid=first))
    assert [cid for _, cid, *_ in kept(place)] == [first, version(place, uri)]
    named = place.writer.sql("SELECT cid, evidence FROM report ORDER BY id")
    assert named == [(first, 1)] * 3 + [(first, 2)], "what was there, whatever the reporter says that they saw"


def test_whoever_reports_again_what_was_edited_since_has_evidence_of_both(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    first = version(place, uri)
    number = taken(report(place, alice, uri))
    place.writer.post(1, rkey=uri.rpartition("/")[2], langs=["en"])
    again = taken(report(place, alice, uri))
    assert again == taken(report(place, alice, uri)) > number
    assert [cid for _, cid, *_ in kept(place)] == [first, version(place, uri)]
    assert place.writer.sql("SELECT reports FROM flag") == [(1,)]


def test_evidence_goes_with_the_last_report_of_it(place: Town) -> None:
    uri = place.writer.post(1)
    numbers = [taken(report(place, place.person(), uri)) for _ in range(2)]
    place.writer.sql("DELETE FROM report WHERE id = ?", numbers[0])
    assert len(kept(place)) == 1
    place.writer.sql("DELETE FROM report WHERE id = ?", numbers[1])
    assert kept(place) == []


def test_what_a_post_answers_is_kept_where_it_is_indexed(place: Town) -> None:
    pds, parent = Pds(place), place.writer.post(1)
    value = {"$type": "app.bsky.feed.post", "text": "no", "createdAt": "2026-01-01T00:00:00Z"}
    ref = {"uri": parent, "cid": version(place, parent)}
    pds.put(post_uri(), value | {"reply": {"root": ref, "parent": ref}})
    taken(report(place, place.person(), post_uri(), cid=a_cid("x")))
    fetch(place)
    assert one(place) | {"parent": parent, "parent_text": "x"} == one(place)


# What is not


def test_what_is_not_indexed_is_fetched_soon_after(
    place: Town, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pds = Pds(place)
    parent = post_uri("q1")
    pds.put(parent, {"text": "y" * (LONGEST_PARENT + 5)})
    ref = {"uri": parent, "cid": a_cid("q")}
    value = {"$type": "app.bsky.feed.post", "text": "spam \x1b[2J", "reply": {"root": ref, "parent": ref}, "n": 1 << 50}
    cid = pds.put(post_uri(), value)
    number = taken(report(place, place.person(), post_uri(), cid=cid))
    assert pds.asked == [] and kept(place) == [(post_uri(), "", None, "", 1, "")]
    assert shown(place, number, capsys, monkeypatch)["evidence"]["toBeFetched"] is True
    assert fetch(place) == 1
    assert kept(place) == [(post_uri(), cid, value, "author.example.com", 0, "")]
    del pds.records[post_uri()]
    found = shown(place, number, capsys, monkeypatch)["evidence"]
    assert (found["record"], found["handle"]) == (value, "author.example.com")
    assert (found["parent"], found["parentText"]) == (parent, "y" * LONGEST_PARENT)
    assert main(["reports", "--show", str(number)]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and "author.example.com" in text and "it answers" in text
    assert fetch(place) == 0, "nothing is due any more"


def test_of_an_account_the_profile_is_kept(place: Town) -> None:
    pds = Pds(place)
    profile = f"at://{plc(AUTHOR)}/app.bsky.actor.profile/self"
    cid = pds.put(profile, {"$type": "app.bsky.actor.profile", "displayName": "Your bank"})
    taken(report(place, place.person(), plc(AUTHOR)))
    fetch(place)
    assert kept(place)[0][:3] == (profile, cid, {"$type": "app.bsky.actor.profile", "displayName": "Your bank"})


def test_of_an_indexed_post_the_handle_alone_is_looked_up(place: Town) -> None:
    pds = Pds(place)
    taken(report(place, place.person(), place.writer.post(AUTHOR)))
    fetch(place)
    assert kept(place)[0][3:] == ("author.example.com", 0, "") and pds.asked == []


def test_all_reports_of_a_record_are_one_request(place: Town) -> None:
    pds = Pds(place)
    cid = pds.put(post_uri(), {"text": "a"})
    for number in range(5):
        taken(report(place, place.person(), post_uri(), cid=a_cid(f"made up {number}")))
    fetch(place)
    for number in range(5, 8):
        taken(report(place, place.person(), post_uri(), cid=a_cid(f"made up {number}")))
    assert fetch(place) == 0 and pds.asked == [post_uri()]
    assert {row[0] for row in place.writer.sql("SELECT evidence FROM report")} == {1}
    place.clock.now += FRESH_MICROS / 1_000_000 + 1
    taken(report(place, place.person(), post_uri(), cid=cid))
    assert fetch(place) == 0, "that version is here"
    later = pds.put(post_uri(), {"text": "b"})
    taken(report(place, place.person(), post_uri(), TROLL, cid=a_cid("new")))
    fetch(place)
    assert [row[1] for row in kept(place)] == [cid, later]


def test_a_harmless_version_that_was_reported_hides_another_for_minutes_only(place: Town) -> None:
    pds, profile = Pds(place), f"at://{plc(AUTHOR)}/{PROFILE}/self"
    harmless = pds.put(profile, {"description": "cats"})
    taken(report(place, place.person(), plc(AUTHOR)))
    fetch(place)
    bad = pds.put(profile, {"description": "rude"})
    place.clock.now += 301
    taken(report(place, place.person(), plc(AUTHOR)))
    fetch(place)
    pds.put(profile, {"description": "cats"})
    assert [row[1] for row in kept(place)] == [harmless, bad]


def test_what_was_fetched_again_and_is_the_same_is_kept_once(place: Town) -> None:
    pds = Pds(place)
    cid = pds.put(post_uri(), {"text": "a"})
    for _ in range(2):
        taken(report(place, place.person(), post_uri(), cid=a_cid("made up")))
        fetch(place)
        place.clock.now += FRESH_MICROS / 1_000_000 + 1
    assert [row[:2] for row in kept(place)] == [(post_uri(), cid)]
    assert place.writer.sql("SELECT evidence FROM report") == [(1,), (1,)]


def test_what_is_gone_already_is_not_asked_for_again(
    place: Town, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Pds(place)
    number = taken(report(place, place.person(), post_uri(), cid=a_cid("x")))
    fetch(place)
    assert one(place) | {"due_at": None, "handle": "author.example.com"} == one(place)
    shown(place, number, capsys, monkeypatch)
    assert main(["reports", "--show", str(number)]) == 0
    assert "could not be had: its host does not have it any more" in capsys.readouterr().out


def test_a_host_that_fails_is_asked_again_at_longer_and_longer_intervals_and_then_no_more(place: Town) -> None:
    pds = Pds(place)
    pds.put(post_uri(), {"text": "a"})
    pds.answer = lambda: web.Response(status=503)
    taken(report(place, place.person(), post_uri(), cid=a_cid("x")))
    for seconds in AGAIN_AFTER:
        assert fetch(place) == 1 and fetch(place) == 0
        assert one(place)["due_at"] == place.clock.micros() + seconds * 1_000_000 and "503" in one(place)["fault"]
        place.clock.now += seconds
    assert fetch(place) == 1 and one(place)["due_at"] is None
    assert len(pds.asked) == len(AGAIN_AFTER) + 1


def test_it_comes_when_the_host_is_back(place: Town) -> None:
    pds = Pds(place)
    cid = pds.put(post_uri(), {"text": "a"})
    pds.answer = lambda: web.Response(status=503)
    taken(report(place, place.person(), post_uri(), cid=a_cid("x")))
    fetch(place)
    pds.answer = None
    place.clock.now += AGAIN_AFTER[0]
    fetch(place)
    assert one(place) | {"cid": cid, "due_at": None, "fault": ""} == one(place)


LYING: list[Any] = [
    {},
    [],
    {"value": {"text": "a"}},
    {"cid": a_cid("x"), "value": {"text": "a"}},
    {"cid": cid_of({"text": "b"}), "value": {"text": "a"}},
    {"cid": 5, "value": {"text": "a"}},
    {"cid": cid_of({"text": "a"}), "value": "a"},
    {"cid": a_cid("x"), "value": {"$link": "x"}},
    {"cid": a_cid("x"), "value": {"a": {"$bytes": 5}}},
    {"cid": a_cid("x"), "value": {"a": 1.5e300}},
    {"cid": a_cid("x"), "value": {"a": 1 << 63}},
]


@pytest.mark.parametrize("answer", LYING, ids=str)
def test_s112_a_host_that_gives_something_else_than_a_record_is_not_believed(place: Town, answer: Any) -> None:
    pds = Pds(place)
    pds.answer = lambda: web.json_response(answer)
    taken(report(place, place.person(), post_uri(), cid=a_cid("x")))
    fetch(place)
    assert kept(place)[0][2] is None and one(place)["fault"] and one(place)["tries"] == 1


def test_s112_too_much_is_not_read(place: Town) -> None:
    pds = Pds(place)
    pds.put(post_uri(), {"text": "a" * MOST_BYTES})
    taken(report(place, place.person(), post_uri(), cid=a_cid("x")))
    fetch(place)
    assert kept(place)[0][2] is None and "larger" in one(place)["fault"]


def test_s107_a_host_that_is_not_public_is_not_asked(place: Town) -> None:
    who = on_host(place, "127.0.0.1", AUTHOR)
    taken(report(place, place.person(), f"at://{who.did}/app.bsky.feed.post/p1", cid=a_cid("x")))
    fetch(place)
    assert kept(place)[0][2] is None and "reached" in one(place)["fault"]


def test_an_account_that_nobody_can_look_up_costs_nothing_else(place: Town) -> None:
    taken(report(place, place.person(), "did:web:nobody.test"))
    taken(report(place, place.person(), plc(999)))
    assert fetch(place) == 2
    assert [(row[2], bool(row[5])) for row in kept(place)] == [(None, True)] * 2


def test_s118_one_host_is_asked_seldom_and_keeps_nobody_else_waiting(place: Town) -> None:
    pds = Pds(place)
    for number in range(AT_ONCE * 2):
        pds.put(post_uri(f"p{number}"), {"text": str(number)})
        taken(report(place, place.person(), post_uri(f"p{number}"), cid=a_cid("x")))
    pds.account(1)
    indexed = place.writer.post(1)
    taken(report(place, place.person(), indexed))
    fetch(place, rounds=4)
    assert len(pds.asked) == HOST_BURST
    assert place.writer.sql("SELECT tries FROM evidence WHERE record IS NULL AND tries > 0") == []
    assert place.writer.sql("SELECT handle != '' FROM evidence WHERE uri = ?", indexed) == [(1,)]
    for _ in range(4):
        place.clock.now += 11
        fetch(place, rounds=3)
    assert place.writer.sql("SELECT count(*) FROM evidence WHERE record IS NULL") == [(0,)]


def test_the_ingest_process_fetches_beside_the_stream(place: Town, start_service: Callable[..., Service]) -> None:
    pds = Pds(place)
    cid = pds.put(post_uri(), {"text": "a"})
    taken(report(place, place.person(), post_uri(), cid=cid))
    settings = {"source": f"ws://127.0.0.1:{free_port()}", "plc_url": place.site.net.url, "egress_allow": "localhost"}
    service = start_service(RULES, "ingest", data=str(place.site.config.data), **settings)

    def fetched() -> bool:
        assert service.alive()
        return bool(one(place)["cid"] == cid)

    until("the record is here", fetched)
    until("its status says so", lambda: '"evidence"' in service.command_line("status", "--json").stdout)
    assert pds.asked == [post_uri()]


# Whatever records hold

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_a_record_that_fits_its_cid_is_read_back_as_it_was(value: dict[str, Any]) -> None:
    try:
        cid = cid_of(value)
    except (ValueError, TypeError):  # `$link` or `$bytes` of something else
        return
    record, told = read_answer({"cid": cid, "value": value})
    assert told == cid and cbrrr.encode_dag_cbor(decoded(record), atjson_mode=True) == record
    with pytest.raises(FetchError):
        read_answer({"cid": cid, "value": {**value, "one more": 1}})


@given(JSON)
def test_blobs_are_found_in_whatever_a_record_holds(value: Any) -> None:
    found = [blob["cid"] for blob in blobs_of({"a": {"b": PHOTO}, "c": value})]
    assert PHOTO["ref"]["$link"] in found


def test_blobs_of_deep_and_wide_records_are_bounded() -> None:
    deep: Any = PHOTO
    for _ in range(2000):
        deep = [deep]
    assert blobs_of(deep) == [] and len(blobs_of([PHOTO] * 500)) == 50


def test_reports_of_the_same_moment_by_many_are_one_snapshot(place: Town) -> None:
    uri = place.writer.post(1)
    for reason in (SPAM, TROLL):
        taken(report(place, place.person(), uri, reason))
    assert len(kept(place)) == 1
