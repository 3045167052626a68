"""What authors are told of their records, from the stream to the answer: social.communities.listRecords, and the same
by `communities explain`.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from communities.faults import SENTENCES
from communities.records import COMMUNITY, MEMBERSHIP, ROLE, SUBMISSION
from models.database import writing
from service.cli import main
from tests.town_site import TownSite
from tests.world import Account

SERVICE = "did:web:feeds.example.com#communities"
METHOD = "social.communities.listRecords"
GOOD = (True, None)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TownSite]:
    async with TownSite(tmp_path) as site:
        yield site


async def ask(site: TownSite, account: Account) -> list[dict[str, Any]]:
    """All that an account is told."""
    session, url = await site.door()
    headers = {"Authorization": f"Bearer {account.service_jwt(SERVICE, METHOD)}"}
    async with session.get(f"{url}/xrpc/{METHOD}", params={"limit": "100"}, headers=headers) as answer:
        body = await answer.json()
        assert answer.status == 200 and "cursor" not in body, body
    found: list[dict[str, Any]] = body["records"]
    return found


async def told(site: TownSite, account: Account) -> dict[str, tuple[bool, str | None]]:
    """Whether each record is in effect and what is wrong with it, by its key; the messages are looked at in passing."""
    await site.quiet()
    found = {}
    for one in await ask(site, account):
        fault = one.get("fault", {"name": None, "message": ""})
        if not fault["message"].startswith("It is refused: "):
            assert fault["message"] == SENTENCES.get(fault["name"], "")
        found[one["uri"].rpartition("/")[2]] = one["inEffect"], fault["name"]
    return found


async def test_what_founders_are_told(site: TownSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firehose.founding.MOST_OWNED", 2)
    olga, mallory = site.people("olga", "mallory")
    birds, bees = site.found(olga), site.found(olga, "bees")
    await site.founded(birds, bees)
    site.found(olga, "toads")
    site.found(mallory)
    site.found(mallory, "python")
    site.found(mallory, "frogs", type="hidden")
    assert await told(site, olga) == {"birds": GOOD, "bees": GOOD, "toads": (False, "TooMany")}
    expected = {"birds": (False, "SlugTaken"), "python": (False, "SlugTaken"), "frogs": (False, "TypeNotAvailable")}
    assert await told(site, mallory) == expected
    faulty = olga.update(birds, {"description": 5})
    assert (await told(site, olga))["birds"] == (False, "InvalidRecord")
    (first, *_) = await ask(site, olga)
    assert (first["uri"], first["cid"]) == (birds.uri, faulty.cid)
    assert first["fault"]["message"] == (
        "It is refused: social.communities.community: description: must be a string; put that right and write the"
        " record again; until then the community is as the last version that could be read has it."
    )
    olga.update(bees, {"type": "private"})
    olga.delete(birds)
    assert await told(site, olga) == {"bees": (False, "TypeChanged"), "toads": (False, "TooMany")}
    site.ingest.index.founders = (mallory.did,)
    with writing(site.ingest.database):
        site.ingest.index.judge_founders(site.world.clock.now())
    assert await told(site, olga) == {"bees": (False, "TypeChanged"), "toads": (False, "FounderNotAllowed")}
    bees_told, _ = sorted(await ask(site, olga), key=lambda one: one["uri"])
    assert "until then" not in bees_told["fault"]["message"], "the community has ended"


async def test_what_owners_are_told_of_parents(site: TownSite, monkeypatch: pytest.MonkeyPatch) -> None:
    olga, mallory = site.people("olga", "mallory")
    birds = site.found(olga)
    uri = f"at://{olga.did}/{COMMUNITY}/"
    site.found(olga, "owls", parent=birds.uri)
    site.found(olga, "lost", parent=f"{uri}nowhere")
    site.found(olga, "loop", parent=f"{uri}back")
    site.found(olga, "back", parent=f"{uri}loop")
    site.found(olga, "self", parent=f"{uri}self")
    foreign = site.found(mallory, "ducks", parent=birds.uri)
    await site.founded(birds, foreign)
    loop = (True, "ParentCycle")
    good = {"birds": GOOD, "owls": GOOD, "lost": (True, "UnknownParent")}
    assert await told(site, olga) == good | {"loop": loop, "back": loop, "self": loop}
    assert await told(site, mallory) == {"ducks": (True, "NotParentAdmin")}
    site.join(mallory, birds)
    await site.quiet()
    site.give(olga, birds, mallory, "admin")
    await site.quiet()
    assert (await told(site, mallory))["ducks"] == GOOD
    with writing(site.ingest.database) as connection:  # one that no record can declare yet
        connection.execute("UPDATE community SET rule = json_set(rule, '$.kind', 'private') WHERE slug = 'birds'")
    assert (await told(site, mallory))["ducks"] == (True, "MoreVisible")
    monkeypatch.setattr("communities.directory.MOST_ABOVE", 3)
    line = [site.found(olga, f"c{n}", **({"parent": f"{uri}c{n - 1}"} if n else {})) for n in range(6)]
    await site.founded(*line)
    deep = {slug: said for slug, said in (await told(site, olga)).items() if slug[0] == "c"}
    assert deep == {f"c{n}": GOOD for n in range(6)} | {"c4": (True, "TooDeep")}
    monkeypatch.setattr("communities.relatives.MOST_WALKED", 1)
    assert (await told(site, olga))["c3"] == (True, "TooDeep")


async def test_what_members_are_told(site: TownSite) -> None:
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = site.found(olga)
    closed, old = site.found(olga, "closed", joinBy=[]), site.found(olga, "old", state="archived")
    await site.founded(birds, closed, old)
    records = {slug: alice.create(MEMBERSHIP, {"community": one.uri} | site.when(), rkey=slug)
               for slug, one in {"birds": birds, "closed": closed, "old": old}.items()}  # fmt: skip
    alice.create(MEMBERSHIP, {"community": f"{birds.uri}s"} | site.when(), rkey="lost")
    alice.create(MEMBERSHIP, {"community": birds.uri, "volume": 7} | site.when(), rkey="loud")
    alice.create(MEMBERSHIP, {"community": "at://alice.test/x.y.z/a"} | site.when(), rkey="by-handle")
    expected = {"birds": GOOD, "closed": (False, "InviteOnly"), "old": (False, "Archived"),
                "lost": (False, "CommunityNotFound"), "loud": (False, "InvalidRecord"),
                "by-handle": (False, "InvalidCommunity")}  # fmt: skip
    assert await told(site, alice) == expected
    change = "UPDATE membership SET status = ? WHERE actor = (SELECT id FROM actor WHERE did = ?)"
    with writing(site.ingest.database) as connection:  # as a moderator's ban
        connection.execute(change, ("banned", alice.did))
    assert (await told(site, alice))["birds"] == (False, "Banned")
    alice.update(records["birds"], {"volume": 1})
    assert (await told(site, alice))["birds"] == (False, "Banned")
    site.join(bob, birds)
    await site.quiet()
    session, url = await site.door()
    leave = "social.communities.leave"
    headers = {"Authorization": f"Bearer {bob.service_jwt(SERVICE, leave)}"}
    async with session.post(f"{url}/xrpc/{leave}", json={"community": "birds"}, headers=headers) as answer:
        assert answer.status == 200
    assert [*(await told(site, bob)).values()] == [(False, "Left")]
    site.join(bob, birds)
    with writing(site.ingest.database) as connection:  # as a moderator's expulsion
        connection.execute("DELETE FROM membership WHERE actor = (SELECT id FROM actor WHERE did = ?)", (bob.did,))
    await site.quiet()
    olga.delete(birds)
    assert {*(await told(site, bob)).values()} == {(False, "Left"), (False, "CommunityNotFound")}


async def test_what_is_told_of_roles_and_submissions(site: TownSite) -> None:
    olga, alice, mallory = site.people("olga", "alice", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    waits, ends = site.give(olga, birds, alice), site.give(olga, birds, mallory, expiresAt="2020-01-01T00:00:00Z")
    assert await told(site, olga) == {
        "birds": GOOD, waits.rkey: (False, "NotMember"), ends.rkey: (False, "Expired")
    }  # fmt: skip
    site.join(alice, birds)
    assert (await told(site, olga))[waits.rkey] == GOOD
    later = site.give(olga, birds, alice, scope=["posts"])
    roles = await told(site, olga)
    assert (roles[waits.rkey], roles[later.rkey]) == ((False, "Superseded"), GOOD)
    post = alice.post("no tag")
    good = site.submit(alice, birds, post)
    stolen = site.submit(mallory, birds, post)
    own = mallory.create(ROLE, {"community": birds.uri, "subject": mallory.did, "role": "admin"} | site.when())
    lost = alice.create(SUBMISSION, {"community": f"{birds.uri}s", "post": post.ref} | site.when())
    assert await told(site, mallory) == {stolen.rkey: (False, "NotYourPost"), own.rkey: (False, "NotTheOwner")}
    submitted = await told(site, alice)
    assert (submitted[good.rkey], submitted[lost.rkey]) == (GOOD, (False, "CommunityNotFound"))
    alice.delete(good)
    assert good.rkey not in await told(site, alice)


async def test_what_owners_are_told_when_a_community_passes_on(site: TownSite) -> None:
    olga, nina, carol, mallory = site.people("olga", "nina", "carol", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    theirs = site.found(nina, predecessor=birds.uri)
    liar = site.found(mallory, predecessor=birds.uri, successor=birds.uri)
    assert await told(site, nina) == await told(site, mallory) == {"birds": (False, "SlugTaken")} and liar
    olga.update(birds, {"successor": theirs.uri})
    await site.founded(theirs)
    assert (await told(site, olga), await told(site, nina)) == ({"birds": (False, "PassedOn")}, {"birds": GOOD})
    last = site.found(carol, predecessor=theirs.uri)
    nina.update(theirs, {"successor": last.uri})
    await site.founded(last)
    for one in (olga, nina):
        assert await told(site, one) == {"birds": (False, "PassedOn")}
    assert await told(site, carol) == {"birds": GOOD}
    # The chain is broken: what is left of it is a record whose slug somebody else has.
    nina.delete(theirs)
    assert await told(site, olga) == {"birds": (False, "SlugTaken")}


async def test_nobody_is_told_of_anybody_elses(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    site.found(olga, type="private")
    assert [*await told(site, olga)] == ["birds"] and await told(site, mallory) == {}
    session, url = await site.door()
    key, mallory.did = mallory.did, olga.did  # her key, and somebody else's name
    headers = {"Authorization": f"Bearer {mallory.service_jwt(SERVICE, METHOD)}"}
    mallory.did = key
    for sent in (headers, {}, {"Authorization": "Bearer x.y.z"}):
        async with session.get(f"{url}/xrpc/{METHOD}", headers=sent) as answer:
            assert answer.status == 401 and "records" not in await answer.json()


async def test_operators_ask_what_became_of_a_record(
    site: TownSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("COMMUNITIES_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    settings = {"data": str(site.path.parent), "plc_url": site.world.plc_url, "appview_url": site.world.pds_url,
                "egress_allow": "127.0.0.1"}  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"COMMUNITIES_{name.upper()}", value)

    async def explain(uri: str, *more: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["explain", uri, *more])
        told = capsys.readouterr()
        return code, told.out or told.err

    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    joined = site.join(alice, birds)
    child = site.found(olga, "owls", parent="at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/social.communities.community/top")
    await site.quiet()
    code, said = await explain(birds.uri)
    assert code == 0 and "record   in effect\nhere     it is shown" in said
    code, said = await explain(joined.uri, "--json")
    assert code == 0 and json.loads(said)["inEffect"] and json.loads(said)["about"] == birds.uri
    code, said = await explain(child.uri)
    assert code == 0 and "fault    UnknownParent: " in said
    faulty = olga.update(birds, {"name": ""})
    await site.quiet()
    # By her handle, too.
    code, said = await explain(birds.uri.replace(olga.did, olga.handle), "--json")
    found = json.loads(said)
    assert code == 1 and (found["uri"], found["cid"], found["inEffect"]) == (birds.uri, faulty.cid, False)
    assert found["fault"]["name"] == "InvalidRecord" and found["says"]["community"]["name"] == "Birds"
    assert found["community"] == {"type": "open", "shown": True}
    code, said = await explain(birds.uri)
    assert code == 1 and "record   not in effect\nfault    InvalidRecord: It is refused: " in said
    alice.set_status(False, "deactivated")
    olga.create(COMMUNITY, {"type": "private", "name": "X"} | site.when(), rkey="secret")
    await site.caught_up()
    code, said = await explain(f"at://{olga.did}/{COMMUNITY}/secret")
    assert code == 1 and "fault    TypeNotAvailable: " in said and said.endswith("here     none was founded\n")
    code, said = await explain(joined.uri)
    assert code == 0 and "(not active: deactivated)" in said and f"about    {birds.uri}" in said
    code, said = await explain(f"at://{alice.did}/{COMMUNITY}/nothing")
    assert code == 1 and "it is not known here: " in said and f"communities backfill {alice.did}" in said
    code, said = await explain(birds.uri, "--community", "birds")
    assert code == 2 and "--community is for posts" in said
    code, said = await explain(f"at://{alice.did}/social.communities.elsewhere/x")
    assert code == 1 and "is no post" in said
    olga.delete(child)
    await site.caught_up()
    code, said = await explain(child.uri)
    assert code == 1 and "it is not known here" in said
