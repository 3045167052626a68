"""A labeler with a team, two communities that it serves, and the page in which people moderate them in a browser."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.network.browser import Browser, Page, served
from tests.network.label_town import LabelTown, label_town
from tests.network.netbox import FOLDER, Netbox
from tests.network.person import Person
from tests.network.test_labels import report
from tests.service_process import until

FOLLOWED = "SELECT 1 FROM repo JOIN actor ON actor.id = repo.actor WHERE actor.did = ?"
Post = dict[str, str]
"""uri and cid of a record."""


@dataclass(frozen=True)
class Scene:
    """Two communities, hedgehogs and moles. `decider` and `second` moderate for the labeler, `keeper` moles alone.

    `open` opens the page of a moderator.
    """

    town: LabelTown
    open: Callable[[], Page]
    author: Person
    reporter: Person
    decider: Person
    second: Person
    keeper: Person

    def reported(self, slug: str) -> tuple[Post, int]:
        """A post that a community has, and the number of a report about it, whose tags are there."""
        post = self.author.post("seen today", slug)
        self.caught_up()
        answer = report(self.reporter, f"{self.town.labeler.did}#atproto_labeler", post)
        until("the service tags what was reported", lambda: not self.rows("SELECT 1 FROM report_tagging"))
        return post, int(str(answer["id"]))

    def caught_up(self) -> None:
        """Wait until service and AppView have worked off all that has happened on the PDS."""
        self.town.service.wait_cursor(self.town.box.ask("head")["seq"])
        self.town.settle()

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """What the service's database answers, read-only."""
        with closing(sqlite3.connect(f"file:{self.town.service.database}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def signed_in(self, person: Person) -> Page:
        """A page that has found the labeler, in which somebody has signed in with an app password."""
        page, who = self.open(), person.with_app_password()
        page.ask("boot", self.town.box.info["plc"]["url"], self.town.labeler.did)
        assert page.ask("signIn", who.pds, who.handle, who.password) == person.did
        return page


@contextmanager
def moderator_scene(box: Netbox, browser: Browser, folder: Path, config: pytest.Config) -> Iterator[Scene]:
    """The service runs, the AppView reads its labels, both communities are in force; their founders moderate them."""
    pds = box.info["pds"]["url"]
    names = ("egon", "elsa", "edgar", "edith", "ester", "emil")
    people = {name: Person.of(box.ask("account", name=name), pds) for name in names}
    author, reporter, decider, second, keeper, founder = people.values()
    team = f"{decider.did},{second.did}"
    with (
        served(FOLDER / "moderator.html") as url,
        label_town(box, folder, config, "browsed", moderators=team) as town,
    ):
        town.declare("rude", "test")
        town.set_up()
        town.pump()
        scene = Scene(town, partial(browser.page, url), author, reporter, decider, second, keeper)
        # A new service starts at the head of the stream: make events until it has seen one.
        until("the first event", lambda: author.post("?") and (town.service.health() or {}).get("cursor"))
        for owner, slug in ((founder, "hedgehogs"), (keeper, "moles")):
            shape = {"type": "open", "posting": "anyone", "name": slug.title(), "include": {"hashtags": [slug]}}
            owner.put("social.communities.community", slug, **shape)
            # Founders are followed from the moment on in which posts are held against what their communities say.
            until(f"the rules of {slug} in force", partial(scene.rows, FOLLOWED, owner.did))
        scene.caught_up()
        yield scene
