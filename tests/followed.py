"""A history in which some people are members whose repositories are followed: what they do, and nobody hears of it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.history import POST, History
from tests.world import Account, Write

LIKE = "app.bsky.feed.like"

Heard = Callable[[int, int], bool]
"""Whether a commit is sent: the number of it, from 0, and how many there are."""


class FollowedHistory(History):
    """What is not heard of a member is told to the oracle once the repository was read: `unread`, `reread`.

    Nobody may speak of what others have not heard of, nor change what these have said meanwhile, for whether that is
    seen is a matter of luck: let things happen only while no repository can be read.
    """

    def members(self) -> list[Account]:
        """Those who are followed, and may write."""
        followed = self.followed()
        return [one for one in self.people if one.active and one.did in followed]

    def member(self) -> Account:
        """One of them; where there is none, somebody is active again."""
        if not self.members():
            followed = self.followed()
            hidden = [one for one in self.people if one.did in followed and one.status != "deleted"]
            self._stands(self.rng.choice(hidden), True)
        return self.rng.choice(self.members())

    @contextmanager
    def staying(self, member: Account) -> Iterator[None]:
        """A member stays active meanwhile; all that he does is heard."""
        self.unread.add(member.did)
        yield
        self.unread.discard(member.did)

    def say(self, member: Account) -> list[Write]:
        """Some things, at least three, that a member may write, change and delete."""
        posts = [path for path in member.repo.records if path.startswith(POST + "/")]
        likes = [path for path in member.repo.records if path.startswith(LIKE + "/")]
        writes = [self._new(POST, self._words()) for _ in range(self.rng.randrange(3, 6))]
        if (post := self.indexed()) is not None:
            writes.append(self._new(LIKE, {"subject": post.ref}))
        for path in self.rng.sample(posts, min(len(posts), 2)) + self.rng.sample(likes, min(len(likes), 1)):
            if self.rng.random() < 0.5 or not path.startswith(POST):
                writes.append(Write("delete", path))
            else:
                value = {"$type": POST, "createdAt": member.read(path).value["createdAt"]} | self._words()
                writes.append(Write("update", path, value))
        return writes

    def withheld(self, member: Account, heard: Heard = lambda number, of: False) -> int:
        """Let a member write, one commit each, of which only some are `heard`. How many are not."""
        self.unread.add(member.did)
        writes = self.say(member)
        swallowed = 0
        for number, write in enumerate(writes):
            payload = member.commit(write)
            if heard(number, len(writes)):
                self.world.relay.send("#commit", payload)
            else:
                swallowed += 1
        return swallowed

    def wrongly(self, member: Account, name: str, change: Callable[[dict[str, Any]], Any], **wrong: Any) -> None:
        """Let a member write something in a commit that `change` makes another, and of which nothing else is heard.
        `name`: of the fault. `wrong`: as in Repo.commit.
        """
        self.unread.add(member.did)
        payload = member.commit(self._new(POST, self._words()), **wrong)
        self.world.relay.send("#commit", change(payload), fault=name)

    def vanish(self, member: Account, status: str) -> None:
        """A member is no longer active, and only the host says so."""
        self.unread.add(member.did)
        member.active, member.status = False, status
        self.oracle.stands(member.did, False, status)

    def restore(self, member: Account, backup: Mapping[str, Any]) -> None:
        """The member's repository is again what it was (`vars` of it), and nobody says so."""
        self.unread.add(member.did)
        vars(member.repo).update(backup)

    def back(self, member: Account) -> None:
        """A member is active again."""
        self._stands(member, True)

    def come_back(self, marked: Collection[str] = ()) -> None:
        """Let those be active again who were not heard, or are `marked` to be read for another reason (DIDs): nobody
        reads the repository of one who is not.
        """
        for account in self.people:
            to_be_read = account.did in self.unread or account.did in marked
            if to_be_read and not account.active and account.status != "deleted":
                self.back(account)

    def reread(self, member: Account) -> None:
        """What the repository of a member holds is known now."""
        self.unread.discard(member.did)
        records = {path: member.read(path) for path in member.repo.records}
        self.oracle.reread(
            member.did, {path: (record.cid, record.value) for path, record in records.items()}, self._now()
        )
