"""social.communities.listRecords through HTTP: one's own records and nobody else's, every one of them once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from communities.access import Role, Status
from communities.members import intern_actor
from models.database import writing
from tests.civic_site import NSID, OWNER, Town, town
from tests.didnet import Account, plc

CID = b"\x01\x71\x12\x20" + bytes(32)
KINDS = ("community", "membership", "role", "submission")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("records"), moderators=plc(802), admins=plc(803)) as found:
        found.found("birds")
        yield found


def write(place: Town, who: Account | str, kind: str, rkey: str, at: int = 5, **more: Any) -> str:
    """A record as ingest keeps it; returns its at-uri."""
    did = who if isinstance(who, str) else who.did
    row = {"about": f"at://{OWNER}/{NSID}community/birds", "subject": "", "record": "null", "gone": 0} | more
    with writing(place.writer.database) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO declaration (actor, collection, rkey, cid, about, subject, record, at, gone, fault,"
            " why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (intern_actor(connection, did), NSID + kind, rkey, CID, row["about"], row["subject"], row["record"], at,
             row["gone"], row.get("fault"), row.get("why")),
        )  # fmt: skip
    return f"at://{did}/{NSID}{kind}/{rkey}"


def test_a_record_as_its_author_is_told_of_it(place: Town) -> None:
    alice = place.person()
    uri = write(
        place, alice, "community", "bees", 1_767_225_600_000_001, fault="InvalidRecord", why="name: is required"
    )
    (found,) = place.ask("listRecords", alice).json["records"]
    assert found == {
        "uri": uri,
        "cid": "bafyreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "collection": f"{NSID}community",
        "indexedAt": "2026-01-01T00:00:00.000001Z",
        "inEffect": False,
        "fault": {
            "name": "InvalidRecord",
            "message": "It is refused: name: is required; put that right and write the record again.",
        },
    }


def test_whoever_has_written_nothing_is_told_so(place: Town) -> None:
    assert place.ask("listRecords", place.person()).json == {"records": []}
    member = place.member("birds")  # known, but not by a record
    assert place.ask("listRecords", member).json == {"records": []}


def test_s136_nobody_is_shown_anybody_elses(place: Town) -> None:
    """Not with a parameter, not with another's cursor, not as the owner, a moderator, or one for the whole site."""
    alice, bob = place.person(), place.person()
    for number in range(3):
        write(place, alice, "membership", f"3kznmn7xqxl2{number + 2}", number)
    place.put("birds", alice)
    own = place.every("listRecords", alice)
    assert len(own) == 3 and all(one["uri"].startswith(f"at://{alice.did}/") for one in own)
    cursor = place.ask("listRecords", alice, limit=1).cursor
    for who in (bob, place.person(802), place.person(803), place.moderator("birds"), place.person(800)):
        assert place.every("listRecords", who) == []
        assert place.ask("listRecords", who, cursor=cursor).fault == (400, "InvalidCursor")
        for extra in ("did", "actor", "repo", "author", "member"):
            reply = place.ask("listRecords", who, **{extra: alice.did})
            assert reply.json.get("records", []) == []
    assert place.ask("listRecords", None).fault == (401, "AuthMissing")
    assert place.ask("listRecords", None, cursor=cursor).fault == (401, "AuthMissing")
    sent = f"Bearer {place.token(alice, 'listRecords', lxm=NSID + 'listMembers')}"
    assert place.site.ask("", sent, method=f"{NSID}listRecords").status == 401


def test_follows_blocks_and_withdrawals_are_not_listed(place: Town) -> None:
    alice = place.person()
    kept = write(place, alice, "submission", "3kznmn7xqxl22")
    write(place, alice, "submission", "3kznmn7xqxl23", gone=1)
    write(place, alice, "submission", "3kznmn7xqxl22/at://a/at://b", gone=1)
    with writing(place.writer.database) as connection:
        connection.execute("UPDATE declaration SET fault = NULL")
        for collection in ("app.bsky.graph.follow", "app.bsky.graph.block"):
            connection.execute(
                "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at)"
                " VALUES (?, ?, 'r', ?, '', 'did:plc:x', '{}', 9)",
                (intern_actor(connection, alice.did), collection, CID),
            )
    assert [one["uri"] for one in place.every("listRecords", alice)] == [kept]


def test_s52_pages_give_each_record_once_the_newest_first(place: Town) -> None:
    """Many of one moment, as a repository that was read leaves them; one key in several collections; longest keys."""
    alice = place.person()
    written = []
    for number in range(12):
        for kind in KINDS:
            at = 100 + number // 4
            written.append((at, f"k{number:02}", write(place, alice, kind, f"k{number:02}", at)))
    written.append((102, "~" * 512, write(place, alice, "submission", "~" * 512, 102)))
    for limit in (1, 3, 50, 100):
        listed = [one["uri"] for one in place.every("listRecords", alice, limit=limit)]
        assert len(listed) == len(set(listed)) == len(written)
        order = [next((at, key) for at, key, uri in written if uri == one) for one in listed]
        assert order == sorted(order, reverse=True)
    for kind in KINDS:
        only = place.every("listRecords", alice, limit=5, collection=NSID + kind)
        assert [one["collection"] for one in only] == [NSID + kind] * len(only)
        assert len(only) == 12 + (kind == "submission")


def test_s52_what_stands_still_is_listed_once_whatever_comes_and_goes(place: Town) -> None:
    alice = place.person()
    still = {write(place, alice, "membership", f"k{number:02}", 50) for number in range(20)}
    going = [f"g{number:02}" for number in range(20)]
    for rkey in going:
        write(place, alice, "membership", rkey, 50)
    listed: list[str] = []
    cursor = None
    for page in range(100):
        reply = place.ask("listRecords", alice, limit=3, cursor=cursor)
        listed += [one["uri"] for one in reply.json["records"]]
        cursor = reply.cursor
        if cursor is None:
            break
        write(place, alice, "membership", f"new{page:02}", 60 + page)
        if going:
            place.writer.sql("DELETE FROM declaration WHERE rkey = ?", going.pop())
        if page == 5:
            write(place, alice, "membership", "k00", 99)  # written anew: it stands before all others now
    assert len(listed) == len(set(listed)) and still <= set(listed) | {f"at://{alice.did}/{NSID}membership/k00"}


def test_s51_a_cursor_belongs_to_its_list(place: Town) -> None:
    alice = place.person()
    for number in range(3):
        write(place, alice, "membership", f"k{number}")
    cursor = place.ask("listRecords", alice, limit=1).cursor or ""
    assert place.ask("listRecords", alice, cursor=cursor).status == 200
    other = place.ask("listMembers", None, community="birds", limit=1).cursor or "00" * 32
    bad = [
        cursor.upper(),
        cursor + "00",
        cursor[:-2],
        cursor[2:],
        "",
        "00",
        "zz",
        other,
        "a" * 1000,
        "00" * 8,
        "00" * 16,
    ]
    for wrong in bad:
        assert place.ask("listRecords", alice, cursor=wrong).fault == (400, "InvalidCursor"), wrong
    assert place.ask("listRecords", alice, cursor="0" * 5000).fault == (400, "InvalidRequest")
    limited = place.ask("listRecords", alice, cursor=cursor, collection=f"{NSID}membership")
    assert limited.fault == (400, "InvalidCursor")
    assert place.ask("listMembers", None, community="birds", cursor=cursor).fault == (400, "InvalidCursor")


@pytest.mark.parametrize("collection", ["", "membership", f"{NSID}memberships", "app.bsky.feed.post", "*", "x" * 2000])
def test_only_records_of_communities_are_asked_for(place: Town, collection: str) -> None:
    assert place.ask("listRecords", place.person(), collection=collection).fault == (400, "InvalidRequest")


def test_what_keeps_a_membership_from_being_one(place: Town) -> None:
    alice = place.person()
    write(place, alice, "membership", "3kznmn7xqxl22", record='{"community": "x", "volume": 3}')

    def told() -> tuple[bool, str | None]:
        (one,) = place.ask("listRecords", alice).json["records"]
        return one["inEffect"], one.get("fault", {}).get("name")

    assert told() == (False, "Removed")
    for status, expected in (
        (Status.MEMBER, (True, None)),
        (Status.REQUESTED, (True, None)),
        (Status.INVITED, (False, "Removed")),
        (Status.BANNED, (False, "Banned")),
    ):
        place.put("birds", alice, status)
        assert told() == expected
    place.put("birds", alice, Status.BANNED, until=place.clock.micros() - 1)
    assert told() == (False, "Removed")
    place.writer.sql("UPDATE community SET declared = 0 WHERE slug = 'birds'")
    assert told() == (False, "CommunityNotFound")
    place.writer.sql("UPDATE community SET declared = 1 WHERE slug = 'birds'")
    # An owner is in it whatever the rows say.
    write(place, OWNER, "membership", "3kznmn7xqxl22")
    assert [one["inEffect"] for one in place.ask("listRecords", place.person(800)).json["records"]] == [True]


def test_what_keeps_a_role_from_being_one(place: Town) -> None:
    owner, alice = place.person(800), place.person()

    def give(rkey: str, until: int | None = None, subject: str = alice.did, **more: Any) -> None:
        record = json.dumps({"role": "moderator", "scope": "*", "until": until})
        write(place, owner, "role", rkey, subject=subject, record=record, **more)

    def told() -> dict[str, tuple[bool, str | None]]:
        found = place.every("listRecords", owner, collection=f"{NSID}role")
        return {one["uri"][-1]: (one["inEffect"], one.get("fault", {}).get("name")) for one in found}

    give("r1")
    give("r2")
    give("r3", until=place.clock.micros() - 1)
    give("r4", subject=plc(99))
    give("r5", fault="Superseded")
    out = {"3": (False, "Expired"), "4": (False, "NotMember"), "5": (False, "Superseded")}
    assert told() == out | {"1": (False, "NotMember"), "2": (False, "NotMember")}
    place.put("birds", alice, role=Role.MODERATOR)
    place.writer.sql("UPDATE membership SET granted = 'r2' WHERE community = ? AND role = 2", place.id("birds"))
    assert told() == out | {"1": (False, "Superseded"), "2": (True, None)}
    place.put("birds", alice, Status.REQUESTED)
    assert told() == out | {"1": (False, "NotMember"), "2": (False, "NotMember")}


def test_the_list_is_read_by_its_index(place: Town) -> None:
    """Whoever has ten thousand blocks has them all behind it."""
    from communities.outcome import LISTED

    plan = str(place.writer.sql(f"EXPLAIN QUERY PLAN {LISTED}", 1, 5, "a", "b", None, 51))
    assert "declaration_listed (actor=? AND " in plan and "TEMP B-TREE" not in plan
