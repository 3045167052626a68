"""Labels that are issued by themselves: posts that come or change are held against the rules of `labels.toml`.

Posts are noted by the database as they come (`label_due`), at no cost while there are no rules, and looked at here, in
the process that publishes. What a rule does is an event with the actor `rule:NAME`, so that it can be taken back in one
go. A rule labels a version of a subject once; what a person has taken away it does not say again of that version.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import apsw
import peewee
from cbrrr import StrictCID, decode_dag_cbor
from playhouse.apsw_ext import APSWDatabase

from communities.post import read_post
from communities.refs import POST, cid_text
from labeler.foreign_acts import Acts
from labeler.issue import LabelRefusedError, Wanted
from labeler.permission import RULE_ACTOR
from labeler.rule_match import AgeWanted, Case, Fit, RuleMatcher
from labeler.rules import Input, Rule
from labeler.saying import say
from labeler.standing import active
from labeler.vocabulary import Declared
from models import foreign_labels, label_rules
from models import labelers as labeler_rows
from models.database import Connection, sql, writing
from models.label_rules import DuePost

log = logging.getLogger(__name__)

PIECE = 100
"""Posts that are looked at in one step."""


FAULTS = (apsw.Error, peewee.PeeweeException)
"""Of the database, and not of what posts hold."""


class Judged(NamedTuple):
    """A post, what rules look at in it (None: nothing), those that fit, and whether others wait for an age."""

    post: DuePost
    case: Case | None
    fits: list[Fit]
    waits: bool


class Known:
    """What rules ask for, from the database. `now`: milliseconds."""

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection, self._now = connection, now

    def in_list(self, uri: str, did: str) -> bool:
        """Whether an account is in a list that was read."""
        query = "SELECT 1 FROM list_item WHERE list = ? AND subject = ? LIMIT 1"
        return uri.startswith("at://") and self._connection.execute(query, (uri, did)).fetchone() is not None

    def labels(self, uri: str, did: str) -> Mapping[tuple[str, str], str]:
        """What others say of a post or its author."""
        found = foreign_labels.about(self._connection, (did, uri), self._now)
        return {(one.src, one.val): one.uri for one in found}

    def posts_within(self, did: str, since: int, until: int, most: int) -> int:
        """How many stored posts of an account there are in that time, counted up to `most`."""
        query = (
            "SELECT count(*) FROM (SELECT 1 FROM actor a JOIN post p ON p.actor = a.id WHERE a.did = ?"
            " AND p.event_at > ? AND p.event_at <= ? LIMIT ?)"
        )
        return int(self._connection.execute(query, (did, since, until, most)).fetchone()[0])

    def created_at(self, did: str) -> int | None:
        """When an account came to be. Raises AgeWanted."""
        known, created = label_rules.age(self._connection, did)
        if not known:
            raise AgeWanted()
        return created


def case_of(connection: Connection, post: DuePost) -> Case | None:
    """What rules look at in a stored post; None where there is nothing to look at."""
    if post.did is None:
        return None
    try:
        facts = read_post(decode_dag_cbor(post.record, cid_ctor=StrictCID))
    except (ValueError, RecursionError):
        return None
    if facts is None:
        return None
    uri = f"at://{post.did}/{POST}/{post.rkey}"
    return Case(uri, post.did, facts, label_rules.communities_of(connection, post.id), post.event_at)


class Automation:
    """Looks at posts step by step. Its functions belong into one thread."""

    def __init__(
        self,
        database: APSWDatabase,
        labelers: Iterable[Declared],
        rules: Sequence[Rule],
        inputs: Sequence[Input],
        clock: Callable[[], float],
    ) -> None:
        """`clock`: seconds since 1970."""
        self._database = database
        self._labelers = {one.did: one for one in labelers}
        self._matcher = RuleMatcher(rules)
        self.acts = Acts(self._labelers, inputs)
        self._clock = clock
        self._full: set[tuple[str, int]] = set()
        """Rules that have reached their quota, and the day on which that was said."""

    def begin(self) -> None:
        """Have posts noted from now on, if there is anything to hold them against."""
        with writing(self._database) as connection:
            label_rules.watch(connection, bool(self._matcher.rules or self.acts.inputs))

    def step(self) -> bool:
        """Look at the next posts; whether there were any."""
        now = int(self._clock() * 1000)
        connection = sql(self._database)
        posts = label_rules.due(connection, PIECE)
        if not posts:
            return False
        known = Known(connection, now)
        judged = [self._judge(connection, post, known) for post in posts]
        try:
            self._act(judged, now)
        except FAULTS:
            raise
        except Exception:
            # One post must not keep the others waiting for ever.
            for one in judged:
                self._act_on_one(one, now)
        return True

    def _judge(self, connection: Connection, post: DuePost, known: Known) -> Judged:
        try:
            case = case_of(connection, post)
            fits, waits = self._matcher.match(case, known) if case else ([], False)
        except FAULTS:
            raise
        except Exception:
            log.exception("a post (number %d) cannot be held against the rules: it is passed over", post.id)
            return Judged(post, None, [], waits=False)
        return Judged(post, case, fits, waits)

    def _act_on_one(self, judged: Judged, now: int) -> None:
        try:
            self._act([judged], now)
        except FAULTS:
            raise
        except Exception:
            log.exception("what rules say of a post (number %d) cannot be done: it is passed over", judged.post.id)
            with writing(self._database) as connection:
                label_rules.looked_at(connection, judged.post)

    def _act(self, judged: Iterable[Judged], now: int) -> None:
        """Do what the rules say of posts, in one transaction."""
        with writing(self._database) as connection:
            for post, case, fits, waits in judged:
                if not label_rules.looked_at(connection, post) or case is None:
                    continue
                for fit in fits:
                    self._apply(connection, case, cid_text(post.cid), fit, now)
                self.acts.apply(connection, case, post, now)
                if waits:
                    label_rules.look_at_post(connection, post.did, post.rkey)
                    label_rules.wait_for_age(connection, post.id, post.did)

    def _apply(self, connection: Connection, case: Case, cid: str, fit: Fit, now: int) -> None:
        rule, declared = fit.rule, self._labelers[fit.rule.labeler]
        labeler = labeler_rows.enter(connection, declared.did)
        uri, cid = (case.did, "") if rule.on == "account" else (case.uri, cid)
        if (
            (cid and label_rules.was_done_by_rule(connection, labeler, rule.name, uri, cid))
            or label_rules.was_overruled(connection, labeler, uri, cid, rule.value)
            or any(one.val == rule.value for one in active(connection, labeler, uri, now, cid))
        ):
            return
        if rule.dry_run:
            label_rules.count(connection, rule.name, now * 1000)
        elif label_rules.today(connection, rule.name, now * 1000).labelled >= rule.quota:
            label_rules.count(connection, rule.name, now * 1000, over=True)
            self._say_full(rule, now)
            return
        else:
            wanted = Wanted(
                labeler, declared.did, uri, cid, add=(rule.value,), exp=now + rule.lasts if rule.lasts else None,
                actor=RULE_ACTOR + rule.name, role="automation", community=_community(rule, case), reason=fit.why,
                rule=rule.name,
            )  # fmt: skip
            try:
                say(connection, declared, wanted, now)
            except LabelRefusedError as error:  # a subject that no label can have
                log.warning("the rule %s cannot label %s: %s", rule.name, uri, error)
                return
            label_rules.count(connection, rule.name, now * 1000, labelled=True)
        label_rules.keep_sample(connection, rule.name, now * 1000, uri, fit.why)

    def _say_full(self, rule: Rule, now: int) -> None:
        day = now * 1000 // label_rules.DAY
        if (rule.name, day) not in self._full:
            self._full = {one for one in self._full if one[1] == day} | {(rule.name, day)}
            log.warning(
                "the rule %s has issued its %d labels of today and stops until midnight UTC; raise its quota in"
                " labels.toml, or take back what it did: communities label retract --rule %s",
                rule.name, rule.quota, rule.name,
            )  # fmt: skip


def _community(rule: Rule, case: Case) -> int:
    """For which community a rule labels: one of its own that has the post; 0: for the site."""
    return min((case.slugs[slug] for slug in rule.communities if slug in case.slugs), default=0)
