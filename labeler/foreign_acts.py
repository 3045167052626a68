"""What is done here because other labelers say something of a post or its author: it is taken out of communities, waits
for their moderators, or our own labeler says so too. When they take it back, so is what was done.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from communities import automatic
from communities.directory import Settings
from communities.refs import PostRef, cid_text, read_post_uri
from communities.stored import StoredPost, find_post
from labeler.issue import LabelRefusedError, Wanted
from labeler.permission import RULE_ACTOR
from labeler.retract import Selection, retract
from labeler.rule_match import Case
from labeler.rules import Input
from labeler.saying import say
from labeler.standing import active
from labeler.vocabulary import Declared
from models import foreign_labels, label_rules
from models import labelers as labeler_rows
from models.database import Connection
from models.foreign_labels import Act, ForeignLabel
from models.label_rules import DuePost

log = logging.getLogger(__name__)

HIDE, QUEUE, ADOPT = "hide", "queue", "adopt"
UNDONE = -1
"""The number of what a person has undone as a whole: it is not done again."""
_ROLE = "automation"


class Acts:
    """What the inputs of `labels.toml` ask for. Call its functions inside a write; times are milliseconds."""

    def __init__(self, labelers: Mapping[str, Declared], inputs: Sequence[Input]) -> None:
        self.inputs = {one.did: one for one in inputs}
        self._labelers = labelers
        self._full: set[tuple[str, int]] = set()

    def apply(self, connection: Connection, case: Case, post: DuePost, now: int) -> None:
        """Do what is asked for about a stored post, by what others say of it and its author now."""
        if not self.inputs:
            return
        version = cid_text(post.cid)
        for label in foreign_labels.about(connection, (case.did, case.uri), now):
            source = self.inputs.get(label.src)
            if source is None or label.cid not in ("", version):
                continue
            ref = PostRef(post.did, post.rkey)
            for slug, community in case.slugs.items():
                if source.communities and slug not in source.communities:
                    continue
                if label.val in source.hide:
                    self._once(connection, source, label, HIDE, Settings(community, slug), ref, now)
                if label.val in source.queue:
                    self._once(connection, source, label, QUEUE, Settings(community, slug), ref, now)
            if label.val in source.adopt and (not source.communities or not source.communities.isdisjoint(case.slugs)):
                self._adopt(connection, source, label, now)

    def _once(
        self, connection: Connection, source: Input, label: ForeignLabel, kind: str, settings: Settings, ref: PostRef,
        now: int,
    ) -> None:  # fmt: skip
        act = Act(label.src, label.uri, label.val, kind, settings.id, ref.uri, 0)
        stored = find_post(connection, ref)
        if stored is None or foreign_labels.is_noted(connection, act) or not self._may(connection, source, now):
            return
        number: int | None = 0
        if kind == HIDE:
            reason = f"label {label.val} of {label.src}"
            event = automatic.remove(connection, settings, ref, stored, source.did, reason, now * 1000)
            number = event.seq if event else None
        elif not automatic.let_wait(connection, settings, ref, stored, _reason_type(label), now * 1000):
            number = None
        if number is not None:
            foreign_labels.note(connection, act._replace(number=number))
            self._did(connection, source, label, ref.uri, now)

    def _adopt(self, connection: Connection, source: Input, label: ForeignLabel, now: int) -> None:
        declared = self._labelers[source.labeler]
        labeler, val = labeler_rows.enter(connection, declared.did), source.adopt[label.val]
        act = Act(label.src, label.uri, label.val, ADOPT, 0, label.uri, 0)
        if (
            foreign_labels.is_noted(connection, act)
            or label_rules.was_overruled(connection, labeler, label.uri, label.cid, val)
            or any(one.val == val for one in active(connection, labeler, label.uri, now, label.cid or None))
            or not self._may(connection, source, now)
        ):
            return
        wanted = Wanted(
            labeler, declared.did, label.uri, label.cid, add=(val,), exp=label.exp, actor=RULE_ACTOR + source.rule,
            role=_ROLE, reason=f"label {label.val} of {label.src}", rule=source.rule,
        )  # fmt: skip
        try:
            done = say(connection, declared, wanted, now).issued
        except LabelRefusedError as error:
            log.warning("a label of %s for %s cannot be adopted: %s", label.src, label.uri, error)
            return
        foreign_labels.note(connection, act._replace(number=done.event or 0))
        self._did(connection, source, label, label.uri, now)

    def _did(self, connection: Connection, source: Input, label: ForeignLabel, subject: str, now: int) -> None:
        label_rules.count(connection, source.rule, now * 1000, labelled=True)
        label_rules.keep_sample(connection, source.rule, now * 1000, subject, f"label {label.val} of {label.uri}")

    def _may(self, connection: Connection, source: Input, now: int) -> bool:
        """Whether an input may do anything more today."""
        if label_rules.today(connection, source.rule, now * 1000).labelled < source.quota:
            return True
        label_rules.count(connection, source.rule, now * 1000, over=True)
        day = now * 1000 // label_rules.DAY
        if (source.did, day) not in self._full:
            self._full = {one for one in self._full if one[1] == day} | {(source.did, day)}
            log.warning(
                "the input %s has done its %d acts of today and stops until midnight UTC", source.did, source.quota
            )
        return False

    def store(self, connection: Connection, labels: Iterable[ForeignLabel], most_posts: int, now: int) -> int:
        """Keep what a labeler says of what is known here, and have that looked at; how many were news."""
        news = 0
        for label in labels:
            if not foreign_labels.put(connection, label):
                continue
            news += 1
            if label.neg:
                self.undo(connection, label, now)
            elif ref := read_post_uri(label.uri):
                label_rules.look_at_post(connection, ref.did, ref.rkey)
            else:
                label_rules.look_at_posts_of(connection, label.uri, most_posts)
        return news

    def undo(self, connection: Connection, label: ForeignLabel, now: int) -> None:
        """Take back what was done because of a label that does not hold any more."""
        if foreign_labels.holds(connection, label.src, label.uri, label.val, now):
            return
        for act in foreign_labels.acts(connection, label.src, label.uri, label.val):
            take_back(connection, act, RULE_ACTOR + f"input {act.src}", now, "it was taken back by its labeler")
            foreign_labels.forget(connection, act)

    def end_expired(self, connection: Connection, now: int, limit: int = 100) -> int:
        """What others have said for a time that is over, is as if they had taken it back; how many."""
        found = foreign_labels.expired(connection, now, limit)
        for label in found:
            foreign_labels.end(connection, label)
            self.undo(connection, label, now)
        return len(found)


def take_back(connection: Connection, act: Act, actor: str, now: int, reason: str) -> bool:
    """Undo one thing, as far as nobody has decided otherwise since; whether anything was. Call inside a write."""
    if act.act == ADOPT:
        row = connection.execute("SELECT labeler FROM label_event WHERE id = ?", (act.number,)).fetchone()
        if row is None:
            return False
        selection = Selection(event=act.number)
        return retract(connection, row[0], selection, actor, _ROLE, now, reason=reason).labels > 0
    ref = read_post_uri(act.subject)
    post = find_post(connection, ref) if ref else None
    slug = connection.execute("SELECT slug FROM community WHERE id = ?", (act.community,)).fetchone()
    if ref is None or post is None or slug is None:
        return False
    settings = Settings(act.community, slug[0])
    if act.act == HIDE:
        said = f"label {act.val} of {act.src}: {reason}"
        return automatic.give_back(connection, settings, ref, post, act.src, said, act.number, now * 1000) is not None
    return _wait_no_longer(connection, settings, post, act)


def _wait_no_longer(connection: Connection, settings: Settings, post: StoredPost, act: Act) -> bool:
    """Take a post out of the queue where it waits for nothing else."""
    return bool(
        connection.execute(
            "DELETE FROM flag WHERE community = ? AND post = ? AND reports = 1 AND reason_type = ? RETURNING 1",
            (settings.id, post.id, _reason_type(act)),
        ).fetchall()
    )


def _reason_type(label: ForeignLabel | Act) -> str:
    """What stands in the queue where readers' reasons do: `communities.reports.reason_name` shows the end of it."""
    return f"{label.src}#reasonLabelled {label.val}"


def take_back_all(connection: Connection, src: str, actor: str, now: int, limit: int) -> tuple[int, int]:
    """Undo what was done to posts because of a labeler, for good; how many were looked at, and undone. In pieces: until
    none is left.
    """
    rows = connection.execute(
        "SELECT src, uri, val, act, community, subject, number FROM foreign_act WHERE src = ? AND number != ?"
        " AND act != ? LIMIT ?",
        (src, UNDONE, ADOPT, limit),
    ).fetchall()
    undone = 0
    for row in rows:
        act = Act._make(row)
        undone += take_back(connection, act, actor, now, "taken back by the operator")
        foreign_labels.forget(connection, act)
        foreign_labels.note(connection, act._replace(number=UNDONE))
    return len(rows), undone
