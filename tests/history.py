"""A random history of many people, and the oracle that is told of everything they do."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from cbrrr import encode_dag_cbor

from tests.oracle import DAY, ITEM, POST, Oracle, Rule
from tests.world import Account, Record, World, Write
from tests.world.car import cid_of
from tests.world.clock import iso
from tests.world.keys import make_did

TAGS = ("python", "rust", "cooking", "game")
TEXTS = ("text", "text", "text", "about type hints today")
PROFILE, FOLLOW, LIST = "app.bsky.actor.profile", "app.bsky.graph.follow", "app.bsky.graph.list"
HIDING = ("deactivated", "suspended", "takendown")
CURATOR = "curator"


def list_uri(seed: int) -> str:
    """The list that the community `friends` is made of, in the world of this seed."""
    return f"at://{make_did(f'{seed} {CURATOR}')}/{LIST}/friends"


def rules(seed: int, members: int = 0) -> tuple[Rule, ...]:
    """The communities of a history. The first `members` people make up one of them."""
    dids = tuple(make_did(f"{seed} person{number}") for number in range(1, members + 1))
    return (
        Rule("python", tags=("python",), phrases=("type hints",)),
        Rule("rust", tags=("rust",), without=("game",)),
        Rule("friends", lists=(list_uri(seed),)),
        *((Rule("club", members=dids),) if members else ()),
    )


def declaration(found: tuple[Rule, ...]) -> str:
    """The same as a rules file."""
    parts = []
    for rule in found:
        parts += ["[[community]]", f'slug = "{rule.slug}"', f'name = "{rule.slug.title()}"']
        includes = {"hashtags": rule.tags, "keywords": rule.phrases, "lists": rule.lists, "members": rule.members}
        parts += [f"include.{key} = {list(values)}" for key, values in includes.items() if values]
        parts += [f"exclude.hashtags = {list(rule.without)}"] if rule.without else []
    return "\n".join(parts)


class History:
    """What people do, at random, and what must come of it: `oracle`.

    Nobody speaks of a post that is not indexed at that moment, for whether such words are heard is a matter of luck.
    Accounts that are not active write nothing, as their hosts see to. With `leave` some are deleted, and their hosts
    take back what they said: then it depends on the moment what an ingest has ever heard of them.
    """

    def __init__(self, world: World, seed: int, people: int = 8, *, leave: bool = True, members: int = 0) -> None:
        """`members`: as in `rules`."""
        self.rng = random.Random(seed)
        self.world = world
        self.oracle = Oracle(rules(world.seed, members))
        self.curator = world.account(CURATOR)
        self.list = self._create(self.curator, LIST, {"name": "friends", "purpose": f"{LIST}#curate"}, "friends")
        self.people: list[Account] = []
        self.unread: set[str] = set()
        """DIDs of those who stay as they are until their repositories were read; see tests/followed.py."""
        for _ in range(people):
            self.arrive()
        self.deeds: dict[str, int] = {}
        self._doing: list[tuple[int, Callable[[], object]]] = [
            (20, self.post),
            (20, self.like),
            (8, self.repost),
            (8, self.reply),
            (6, self.quote),
            (10, self.undo),
            (8, self.edit),
            (6, self.delete),
            (3, self.recreate),
            (3, self.thread),
            (4, self.several),
            (2, self.turn),
            (5, self.noise),
            (5, self.hide_or_show),
            (int(leave), self.leave),
            # What must be proven, and was signed with a key that is no more, comes with the repository only.
            (int(not members), self.rotate),
            (int(not members), self.migrate),
        ]

    def run(self, events: int) -> None:
        """Let so many things happen."""
        weights, doing = zip(*self._doing, strict=True)
        for _ in range(events):
            deed = self.rng.choices(doing, weights)[0]
            if deed() is not None:
                self.deeds[deed.__name__] = self.deeds.get(deed.__name__, 0) + 1

    # Telling the oracle

    def _now(self) -> int:
        return self.world.clock.now()

    def _tell(self, account: Account, *writes: Write) -> int:
        """Write, and say so."""
        account.write(*writes)
        at = self._now()
        for write in writes:
            if write.action == "delete":
                self.oracle.delete(account.did, write.path)
            else:
                record = account.read(write.path)
                self.oracle.put(account.did, write.path, record.cid, record.value, at)
        return at

    def _create(self, account: Account, collection: str, value: Mapping[str, Any], rkey: str | None = None) -> Record:
        write = self._new(collection, value, rkey)
        self._tell(account, write)
        return account.read(write.path)

    def _new(self, collection: str, value: Mapping[str, Any], rkey: str | None = None) -> Write:
        full = {"$type": collection, "createdAt": self.world.clock.iso()} | dict(value)
        return Write("create", f"{collection}/{rkey or self.world.clock.tid()}", full)

    def _stands(self, account: Account, active: bool, status: str | None = None) -> None:
        account.set_status(active, status)
        self.oracle.stands(account.did, active, status)

    # Who and what

    def arrive(self) -> Account:
        """Somebody new."""
        account = self.world.account(f"person{len(self.world.accounts)}")
        self.people.append(account)
        return account

    def anyone(self) -> Account:
        """Somebody who may write."""
        return self.rng.choice([one for one in self.people if one.active])

    def indexed(self) -> Record | None:
        """A post of any community."""
        posts = [uri for uri in self.oracle.posts if self._stands_there(uri)]
        return self._record(self.rng.choice(posts)) if posts else None

    def own(self, collection: str = POST) -> Record | None:
        """A record of somebody who may write."""
        mine = [
            (account, path)
            for account in self.people
            if account.active
            for path in account.repo.records
            if path.startswith(collection + "/")
        ]
        if not mine:
            return None
        account, path = self.rng.choice(mine)
        return account.read(path)

    def author(self, record: Record) -> Account:
        """Who wrote it."""
        return self.world.accounts[record.did]

    def _stands_there(self, uri: str) -> bool:
        """Whether a record was not deleted without anybody hearing of it."""
        did, _, path = uri.removeprefix("at://").partition("/")
        return path in self.world.accounts[did].repo.records

    def _record(self, uri: str) -> Record:
        did, _, path = uri.removeprefix("at://").partition("/")
        return self.world.accounts[did].read(path)

    def _tags(self) -> list[str]:
        return self.rng.sample(TAGS, self.rng.choice((0, 1, 1, 2, 3)))

    def _words(self) -> dict[str, Any]:
        value: dict[str, Any] = {"text": self.rng.choice(TEXTS)}
        if tags := self._tags():
            value["tags"] = tags
        return value

    # What people do; None where there was nothing to do it to

    def post(self) -> Record:
        value = self._words()
        # Now and then with a date that is none, in the future, or too old to be admitted.
        dice = self.rng.random()
        if dice < 0.12:
            now = self._now()
            value["createdAt"] = iso(now + DAY) if dice < 0.04 else iso(now - 8 * DAY) if dice < 0.08 else "yesterday"
        return self._create(self.anyone(), POST, value)

    def flood(self, posts: int) -> None:
        """Long posts."""
        for _ in range(posts):
            self._create(self.anyone(), POST, {"text": "", "tags": ["python"], "pad": "x" * 4000})

    def like(self) -> Record | None:
        return self._subject("app.bsky.feed.like")

    def repost(self) -> Record | None:
        return self._subject("app.bsky.feed.repost")

    def _subject(self, collection: str) -> Record | None:
        post = self.indexed()
        return post and self._create(self.anyone(), collection, {"subject": post.ref})

    def reply(self) -> Record | None:
        post = self.indexed()
        return post and self._create(self.anyone(), POST, self._words() | {"reply": _answer(post)})

    def quote(self) -> Record | None:
        post = self.indexed()
        return post and self._create(self.anyone(), POST, self._words() | {"embed": _embed(post)})

    def thread(self) -> int:
        """A post and answers to it, in one commit."""
        account = self.anyone()
        writes = [self._new(POST, {"text": "first of all", "tags": ["python"]})]
        for _ in range(self.rng.randrange(1, 4)):
            root, before = (Record(account.did, *_path(write), _cid(write), write.record or {}, 0)
                            for write in (writes[0], writes[-1]))  # fmt: skip
            writes.append(self._new(POST, {"text": "next", "reply": {"root": root.ref, "parent": before.ref}}))
        return self._tell(account, *writes)

    def several(self) -> int:
        """Several operations of all kinds in one commit."""
        account = self.anyone()
        writes = [self._new(POST, self._words()) for _ in range(self.rng.randrange(1, 4))]
        if (post := self.indexed()) is not None:
            writes.append(self._new("app.bsky.feed.like", {"subject": post.ref}))
        mine = [path for path in account.repo.records if path.startswith("app.bsky.feed.")]
        writes += [Write("delete", path) for path in self.rng.sample(mine, min(len(mine), 2))]
        writes.append(self._new(FOLLOW, {"subject": self.anyone().did}))
        self.rng.shuffle(writes)
        return self._tell(account, *writes)

    def undo(self) -> Record | None:
        """Somebody takes back what was said of a post."""
        said = [edge for edge in self.oracle.edges if self.oracle.active(edge[0])]
        if not said:
            return None
        did, kind, rkey = self.rng.choice(said)
        path = f"app.bsky.feed.{kind if kind in ('like', 'repost') else 'post'}/{rkey}"
        return self._delete(self.world.accounts[did].read(path)) if self._stands_there(f"at://{did}/{path}") else None

    def turn(self) -> Record | None:
        """A like is made to be of another post, which no client does."""
        like, post = self.own("app.bsky.feed.like"), self.indexed()
        return like and post and self._update(like, {"subject": post.ref})

    def edit(self) -> Record | None:
        """A post enters, leaves or changes communities."""
        post = self.own()
        if post is None or not self._safe(post):
            return None
        changes: dict[str, Any] = {"tags": self._tags() or None, "text": self.rng.choice(TEXTS)}
        if self.rng.random() < 0.3:
            changes["embed"] = None
        return self._update(post, changes)

    def _safe(self, post: Record) -> bool:
        """Whether all that a post answers or quotes is indexed now."""
        about = [post.value["reply"]["parent"]["uri"]] if "reply" in post.value else []
        about += [post.value["embed"]["record"]["uri"]] if "embed" in post.value else []
        return all(uri in self.oracle.posts for uri in about)

    def _update(self, record: Record, changes: Mapping[str, Any]) -> Record:
        value = {key: item for key, item in {**record.value, **changes}.items() if item is not None}
        self._tell(self.author(record), Write("update", record.path, value))
        return self.author(record).read(record.path)

    def delete(self) -> Record | None:
        post = self.own()
        return post and self._delete(post)

    def _delete(self, record: Record) -> Record:
        self._tell(self.author(record), Write("delete", record.path))
        return record

    def recreate(self) -> Record | None:
        """A post is deleted, and another stands under the same key afterwards."""
        post = self.own()
        if post is None:
            return None
        self._delete(post)
        if self.rng.random() < 0.5:
            self.post()
        return self._create(self.author(post), POST, self._words(), post.rkey)

    def noise(self) -> int:
        """What no community cares for."""
        account = self.anyone()
        dice = self.rng.random()
        if dice < 0.3:
            return self._tell(account, self._new(FOLLOW, {"subject": self.anyone().did}))
        if dice < 0.5:
            # Only its owner adds to a list.
            return self._tell(account, self._new(ITEM, {"list": self.list.uri, "subject": account.did}))
        if dice < 0.6:
            account.sync()
            return account.identity()
        path = f"{PROFILE}/self"
        action: Any = "update" if path in account.repo.records else "create"
        return self._tell(account, Write(action, path, {"$type": PROFILE, "displayName": f"{self.rng.random()}"}))

    # Accounts

    def hide_or_show(self) -> Account | None:
        staying = [one for one in self.people if one.did not in self.unread]
        hidden = [one for one in staying if not one.active and one.status != "deleted"]
        if hidden and self.rng.random() < 0.6:
            account = self.rng.choice(hidden)
            self._stands(account, True)
            return account
        shown = [one for one in staying if one.active]
        if len(hidden) < len(shown) // 2:
            account = self.rng.choice(shown)
            self._stands(account, False, self.rng.choice(HIDING))
            return account
        return None

    def leave(self) -> Account | None:
        """An account is deleted, and its host forgets what it said; somebody else comes."""
        if sum(one.active for one in self.people) < 3:
            return None
        staying = [one for one in self.people if one.status != "deleted"]
        account = self.rng.choice(staying)
        if account.did in self.unread or [one.did for one in staying if one.did in self.followed()] == [account.did]:
            return None  # somebody is to be followed to the end
        self._stands(account, False, "deleted")
        self.arrive()
        return account

    def move_in(self) -> Account:
        """Somebody comes and says something that is indexed."""
        account = self.arrive()
        self._create(account, POST, {"text": "shortly", "tags": ["rust"]})
        return account

    def move_out(self, account: Account) -> None:
        """An account is deleted."""
        self._stands(account, False, "deleted")

    def rotate(self, account: Account | None = None) -> Account:
        """A new signing key, of anyone unless it is said whose."""
        account = account or self.anyone()
        account.rotate_key()
        return account

    def migrate(self, account: Account | None = None) -> Account:
        """To another host, with another key."""
        account = account or self.anyone()
        self.world.migrate(account)
        return account

    def followed(self) -> set[str]:
        """DIDs of the members of communities, whose repositories are followed."""
        return {did for rule in self.oracle.rules for did in rule.members}

    def sign_anew(self, account: Account) -> None:
        """As a host does after a change of the key: until then nobody can verify the repository."""
        self._tell(account, self._new(FOLLOW, {"subject": self.curator.did}))

    # The list; to be done when the index has come to rest, for rules are held against events in batches

    def befriend(self) -> Account:
        """Put somebody on the list."""
        account = self.anyone()
        self._create(self.curator, ITEM, {"list": self.list.uri, "subject": account.did})
        return account

    def farewell_post(self) -> Record | None:
        """A post that is indexed only as long as its author is on the list: its going shows that a removal is in force.
        None when nobody who may write is on it.
        """
        listed = {member for _, member in self.oracle.lists.values()}
        apart = self.followed()  # everything of theirs is indexed anyway
        friends = [one for one in self.people if one.active and one.did in listed and one.did not in apart]
        return self._create(self.rng.choice(friends), POST, {"text": "good bye"}) if friends else None

    def unfriend(self, farewell: Record) -> None:
        """Take the author of `farewell` off the list."""
        for (owner, rkey), (_, member) in list(self.oracle.lists.items()):
            if member == farewell.did:
                assert owner == self.curator.did
                self._tell(self.curator, Write("delete", f"{ITEM}/{rkey}"))


def _path(write: Write) -> tuple[str, str]:
    collection, rkey = write.path.split("/")
    return collection, rkey


def _cid(write: Write) -> str:
    return cid_of(encode_dag_cbor(dict(write.record or {}))).encode()


def _answer(post: Record) -> dict[str, Any]:
    return {"root": post.value.get("reply", {}).get("root", post.ref), "parent": post.ref}


def _embed(post: Record) -> dict[str, Any]:
    return {"$type": "app.bsky.embed.record", "record": post.ref}
