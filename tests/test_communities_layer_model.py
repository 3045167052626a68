"""Random lives of three communities as rows: people come and go, moderators decide, posts are written and edited.

What is checked after each step is said here once more in other words, and never asks the code under test.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from communities.access import EVERYTHING, Action, Posting, Role, Scope, State, may_decide
from communities.admission import Verdict
from communities.members import count_admins, held
from communities.membership import OTHERS, Own, RefusedError, in_force, set_role, step
from tests.layer_rows import CHILD, COMMUNITIES, PARENT, PEOPLE, LayerRows

communities = st.sampled_from(COMMUNITIES)
people = st.sampled_from(PEOPLE)
posts = st.tuples(people, st.just("post"))
deeds = st.sampled_from((*Own, *sorted(OTHERS)))
ends = st.sampled_from((None, None, 3, 10))


class Layer(LayerRows, RuleBasedStateMachine):
    """The rows, and beside them only what was said."""

    @initialize(
        modes=st.tuples(*[st.sampled_from((*Posting, Posting.APPROVAL))] * 3),
        joined=st.sets(st.tuples(communities, people), max_size=8),
    )
    def begin(self, modes: tuple[Posting, ...], joined: set[tuple[int, str]]) -> None:
        """A town in which there is something to decide."""
        self.start()
        for community, mode in zip(COMMUNITIES, modes, strict=True):
            self.other_settings(community, mode, State.ACTIVE)
        for community, person in sorted(joined):
            self._act(community, Own.JOIN, person, person, None)
        for person in PEOPLE:
            self._write((person, "post"), set(COMMUNITIES), set(), opted_out=False)

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    # Steps

    @rule(community=communities, deed=deeds, actor=people, person=people, until=ends)
    def act(self, community: int, deed: Own | Action, actor: str, person: str, until: int | None) -> None:
        self._act(community, deed, person if isinstance(deed, Own) else actor, person, until)

    @rule(community=communities, deed=st.sampled_from((Own.JOIN, Own.LEAVE, Own.AGREE)), person=people)
    def come_or_go(self, community: int, deed: Own | Action, person: str) -> None:
        self._act(community, deed, person, person, None)

    @rule(
        community=communities, deed=st.sampled_from((Action.BAN, Action.BAN, Action.UNBAN)), person=people, until=ends
    )
    def an_admin_bans_or_forgives(self, community: int, deed: Own | Action, person: str, until: int | None) -> None:
        self._act(community, deed, self.an_admin(community), person, until)

    @rule(community=communities)
    def an_admin_leaves(self, community: int) -> None:
        admin = self.an_admin(community)
        self._act(community, Own.LEAVE, admin, admin, None)

    @rule(community=communities, person=people, edited=st.booleans())
    def a_ban_is_lifted_again(self, community: int, person: str, edited: bool) -> None:
        self._act(community, Action.BAN, self.an_admin(community), person, None)
        if edited:
            self.edit((person, "post"))
        self._act(community, Action.UNBAN, self.an_admin(community), person, None)

    def _act(self, community: int, deed: Own | Action, actor: str, person: str, until: int | None) -> None:
        one, before = self.directory.by_id[community], self.row(community, person)
        elsewhere = self.dump(community, CHILD)
        may = isinstance(deed, Own) or self.allowed(community, actor, "members")
        row = in_force(held(self.connection, community, self.actor(person)), self.now)
        try:
            after = step(
                deed, row, kind=one.kind, state=one.state, subject=self.standing(community, person),
                actor=self.standing(community, actor), admins=count_admins(self.connection, one),
                until=None if until is None else self.now + until,
            )  # fmt: skip
        except RefusedError:
            return
        assert may, f"{deed} by somebody who may not"
        self.put(community, person, after)
        self.judge_all()
        status = self.row(community, person)[0]
        assert (deed, status) in {
            (Own.JOIN, "member"), (Own.AGREE, "member"), (Own.REFUSE, None), (Own.LEAVE, None),
            (Action.INVITE, "invited"), (Action.ACCEPT, "member"), (Action.DECLINE, None), (Action.BAN, "banned"),
            (Action.UNBAN, "member"), (Action.EXPEL, None),
        }  # fmt: skip
        assert before[0] != "banned" or deed in (Action.UNBAN, Action.EXPEL)
        assert self.dump(community, CHILD) == elsewhere
        if status == "member":
            self.joined.add((community, person))

    @rule(community=communities, actor=st.none() | people, person=people, role=st.sampled_from(Role), until=ends,
          scope=st.sampled_from((EVERYTHING, frozenset((Scope.POSTS,)), frozenset((Scope.PINS,)))))  # fmt: skip
    def give_a_role(
        self, community: int, actor: str | None, person: str, role: Role, until: int | None, scope: frozenset[Scope]
    ) -> None:
        actor = actor or self.an_admin(community)
        row = in_force(held(self.connection, community, self.actor(person)), self.now)
        may = self.administers(community, actor) or self.above(community, actor)
        end = None if until is None else self.now + until
        try:
            after = set_role(
                row, role, own=actor == person, actor=self.standing(community, actor), scope=scope, until=end
            )
        except RefusedError:
            return
        assert may or (actor == person and role is Role.MEMBER)
        self.put(community, person, after)
        self.judge_all()
        assert self.row(community, person)[:2] == ("member", role)

    @rule(community=communities, person=people)
    def somebody_is_admin_for_a_while(self, community: int, person: str) -> None:
        """And whoever was it before wants to leave meanwhile."""
        self.give_a_role(community, None, person, Role.ADMIN, 3, EVERYTHING)
        self.an_admin_leaves(community)
        self.time_passes(5)

    @rule(person=people)
    def somebody_banned_below_becomes_an_admin_above(self, person: str) -> None:
        for community in (PARENT, CHILD):
            self._act(community, Own.JOIN, person, person, None)
        self._act(CHILD, Action.BAN, self.an_admin(CHILD), person, None)
        self.decide(CHILD, None, (person, "post"), Verdict.APPROVED)
        self.give_a_role(PARENT, None, person, Role.ADMIN, None, EVERYTHING)

    @rule(
        post=posts, selected=st.sets(communities, min_size=1), refused=st.sets(communities, max_size=1),
        opted_out=st.sampled_from((False, False, False, True)),
    )  # fmt: skip
    def write(self, post: tuple[str, str], selected: set[int], refused: set[int], opted_out: bool) -> None:
        """Write a post, or another in its place."""
        self._write(post, selected, refused, opted_out=opted_out)

    def _write(self, post: tuple[str, str], selected: set[int], refused: set[int], *, opted_out: bool) -> None:
        before = self.texts[post]["version"] if post in self.texts else None
        version = (before or 0) + 1
        self.texts[post] = {
            "version": version, "selected": selected, "refused": refused, "opted_out": opted_out
        }  # fmt: skip
        self.connection.execute(
            "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at) VALUES (?, ?, ?, x'', 1, 1)"
            " ON CONFLICT (actor, rkey) DO UPDATE SET cid = excluded.cid",
            (self.actor(post[0]), post[1], b"%d" % version),
        )
        for community in COMMUNITIES:
            self.modes[community, post] = {self.directory.by_id[community].posting}
            self.judge(community, post, before)

    @rule(post=posts)
    def edit(self, post: tuple[str, str]) -> None:
        """Another version, of which the same is true."""
        if post in self.texts:
            said = self.texts[post]
            self._write(post, said["selected"], said["refused"], opted_out=said["opted_out"])

    @rule(community=communities, actor=st.none() | people, post=posts, verdict=st.sampled_from(Verdict))
    def decide(self, community: int, actor: str | None, post: tuple[str, str], verdict: Verdict) -> None:
        if post not in self.texts:
            return
        actor = actor or self.an_admin(community)
        action = Action.REMOVE if verdict is Verdict.REMOVED else Action.APPROVE
        may = may_decide(action, self.standing(community, actor))
        assert may is self.allowed(community, actor, "posts")
        if may:
            elsewhere = self.dump(community)
            self.store_verdict(community, post, verdict, self.texts[post]["version"])
            self.judge(community, post)
            assert self.dump(community) == elsewhere
            self.judge_all()
            assert self.dump(community) == elsewhere

    @rule(
        community=communities,
        posting=st.sampled_from((*Posting, Posting.APPROVAL)),
        state=st.sampled_from((*State, *[State.ACTIVE] * 4)),
    )
    def other_settings(self, community: int, posting: Posting, state: State) -> None:
        elsewhere, shown = self.dump(community), self.shown(community)
        uri, declared = self.declared[community]
        self.declared[community] = uri, replace(declared, posting=posting.value, state=state.value)
        self.directory = self.settled()
        for post in self.texts:
            self.modes[community, post].add(posting)
        self.judge_all()
        assert self.dump(community) == elsewhere
        assert shown <= self.shown(community), "what was let in stays when the rules of posting change"

    @rule(passed=st.integers(1, 5))
    def time_passes(self, passed: int) -> None:
        self.now += passed
        self.judge_all()

    @rule(order=st.randoms(use_true_random=False))
    def everything_is_done_again(self, order: Any) -> None:
        """In any order, any number of times."""
        before = self.dump()
        again: list[Callable[[], None]] = []
        for community, did in ((community, did) for community in COMMUNITIES for did in PEOPLE):
            row = held(self.connection, community, self.actor(did))
            again.append(lambda c=community, d=did, r=row: self.put(c, d, r))  # type: ignore[misc]
        for (community, post), (verdict, version) in self.verdicts.items():
            again.append(lambda c=community, p=post, v=verdict, n=version: self.store_verdict(c, p, v, n))  # type: ignore[misc]
        again += [lambda c=c, p=post: self.judge(c, p) for c in COMMUNITIES for post in self.texts]  # type: ignore[misc]
        again += again[: len(again) // 3]
        order.shuffle(again)
        for one in again:
            one()
        assert self.dump() == before

    # What always holds

    @invariant()
    def nobody_is_a_member_and_banned(self) -> None:
        for community in COMMUNITIES:
            for did in PEOPLE:
                status, role, _ = self.row(community, did)
                standing = self.standing(community, did)
                if did == self.directory.by_id[community].owner:
                    assert status is None, "an owner has no row"
                else:
                    assert (standing.status, standing.role) == (status, role)
                assert not (standing.joined and status == "banned")
                assert standing.joined is (status == "member" or self.administers(community, did))
                assert standing.above is self.above(community, did)

    @invariant()
    def the_last_admin_stays(self) -> None:
        for community in COMMUNITIES:
            assert any(self.administers(community, did) for did in PEOPLE)

    @invariant()
    def counts_are_right(self) -> None:
        for community, members, shown, last in self.connection.execute(
            "SELECT community, members, posts, last_post_at FROM community_count"
        ).fetchall():
            people = self.connection.execute(
                "SELECT count(*) FROM membership WHERE community = ? AND status = 'member'", (community,)
            ).fetchone()
            items = self.connection.execute(
                "SELECT count(*), coalesce(max(sort_at), 0) FROM feed_item WHERE community = ? AND hidden = 0",
                (community,),
            ).fetchone()
            assert (members,) == people and (shown, last) == items

    @invariant()
    def posts_are_where_they_may_be(self) -> None:
        rows = self.connection.execute("SELECT community, uri, hidden FROM feed_item").fetchall()
        items = {(community, uri): hidden for community, uri, hidden in rows}
        for post, said in self.texts.items():
            author, rkey = post
            for community in COMMUNITIES:
                hidden = items.get((community, f"at://{author}/app.bsky.feed.post/{rkey}"))
                shown = hidden == 0
                verdict, version = self.verdicts.get((community, post), (None, 0))
                approved = verdict is Verdict.APPROVED and version == said["version"]
                modes = self.modes[community, post]
                if said["opted_out"]:
                    assert hidden is None
                    continue
                if self.banned(community, author):
                    assert not shown
                    continue
                assert not (verdict is Verdict.REMOVED and shown)
                if approved:
                    assert shown
                elif modes == {Posting.APPROVAL}:
                    assert not shown, "nobody approved this version"
                if shown and not approved:
                    assert community in said["selected"] - said["refused"]
                settings = self.directory.by_id[community]
                if settings.posting is Posting.ANYONE and settings.state is State.ACTIVE and verdict is None:
                    assert shown is (community in said["selected"] - said["refused"])

    @invariant()
    def nobody_got_in_without_having_been_a_member(self) -> None:
        for (community, post), modes in self.modes.items():
            said = self.texts[post]
            # Of the first version all is known; later ones may have come in with an earlier one.
            if said["version"] == 1 and Posting.ANYONE not in modes and (community, post) not in self.verdicts:
                uri = f"at://{post[0]}/app.bsky.feed.post/{post[1]}"
                found = self.connection.execute(
                    "SELECT 1 FROM feed_item WHERE community = ? AND uri = ?", (community, uri)
                ).fetchone()
                assert found is None or (community, post[0]) in self.joined


TestLayer = Layer.TestCase
TestLayer.settings = settings(max_examples=80, stateful_step_count=40)
