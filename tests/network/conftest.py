"""The network and the service on it, once for all tests here: each test has a community of its own."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import running
from tests.network.door import Door
from tests.network.netbox import Netbox, why_not
from tests.network.person import Person, xrpc
from tests.service_process import Service, free_port, until

SLUGS = tuple(
    "arriving paging moving leaving liking tokens talking editing resuming cutting moderating forgetting".split()
)
AVATAR = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de000"
    "0000c49444154789c631068fe07000238019280c6fa2c0000000049454e44ae426082"
)


def declaration(*slugs: str) -> str:
    """Communities that take the posts with their slug as hashtag."""
    return "\n".join(
        f'[[community]]\nslug = "{slug}"\nname = "About {slug}"\n'
        f'description = "Posts with #{slug}."\n'
        'avatar = "avatar.png"\naccepts_interactions = true\n'
        f'[community.include]\nhashtags = ["{slug}"]\n'
        for slug in slugs
    )


def settings(box: Netbox, publisher: Person) -> dict[str, str]:
    """What a service on this network must be told, besides its name: its servers, and whose feeds it is to publish."""
    return {
        "publisher_did": publisher.did,
        "source": box.info["pds"]["url"].replace("http", "ws"),
        "plc_url": box.info["plc"]["url"],
        "appview_url": box.info["appview"]["url"],
        "egress_allow": "localhost,127.0.0.1",
        "pds_url": box.info["pds"]["url"],
        "handle": publisher.handle,
        "app_password": publisher.do("com.atproto.server.createAppPassword", name="feeds")["password"],
    }


@dataclass
class Site:
    """The service on the network. Upstream sees it through `door`; what tests ask goes to it directly."""

    box: Netbox
    door: Door
    service: Service
    publisher: Person
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def did(self) -> str:
        """The DID of the service."""
        return f"did:web:localhost%3A{self.door.port}"

    @property
    def appview(self) -> str:
        """URL of the AppView."""
        return str(self.box.info["appview"]["url"])

    def feed(self, slug: str) -> str:
        """The URI of a community's feed."""
        return f"at://{self.publisher.did}/app.bsky.feed.generator/{slug}"

    def person(self, name: str) -> Person:
        """An account of the PDS, made at its first use."""
        if name not in self.people:
            account = self.box.info["accounts"].get(name) or self.box.ask("account", name=name)
            self.people[name] = Person.of(account, self.box.info["pds"]["url"])
        return self.people[name]

    def caught_up(self) -> None:
        """Wait until service and AppView have worked off all that has happened on the PDS."""
        seq = self.box.ask("head")["seq"]
        self.service.wait_cursor(seq)
        self.box.ask("settle")

    def skeleton(self, slug: str, **headers: str) -> list[str]:
        """The post URIs of a feed's first page, asked of the service itself."""
        page = xrpc(self.service.url, "app.bsky.feed.getFeedSkeleton", {"feed": self.feed(slug)}, None, headers)
        return [item["post"] for item in page["feed"]]

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """What the service's database answers, read-only."""
        with closing(sqlite3.connect(f"file:{self.service.database}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()


def stored_posts(site: Site, author: Person) -> int:
    """How many posts of an account the service's database holds."""
    query = "SELECT count(*) FROM post JOIN actor ON actor.id = post.actor WHERE actor.did = ?"
    return int(site.rows(query, author.did)[0][0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All tests here are skipped for one reason, in `box`; told as of one place, it is one line of the summary."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Netbox]:
    """The official servers."""
    if reason := why_not():
        pytest.skip(reason)
    netbox = Netbox(tmp_path_factory.mktemp("netbox") / "netbox.log")
    with running(pytestconfig, netbox):
        netbox.boot()
        yield netbox


@pytest.fixture(scope="session")
def site(box: Netbox, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Site]:
    """The service, reading the PDS, with its feeds published in the publisher's repository."""
    publisher = Person.of(box.ask("account", name="publisher"), box.info["pds"]["url"])
    port = free_port()
    with Door(port) as door:
        service = Service(
            tmp_path_factory.mktemp("site"),
            declaration(*SLUGS),
            listen_port=str(port),
            hostname=f"localhost:{door.port}",
            **settings(box, publisher),
        )
        (service.folder / "avatar.png").write_bytes(AVATAR)
        with running(pytestconfig, service):
            service.start()
            service.wait_health(deadline=60)
            site = Site(box, door, service, publisher)
            # A new service starts at the head of the stream: make events until it has seen one.
            until("the first event", lambda: _event(site), deadline=60)
            done = service.command_line("publish")
            assert done.returncode == 0, done.stdout + done.stderr
            site.caught_up()
            yield site


def _event(site: Site) -> bool:
    site.publisher.post("is anybody there?")
    return bool((site.service.health() or {}).get("cursor"))
