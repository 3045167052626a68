"""Whole accounts on the real PDS: repositories read, commits verified, bursts over a stop, takedowns, deletions."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import running
from tests.network.conftest import Site, stored_posts
from tests.network.person import Person
from tests.network.test_stream import admin
from tests.service_process import Service, until

pytestmark = pytest.mark.network


def declaration(*members: Person) -> str:
    dids = json.dumps([member.did for member in members])
    return f'[[community]]\nslug = "crew"\nname = "Crew"\ninclude.members = {dids}\n'


@pytest.fixture(scope="module")
def crew(site: Site, pytestconfig: pytest.Config) -> Iterator[Site]:
    """A second service with nothing but the members of one community, who wrote before it was there."""
    judy, mallory = site.person("judy"), site.person("mallory")
    for number in range(5):
        judy.post(f"before {number}")
    service = Service(
        site.service.folder / "crew",
        declaration(judy, mallory),
        **{key: site.service.settings[key] for key in ("publisher_did", "source", "plc_url", "egress_allow")},
    )
    with running(pytestconfig, service):
        service.start()
        service.wait_health(deadline=60)
        yield Site(site.box, site.door, service, site.publisher, site.people)


def states(site: Site) -> dict[str, str]:
    """The state of every followed repository, by DID."""
    query = "SELECT a.did, r.state FROM repo r JOIN actor a ON a.id = r.actor"
    return dict(site.rows(query))


def dropped(site: Site) -> dict[str, Any]:
    """What the ingest has refused, by reason."""
    said = site.service.command_line("status", "--json")
    found: dict[str, Any] = json.loads(said.stdout)["report"]["dropped"]
    return found


def test_a_member_who_wrote_before_is_read_whole_and_then_followed(crew: Site) -> None:
    judy, mallory = crew.people["judy"], crew.people["mallory"]
    until("both are followed", lambda: states(crew) == {judy.did: "synced", mallory.did: "synced"})
    assert len(crew.skeleton("crew")) == 5
    new = mallory.post("and now")["uri"]
    gone = judy.post("soon gone")["uri"]
    judy.delete(gone)
    crew.caught_up()
    assert crew.skeleton("crew")[0] == new and len(crew.skeleton("crew")) == 6
    assert states(crew) == {judy.did: "synced", mallory.did: "synced"} and dropped(crew) == {}


def test_a_stop_in_the_middle_of_a_burst_loses_nothing(crew: Site) -> None:
    judy = crew.people["judy"]
    until("followed", lambda: states(crew).get(judy.did) == "synced")
    crew.caught_up()
    before = set(crew.skeleton("crew"))
    written = [judy.post(f"burst {number}")["uri"] for number in range(10)]
    crew.service.kill()
    written += [judy.post(f"burst {number}")["uri"] for number in range(10, 20)]
    judy.delete(written[3])
    crew.service.start()
    written += [judy.post(f"burst {number}")["uri"] for number in range(20, 30)]
    crew.caught_up()
    expected = [uri for uri in written if uri != written[3]]
    assert [uri for uri in crew.skeleton("crew") if uri not in before] == expected[::-1]
    assert states(crew)[judy.did] == "synced" and dropped(crew) == {}


def test_an_account_that_was_down_comes_back_whole(crew: Site) -> None:
    mallory = crew.people["mallory"]
    post = mallory.post("here")["uri"]
    crew.caught_up()
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": mallory.did}
    for applied in (True, False):
        admin(crew, "com.atproto.admin.updateSubjectStatus", subject=subject, takedown={"applied": applied})
        crew.caught_up()
        assert (post in crew.skeleton("crew")) != applied
    mallory.do("com.atproto.server.deactivateAccount")
    crew.caught_up()
    assert post not in crew.skeleton("crew")
    mallory.activate()
    crew.caught_up()
    until("followed again", lambda: states(crew).get(mallory.did) == "synced")
    assert post in crew.skeleton("crew")
    last = mallory.post("still here")["uri"]
    crew.caught_up()
    assert crew.skeleton("crew")[0] == last and states(crew)[mallory.did] == "synced"


def test_backfill_of_an_account_that_nothing_follows(crew: Site) -> None:
    trent = crew.person("trent")
    asked = crew.service.command_line("backfill", trent.did, "--json")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["outcomes"] == {"done": 1}


def test_a_deleted_member_leaves_nothing(crew: Site) -> None:
    victor = crew.person("victor")
    crew.service.rules.write_text(declaration(victor, *(crew.people[name] for name in ("judy", "mallory"))))
    until("followed", lambda: states(crew).get(victor.did) == "synced")
    post = victor.post("soon gone for good")["uri"]
    crew.caught_up()
    assert post in crew.skeleton("crew")
    admin(crew, "com.atproto.admin.deleteAccount", did=victor.did)
    crew.caught_up()
    assert post not in crew.skeleton("crew")
    until("the rows are gone", lambda: stored_posts(crew, victor) == 0)
