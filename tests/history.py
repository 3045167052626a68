"""A random history of many people, and a naive reading of what must come of it."""

import random
from collections import defaultdict
from collections.abc import Callable

from tests.world import Account, Record, World

TAGS = ("python", "rust", "cooking")


class History:
    """What people do, at random, and what must come of it. It looks at its own notes only."""

    def __init__(self, world: World, seed: int, people: int = 8) -> None:
        self.rng = random.Random(seed)
        self.world = world
        self.people = [world.account(f"person{number}") for number in range(people)]
        self.posts: dict[str, Record] = {}
        self.said: dict[str, tuple[Account, str, Record]] = {}
        """uri -> who, which kind, of which post."""
        self.hidden: set[str] = set()

    def run(self, events: int) -> None:
        """Let so many things happen."""
        deeds: list[tuple[int, Callable[[], object]]] = [
            (20, self.post),
            (25, self.like),
            (8, self.repost),
            (10, self.reply),
            (6, self.quote),
            (10, self.undo),
            (8, self.edit),
            (8, self.delete),
            (5, self.hide_or_show),
        ]
        weights, doing = zip(*deeds, strict=True)
        for _ in range(events):
            self.rng.choices(doing, weights)[0]()

    def anyone(self) -> Account:
        return self.rng.choice([one for one in self.people if one.did not in self.hidden])

    def some_post(self) -> Record | None:
        return self.rng.choice(list(self.posts.values())) if self.posts else None

    def post(self) -> None:
        post = self.anyone().post("text", tags=self.rng.sample(TAGS, self.rng.randrange(3)))
        self.posts[post.uri] = post

    def like(self) -> None:
        self.say("like")

    def repost(self) -> None:
        self.say("repost")

    def reply(self) -> None:
        self.say("reply", "yes")

    def quote(self) -> None:
        self.say("quote", "this")

    def say(self, kind: str, *words: str) -> None:
        # Of posts that are indexed: what was said before a post entered a community was not listened to.
        heard = [post for post in self.posts.values() if communities(post)]
        if heard:
            who, post = self.anyone(), self.rng.choice(heard)
            record = getattr(who, kind)(post, *words)
            self.said[record.uri] = who, kind, post

    def undo(self) -> None:
        mine = [(uri, who) for uri, (who, _, _) in self.said.items() if who.did not in self.hidden]
        if mine:
            uri, who = self.rng.choice(mine)
            who.delete(who.read(uri.partition(who.did + "/")[2]))
            del self.said[uri]

    def edit(self) -> None:
        """A post enters, leaves or changes communities. What was said of one that left is forgotten."""
        mine = [post for post in self.posts.values() if post.did not in self.hidden]
        if mine:
            post = self.rng.choice(mine)
            tags = self.rng.sample(TAGS, self.rng.randrange(3))
            self.posts[post.uri] = edited = self.author(post).update(post, {"tags": tags or None})
            if not communities(edited):
                self.forget(post)

    def delete(self) -> None:
        mine = [post for post in self.posts.values() if post.did not in self.hidden]
        if mine:
            post = self.rng.choice(mine)
            self.author(post).delete(post)
            del self.posts[post.uri]
            self.forget(post)

    def forget(self, post: Record) -> None:
        self.said = {uri: said for uri, said in self.said.items() if said[2].uri != post.uri}

    def hide_or_show(self) -> None:
        if self.hidden and self.rng.random() < 0.6:
            did = self.rng.choice(sorted(self.hidden))
            self.hidden.remove(did)
            self.world.accounts[did].set_status(True)
        elif len(self.hidden) < len(self.people) // 2:
            account = self.anyone()
            account.set_status(False, self.rng.choice(("deactivated", "suspended", "takendown")))
            self.hidden.add(account.did)

    def author(self, post: Record) -> Account:
        return self.world.accounts[post.did]

    # What must come of it

    def feed(self, slug: str) -> set[str]:
        return {uri for uri, post in self.posts.items() if slug in communities(post) and post.did not in self.hidden}

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Of every indexed post: distinct accounts that are not hidden, by kind."""
        actors: dict[tuple[str, str], set[str]] = defaultdict(set)
        for who, kind, post in self.said.values():
            if who.did not in self.hidden:
                actors[post.uri, kind].add(who.did)
        kinds = ("like", "repost", "reply", "quote")
        return {
            uri: tuple(len(actors[uri, kind]) for kind in kinds)
            for uri, post in self.posts.items()
            if communities(post)
        }


def communities(post: Record) -> set[str]:
    return {"python", "rust"} & set(post.value.get("tags", ()))
