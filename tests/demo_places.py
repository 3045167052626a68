"""What the demonstration shows of the service: what can be asked, and whether an answer is a good one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.demo_town import Town
from tests.service_process import Service

HOUR = 3600
GENERATOR = "app.bsky.feed.generator"
SKELETON = "app.bsky.feed.getFeedSkeleton"


@dataclass(frozen=True)
class Place:
    """Something to ask for: what it is, its URL, whether an answer is a good one, and a token to send along."""

    what: str
    url: str
    good: Callable[[Any], bool]
    token: str = ""

    @property
    def line(self) -> str:
        """What somebody types to ask."""
        return f'curl {f"-H {chr(34)}Authorization: Bearer {self.token}{chr(34)} " if self.token else ""}"{self.url}"'


def holds_posts(answer: Any) -> bool:
    """Whether a feed has any."""
    return bool(answer["feed"]) and all(item["post"].startswith("at://did:plc:") for item in answer["feed"])


def waits(answer: Any) -> bool:
    """Whether a queue has any post, and says of each why it waits."""
    return holds_posts(answer) and all("waits for approval" in item["feedContext"] for item in answer["feed"])


def queue(service: Service, town: Town) -> Place:
    """What waits for approval, for the moderator."""
    token = town.moderator.service_jwt(service_did(service), SKELETON, HOUR)
    url = f"{service.url}/xrpc/{SKELETON}?feed=at://{town.founder.did}/{GENERATOR}/birds.queue"
    return Place(
        "What waits for approval there, for its moderator only (the token is good for an hour)", url, waits, token
    )


def service_did(service: Service) -> str:
    """Who the service is."""
    return "did:web:" + service.settings["hostname"].replace(":", "%3A")


def places(service: Service, town: Town) -> list[Place]:
    """What can be asked of the service."""
    feed = f"{service.url}/xrpc/{SKELETON}?feed=at://{town.host.did}/{GENERATOR}/"
    ours = f"{service.url}/xrpc/social.communities."
    return [
        Place("Posts with #gardening", feed + "garden", holds_posts),
        Place("Posts with #python or about the standard library, no replies", feed + "python", holds_posts),
        Place("Posts of the reading circle's members", feed + "circle", holds_posts),
        Place(
            "Which communities there are, those with most members first",
            ours + "listCommunities?sort=biggest",
            lambda answer: [one["slug"] for one in answer["communities"]][:1] == ["birds"],
        ),
        Place(
            "One that was founded by a record in its owner's repository, without a word in the service's file",
            ours + f"getCommunity?community={town.birds}",
            lambda answer: answer["memberCount"] == len(town.watchers) and answer["posting"] == "approval",
        ),
        Place(
            "Its members, who joined by records in theirs, its moderator among them",
            ours + "listMembers?community=birds",
            lambda answer: [one["role"] for one in answer["members"]][:2] == ["admin", "moderator"],
        ),
        Place(
            "Its feed: what the moderator has approved",
            f"{service.url}/xrpc/{SKELETON}?feed=at://{town.founder.did}/{GENERATOR}/birds",
            holds_posts,
        ),
        queue(service, town),
        Place(
            "What was decided, as everybody sees it: the public log, in which nothing can be changed unnoticed",
            ours + "getDecisions?community=birds",
            lambda answer: answer["decisions"][0]["action"] == "approve" and "actor" not in answer["decisions"][0],
        ),
        Place(
            "Which feeds there are",
            f"{service.url}/xrpc/app.bsky.feed.describeFeedGenerator",
            # One for each community of the file, ten of the record's, and everything.
            lambda answer: len(answer["feeds"]) == 14,
        ),
        Place(
            "Who the service is",
            f"{service.url}/.well-known/did.json",
            lambda answer: answer["id"] == service_did(service),
        ),
        Place(
            "How it is doing",
            f"{service.url}/xrpc/_health",
            lambda answer: isinstance(answer["cursor"], int),
        ),
    ]
