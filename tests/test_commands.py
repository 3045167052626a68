"""Commands in posts, from the simulated network to the decision: each is done once, for those who may, and is what any
other door would have done.
"""

import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from civic.obeying import Obeying
from communities.access import Site as SiteRole
from labeler.labels_in_force import LabelsInForce
from models.database import open_database, writing
from tests.label_scene import LABELS
from tests.source_site import TAP, V2, SourceSite
from tests.town_site import TownSite
from tests.world import Account, Record, Write
from tests.world.clock import iso
from tests.world.keys import make_key

POST = "app.bsky.feed.post"
MINUTE = 60_000_000
ALL = ["remove", "restore", "approve", "ban", "unban", "label", "unlabel", "pin", "unpin"]


class CommandSite(TownSite):
    """`olga` owns "birds", whose account is hers and takes all commands; `mona` moderates, `alice` has a post in it."""

    olga: Account
    mona: Account
    alice: Account
    birds: Record
    seen: Record

    async def settle(self, **more: Any) -> None:
        self.olga, self.mona, self.alice = self.people("olga", "mona", "alice")
        rules = [{"name": "Birds only"}, {"name": "Birds"}]
        more = {"account": self.olga.did, "commands": ALL, "rules": rules} | more
        self.birds = self.found(self.olga, **more)
        await self.founded(self.birds)
        self.join(self.mona, self.birds)
        self.give(self.olga, self.birds, self.mona)
        self.seen = self.alice.post("a heron #birds")
        await self.moderates(self.mona)
        assert self.items("birds")[self.seen.uri][1] == 0

    def command(self, who: Account, text: str, about: Record | None = None, **more: Any) -> Record:
        """A post that begins with the mention of the account."""
        said = f"@{self.olga.handle} {text}"
        return who.post(said, **more) if about is None else who.reply(about, said, **more)

    async def moderates(self, who: Account) -> None:
        """Everything sent was noticed, and that somebody has a role."""
        await self.quiet()
        await self.until("the role", lambda: self.ingest.scope.decides(who.did))

    def obey(self, site: dict[str, SiteRole] | None = None, now: float | None = None) -> int:
        """Do what waits, as the web process does; how many that were."""
        labels = self.folder / "labels.toml"
        labelers = LabelsInForce(labels).labelers if labels.exists() else tuple
        with closing(open_database(self.path)) as database:
            obeying = Obeying(database, labelers, site or {}, lambda: now or time.time())
            count = 0
            while obeying.step():
                count += 1
            return count

    def noted(self) -> list[tuple[Any, ...]]:
        """What was commanded and became of it."""
        return self.rows("SELECT text, state, fault FROM command ORDER BY id")

    async def done(self, who: Account, text: str, about: Record | None = None) -> tuple[str, str]:
        """Command something; what became of it."""
        post = self.command(who, text, about)
        await self.caught_up()
        self.obey()
        ((state, fault),) = self.rows("SELECT state, fault FROM command WHERE uri = ?", post.uri)
        return state, fault


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[CommandSite]:
    (tmp_path / "labels.toml").write_text(LABELS)
    async with CommandSite(tmp_path) as site:
        await site.settle()
        yield site


def hidden(site: CommandSite) -> int:
    return site.items("birds")[site.seen.uri][1]


async def test_each_command_is_the_decision_of_its_name(site: CommandSite) -> None:
    mona, seen = site.mona, site.seen
    assert await site.done(mona, "remove Birds only: this is a plane", seen) == ("done", "")
    assert hidden(site) == 4
    assert await site.done(mona, "restore", seen) == ("done", "") and hidden(site) == 0
    assert await site.done(mona, "pin", seen) == ("done", "")
    assert len(site.rows("SELECT 1 FROM pin WHERE rkey = ?", seen.rkey)) == 1
    assert await site.done(mona, "unpin", seen) == ("done", "")
    assert site.rows("SELECT 1 FROM pin WHERE rkey = ?", seen.rkey) == []
    assert await site.done(mona, "ban 7d again and again", seen) == ("done", "")
    assert site.membership("birds", site.alice) == ("banned", 1, "ban") and hidden(site) == 8
    assert await site.done(mona, "unban", seen) == ("done", "") and hidden(site) == 0
    assert await site.done(mona, "label spam spoiler", seen) == ("done", "")
    assert set(site.rows("SELECT val, neg FROM label_outbox")) == {("spam", 0), ("spoiler", 0)}
    assert await site.done(mona, "unlabel spam", seen) == ("done", "")
    assert site.rows("SELECT added, removed FROM label_event ORDER BY id")[-1] == ("", "spam")
    waiting = site.alice.post("no tag, a wren")
    assert await site.done(mona, "approve good", waiting) == ("done", "")
    await site.until("put in by hand", lambda: waiting.uri in site.items("birds"))
    log = site.rows("SELECT action, actor, reason, rule, until - at FROM decision ORDER BY seq")
    week = 7 * 24 * 60 * MINUTE
    assert log == [
        ("remove", mona.did, "this is a plane", "Birds only", None),
        ("restore", mona.did, None, None, None),
        ("pin", mona.did, None, None, None),
        ("unpin", mona.did, None, None, None),
        ("ban", mona.did, "again and again", None, week),
        ("unban", mona.did, None, None, None),
        ("approve", mona.did, "good", None, None),
    ]


async def test_a_stranger_commands_nothing(site: CommandSite) -> None:
    (stranger,) = site.people("stranger")
    post = site.command(stranger, "remove", site.seen)
    site.command(site.alice, "ban", site.seen)
    await site.caught_up()
    assert site.noted() == [] and site.obey() == 0 and hidden(site) == 0
    # Nor is it a contribution: whoever wrote it, it is a command by its form.
    assert post.uri not in site.items("birds")


async def test_a_command_is_no_contribution_and_a_mention_is_one(site: CommandSite) -> None:
    command = site.command(site.mona, "remove", site.seen, tags=["birds"])
    no_command = site.command(site.mona, "thank you for this", site.seen)
    no_target = site.command(site.alice, "remove all plastic from the beach")
    await site.caught_up()
    site.obey()
    assert command.uri not in site.items("birds")
    assert {no_command.uri, no_target.uri} <= site.items("birds").keys()
    assert site.noted() == [("remove", "done", ""), ("thank you for this", "refused", "UnknownCommand")]
    # When no commands are taken any more it is a post like any other.
    site.olga.update(site.birds, {"commands": []})
    await site.until("read anew", lambda: not site.ingest.scope.matcher.calls)
    await site.settled()
    later = site.command(site.mona, "restore", site.seen)
    await site.caught_up()
    assert later.uri in site.items("birds") and len(site.noted()) == 2


async def test_what_is_not_signed_by_its_author_commands_nothing(site: CommandSite) -> None:
    value = site.command(site.mona, "restore", site.seen).value
    await site.caught_up()
    assert site.obey() == 1
    text = {"text": value["text"].replace("restore", "remove")}
    write = Write("create", f"{POST}/{site.world.clock.tid()}", dict(value) | text)
    forged = site.mona.commit(write, sign=make_key("k256", "somebody else").sign)
    site.world.relay.send("#commit", forged)
    await site.caught_up()
    assert [row[0] for row in site.noted()] == ["restore"] and site.obey() == 0 and hidden(site) == 0


async def test_a_replay_a_restart_and_another_reading_do_it_once(site: CommandSite) -> None:
    site.command(site.mona, "remove", site.seen)
    await site.caught_up()
    await site.again()  # between noting and doing
    assert site.obey() == 1 and hidden(site) == 4
    with closing(open_database(site.path)) as database, writing(database) as connection:
        connection.execute("UPDATE actor SET rev = '', split = 0")  # as if nothing were known of anybody any more
    await site.rewind(0)
    await site.caught_up()
    site.mona.sync()
    await site.quiet()
    assert site.noted() == [("remove", "done", "")] and site.obey() == 0
    assert len(site.rows("SELECT 1 FROM decision WHERE action = 'remove'")) == 1


async def test_what_only_a_repository_tells_is_never_done(site: CommandSite) -> None:
    said = f"@{site.olga.handle} remove"
    like = site.command(site.mona, "hello", site.seen).value
    await site.caught_up()
    write = Write("create", f"{POST}/{site.world.clock.tid()}", dict(like) | {"text": said})
    payload = site.mona.commit(write)
    site.mona.sync()
    await site.quiet()
    assert site.rows("SELECT r.state FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?", site.mona.did) == [
        ("synced",)
    ]
    assert [text for text, _, _ in site.noted()] == ["hello"] and hidden(site) == 0
    # The event itself comes behind the reading.
    site.world.relay.send("#commit", payload)
    await site.caught_up()
    assert site.obey() == 2 and hidden(site) == 4


async def test_old_commands_are_not_done(site: CommandSite) -> None:
    past, future = (site.world.clock.now() + minutes * MINUTE for minutes in (-11, 11))
    for at in (past, future):
        site.command(site.mona, "remove", site.seen, created_at=iso(at))
    site.command(site.mona, "remove", site.seen, created_at="2026-13-01T00:00:00Z")
    site.command(site.mona, "remove soon", site.seen)
    await site.caught_up()
    assert [row[1:] for row in site.noted()] == [("refused", "TooLate")] * 3 + [("waiting", "")]
    # The web process was away for long: what waited is not meant any more.
    assert site.obey(now=time.time() + 601) == 1
    assert site.noted()[-1] == ("remove soon", "refused", "TooLate") and hidden(site) == 0


async def test_roles_are_those_of_the_moment_in_which_it_is_done(site: CommandSite) -> None:
    (paula,) = site.people("paula")
    site.join(paula, site.birds)
    role = site.give(site.olga, site.birds, paula, scope=["pins"])
    await site.moderates(paula)
    assert await site.done(paula, "remove", site.seen) == ("refused", "NotPermitted")
    assert await site.done(paula, "pin", site.seen) == ("done", "")
    site.command(paula, "unpin", site.seen)
    await site.caught_up()
    site.olga.delete(role)
    await site.quiet()
    site.obey()
    assert site.noted()[-1] == ("unpin", "refused", "NotPermitted")
    # And from now on nothing of theirs is noted.
    site.command(paula, "unpin", site.seen)
    await site.caught_up()
    assert len(site.noted()) == 3


async def test_some_commands_are_for_admins(site: CommandSite) -> None:
    site.olga.update(site.birds, {"commands": ["remove", "ban"], "adminCommands": ["ban", "unban"]})
    rule = "SELECT rule FROM community WHERE slug = 'birds'"
    await site.until("read anew", lambda: '"unban"' in site.rows(rule)[0][0])
    await site.settled()
    assert await site.done(site.mona, "ban 1h", site.seen) == ("refused", "NotPermitted")
    assert await site.done(site.mona, "pin", site.seen) == ("refused", "CommandNotTaken")
    assert await site.done(site.mona, "remove", site.seen) == ("done", "")
    assert await site.done(site.olga, "ban 1h", site.seen) == ("done", "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("restore", "NoChange"),
        ("unpin", "NoChange"),
        ("unban", "NotFound"),
        ("ban 7 days", "InvalidCommand"),
        ("label", "InvalidCommand"),
        ("label nonsense", "UndeclaredLabel"),
        ("label !warn", "NotPermitted"),
        ("remvoe", "UnknownCommand"),
    ],
)
async def test_faults_are_told_by_name(site: CommandSite, text: str, fault: str) -> None:
    assert await site.done(site.mona, text, site.seen) == ("refused", fault)
    assert site.rows("SELECT count(*) FROM decision") == [(0,)] and hidden(site) == 0


async def test_targets(site: CommandSite) -> None:
    assert await site.done(site.mona, "remove") == ("refused", "NoTarget")
    elsewhere = site.alice.post("a heron, and no tag")
    assert await site.done(site.mona, "remove", elsewhere) == ("refused", "NotInCommunity")
    site.mona.quote(site.seen, f"@{site.olga.handle} remove")
    await site.caught_up()
    assert site.obey() == 1 and hidden(site) == 4
    second = site.alice.post("an owl #birds")
    media = {"$type": "app.bsky.embed.images", "images": []}
    record = {"$type": "app.bsky.embed.record", "record": second.ref}
    embed = {"$type": "app.bsky.embed.recordWithMedia", "record": record, "media": media}
    site.command(site.mona, "remove", embed=embed)
    await site.caught_up()
    assert site.obey() == 1 and site.items("birds")[second.uri][1] == 4


async def test_the_version_that_was_answered_is_meant(site: CommandSite) -> None:
    seen = site.seen
    site.alice.update(seen, {"text": "#birds, and something else", "facets": seen.value["facets"], "tags": ["birds"]})
    await site.caught_up()
    assert await site.done(site.mona, "remove", seen) == ("refused", "VersionChanged")


async def test_another_version_is_another_command_and_deleting_undoes_nothing(site: CommandSite) -> None:
    post = site.command(site.mona, "remvoe", site.seen)
    await site.caught_up()
    assert site.obey() == 1
    post = site.mona.update(post, {"text": f"@{site.olga.handle} remove"})
    await site.caught_up()
    assert site.obey() == 1 and hidden(site) == 4
    site.mona.delete(post)
    await site.caught_up()
    assert site.obey() == 0 and hidden(site) == 4
    assert [row[1] for row in site.noted()] == ["refused", "done"]


async def test_one_account_may_speak_for_several_communities(site: CommandSite) -> None:
    """Each does what its own moderators command, and no more."""
    nina, both = site.people("nina", "both")
    owls = site.found(nina, "owls", account=site.olga.did, commands=["remove"])
    silent = site.found(nina, "doves", account=site.olga.did)
    await site.founded(owls, silent)
    for community, owner in ((site.birds, site.olga), (owls, nina), (silent, nina)):
        site.join(both, community)
        site.give(owner, community, both)
    shared = site.alice.post("#birds #owls #doves")
    await site.moderates(both)
    assert await site.done(site.mona, "remove", shared) == ("done", "")
    assert [site.items(slug)[shared.uri][1] for slug in ("birds", "owls", "doves")] == [4, 0, 0]
    site.command(both, "remove", shared)
    await site.caught_up()
    site.obey()
    states = "SELECT c.slug, state, fault FROM command m JOIN community c ON c.id = m.community ORDER BY m.id"
    assert site.rows(states)[1:] == [("birds", "refused", "NoChange"), ("owls", "done", "")]
    assert [site.items(slug)[shared.uri][1] for slug in ("birds", "owls", "doves")] == [4, 4, 0]


async def test_there_are_limits(site: CommandSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firehose.commands.MOST_AN_HOUR", 2)
    for number in range(5):
        site.command(site.mona, f"remove {number}", site.seen)
    await site.caught_up()
    assert site.noted() == [
        ("remove 0", "waiting", ""), ("remove 1", "waiting", ""), ("remove 2", "refused", "TooMany"),
    ]  # fmt: skip
    assert site.ingest.index.counts["command ignored: too many"] == 2
    monkeypatch.setattr("firehose.commands.MOST_OPEN", 2)
    site.command(site.olga, "remove", site.seen)
    await site.caught_up()
    assert len(site.noted()) == 3
    assert site.obey() == 2
    site.command(site.olga, "restore", site.seen)
    await site.caught_up()
    assert site.obey() == 1 and hidden(site) == 0


async def test_a_fault_of_ours_ends_one_command_alone(site: CommandSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    site.command(site.mona, "ban", site.seen)
    site.command(site.mona, "remove", site.seen)
    await site.caught_up()
    monkeypatch.setattr("civic.obeying.decide_person", broken)
    assert site.obey() == 2
    assert site.noted() == [("ban", "refused", "InternalError"), ("remove", "done", "")]


async def test_whoever_is_over_the_site_may_command(site: CommandSite) -> None:
    (admin,) = site.people("admin")
    roles = {admin.did: SiteRole.ADMIN}
    site.ingest.index.admissions.site = roles
    site.command(admin, "remove", site.seen)
    await site.caught_up()
    assert site.obey(roles) == 1 and site.noted() == [("remove", "done", "")]


class UnprovenSite(CommandSite, SourceSite):
    """The same on a source without proofs."""

    def __init__(self, folder: Path, source: str) -> None:
        SourceSite.__init__(self, folder, source, verify="members")


@pytest.mark.parametrize("source", [V2, TAP])
async def test_without_proofs_the_authors_host_is_asked(tmp_path: Path, source: str) -> None:
    async with UnprovenSite(tmp_path, source) as site:
        await site.settle()
        gone = site.command(site.mona, "remove", site.seen)
        await site.caught_up()
        assert site.noted() == [("remove", "unproven", "")] and site.obey() == 0
        site.mona.delete(gone)
        await site.door()
        await site.until("judged", lambda: site.noted() == [("remove", "refused", "NotProven")])
        site.command(site.mona, "remove again", site.seen)
        await site.until("done", lambda: site.noted()[1:] == [("remove again", "done", "")])
        assert hidden(site) == 4


async def test_verifying_nothing_the_authors_host_is_asked(tmp_path: Path) -> None:
    rules = """
[[community]]
slug = "python"
name = "Python"
account = "{account}"
owner = "{account}"
commands = ["remove"]
include.hashtags = ["python"]
"""
    async with CommandSite(tmp_path, verify="none") as site:
        site.olga, site.alice = site.people("olga", "alice")
        await site.declare(rules.format(account=site.olga.did))
        seen = site.alice.post("#python")
        site.command(site.olga, "remove", seen)
        await site.caught_up()
        assert site.noted() == [("remove", "unproven", "")]
        assert await site.feed("python") == [seen.uri]
        await site.until("done", lambda: site.noted() == [("remove", "done", "")])
