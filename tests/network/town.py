"""Communities that people found by records on the real PDS, and what is said of them to the service through the PDS."""

import json
from dataclasses import dataclass
from typing import Any

from tests.network.conftest import Site
from tests.network.person import Person
from tests.service_process import until

NSID = "social.communities."
GENERATOR = "app.bsky.feed.generator"
LESS, MORE = "app.bsky.feed.defs#requestLess", "app.bsky.feed.defs#requestMore"
Post = dict[str, str]
"""uri and cid of a record."""


@dataclass(frozen=True)
class Community:
    """A community on the site, whose founder has published some of its feeds."""

    site: Site
    slug: str
    founder: Person

    @property
    def uri(self) -> str:
        """Of its record."""
        return f"at://{self.founder.did}/{NSID}community/{self.slug}"

    def feed(self, sort: str = "") -> str:
        """The URI of a feed; without `sort` of the one with the newest posts first."""
        return f"at://{self.founder.did}/{GENERATOR}/{self.slug}" + (f".{sort}" if sort else "")

    def shown(self, reader: Person, sort: str = "") -> list[str]:
        """The URIs of a feed as the AppView shows it to `reader`, which is what the service has just given it."""
        uris = [post["uri"] for post in reader.feed(self.feed(sort))]
        answer = json.loads(self.site.door.last("app.bsky.feed.getFeedSkeleton").answer)
        assert uris == [item["post"] for item in answer["feed"]], "the AppView shows something else than it was given"
        return uris

    def ask(self, who: Person, method: str, **params: str | int) -> Any:
        """A query of the service about this community, through the PDS of `who`."""
        return who.ask(NSID + method, f"{self.site.did}#communities", community=self.slug, **params)

    def act(self, who: Person, method: str, **body: Any) -> Any:
        """A procedure of the service about this community, through the PDS of `who`."""
        return who.do(NSID + method, f"{self.site.did}#communities", community=self.slug, **body)

    def join(self, *people: Person) -> list[Post]:
        """They write membership records, which have arrived."""
        records = [person.create(f"{NSID}membership", community=self.uri) for person in people]
        self.site.caught_up()
        return records

    def moderator(self, who: Person) -> Post:
        """`who` joins and the founder makes a moderator of them, by records that have arrived."""
        self.join(who)
        made = self.founder.create(f"{NSID}role", community=self.uri, subject=who.did, role="moderator")
        self.site.caught_up()
        return made

    def decide(self, who: Person, action: str, post: Post, **more: Any) -> dict[str, Any]:
        """A decision about a post: the entry of the log."""
        subject = {"$type": "com.atproto.repo.strongRef"} | post
        entry: dict[str, Any] = self.act(who, "decide", action=action, subject=subject, **more)["decision"]
        return entry

    def decide_account(self, who: Person, action: str, about: Person, **more: Any) -> dict[str, Any]:
        """A decision about an account: the whole answer."""
        subject = {"$type": f"{NSID}defs#account", "did": about.did}
        answer: dict[str, Any] = self.act(who, "decide", action=action, subject=subject, **more)
        return answer


def found(site: Site, slug: str, *sorts: str, **record: Any) -> Community:
    """A community by a record in the repository of a founder of its own, in force; its feeds are published there."""
    founder = site.person(f"{slug}-founder")
    community = Community(site, slug, founder)
    shape = {"type": "open", "name": slug.title(), "include": {"hashtags": [slug]}} | record
    founder.put(f"{NSID}community", slug, **shape)
    for sort in ("", *sorts):
        key = community.feed(sort).rpartition("/")[2]
        founder.put(GENERATOR, key, did=site.did, displayName=key, acceptsInteractions=True)
    # Founders are followed from the moment on in which posts are held against what their communities say.
    followed = "SELECT 1 FROM repo JOIN actor ON actor.id = repo.actor WHERE actor.did = ?"
    until(f"the rules of {slug} in force", lambda: site.rows(followed, founder.did))
    site.caught_up()
    return community
