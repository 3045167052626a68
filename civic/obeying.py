"""Does what moderators have commanded by posts, one at a time: the same decisions with the same permission as by any
other door, in one transaction with what is noted of the command.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from playhouse.apsw_ext import APSWDatabase

from civic.town import TownWatch
from communities.access import Role, Site, Standing
from communities.commands import LABELS, RECENT, Command, Word, read_command
from communities.community import Community
from communities.deeds import Deed
from communities.directory import Places, Settings
from communities.members import standing_of
from communities.membership import OTHERS, RefusedError
from communities.person_decisions import PersonDecision, decide_person
from communities.post_decisions import PostDecision, decide_post
from communities.refs import PostRef, read_cid, read_post_uri
from labeler.for_communities import Wish, label
from labeler.issue import LabelRefusedError
from labeler.permission import NotAllowedError
from labeler.takedowns import giving_back
from labeler.vocabulary import Declared
from models import commands, tokens
from models import communities as community_rows
from models.commands import DONE, REFUSED, CommandRow
from models.database import MACHINE_FAULTS, Connection, DatabaseError, sql, writing

log = logging.getLogger(__name__)

TOOL = "command"
"""The program of the events that come of commands; its `meta.command` is the at-uri of the post."""
_FAULT_OF_OURS = "A fault of this service kept it from being done: decide in another way, and tell the operator."
_NO_TARGET = "It answers and quotes no post: write it as an answer to the post that is meant."


class Became(NamedTuple):
    """What was done, in a sentence; `decision`: its number in the log, if it is in there."""

    outcome: str
    decision: int | None = None


class Obeying:
    """Everything is on the caller's one thread."""

    def __init__(
        self,
        database: APSWDatabase,
        labelers: Callable[[], Sequence[Declared]],
        site: Mapping[str, Site],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`labelers`: those that the service is, asked for at each use; `clock`: seconds."""
        self._database = database
        self._labelers = labelers
        self._site = site
        self._clock = clock
        self._watch = TownWatch()

    def step(self) -> bool:
        """Do the first that waits; False: none does. Raises faults of the machine: then nothing was done."""
        if commands.waiting(sql(self._database)) is None:
            return False
        now = int(self._clock() * 1_000_000)
        try:
            with writing(self._database) as connection:
                row = commands.waiting(connection)
                if row is not None:
                    commands.settle(connection, self._settled(connection, row, now))
        except (DatabaseError, *MACHINE_FAULTS):
            raise
        except Exception:
            log.exception("a command could not be done")
            with writing(self._database) as connection:
                # The one that it was: only this thread takes commands from the queue.
                if (row := commands.waiting(connection)) is not None:
                    failed = row._replace(state=REFUSED, fault="InternalError", outcome=_FAULT_OF_OURS, done_at=now)
                    commands.settle(connection, failed)
        return True

    def _settled(self, connection: Connection, row: CommandRow, now: int) -> CommandRow:
        """Do it, or nothing of it; returns what became of it."""
        try:
            with self._database.atomic():
                became = self._obey(connection, row, now)
        except (RefusedError, NotAllowedError) as refused:
            return row._replace(state=REFUSED, fault=refused.name, outcome=str(refused), done_at=now)
        except LabelRefusedError as refused:
            return row._replace(state=REFUSED, fault="InvalidCommand", outcome=str(refused), done_at=now)
        return row._replace(state=DONE, outcome=became.outcome, decision=became.decision, done_at=now)

    def _obey(self, connection: Connection, row: CommandRow, now: int) -> Became:
        places = self._watch.look(connection, now).places
        settings = places.get(row.community)
        if settings is None:
            raise RefusedError("CommunityNotFound", "There is no such community here any more.")
        if now - row.at > RECENT:
            raise RefusedError(
                "TooLate", "It could not be done within ten minutes: write it again if it is still meant."
            )
        if not tokens.is_shown(connection, row.actor):
            raise RefusedError("AccountInactive", "Your account is not active.")
        declared = Community.from_json(community_rows.rule(connection, settings.id))
        command = read_command(row.text, [rule.name for rule in declared.rules])

        def stands(did: str) -> Standing:
            return standing_of(connection, places, settings, did, now, self._site)

        _check_taken(declared, command.word, stands(row.actor))
        post, cid = read_post_uri(row.target), read_cid(row.target_cid)
        if post is None or cid is None:
            raise RefusedError("NoTarget", _NO_TARGET)
        deed = Deed(tool=TOOL, tool_meta={"command": row.uri})
        if command.word in LABELS:
            return self._label(connection, settings, stands, row, command, deed, now)
        return _decide(connection, places, settings, row.actor, command, post, cid, deed, now, self._site)

    def _label(
        self, connection: Connection, settings: Settings, stands: Callable[[str], Standing], row: CommandRow,
        command: Command, deed: Deed, now: int,
    ) -> Became:  # fmt: skip
        add, remove = (command.values, ()) if command.word is Word.LABEL else ((), command.values)
        wish = Wish(row.actor, row.target, row.target_cid, add=add, remove=remove)
        granted = label(connection, self._labelers(), settings, stands, wish, now, deed)
        done = ", ".join((*granted.done.added, *(f"no {val}" for val in granted.done.removed)))
        told = [f"Labelled: {done}."] if done else []
        if granted.waiting:
            told.append(f"Until another moderator wants the same, this waits: {', '.join(granted.waiting)}.")
        return Became(" ".join(told))


def _check_taken(declared: Community, word: Word, who: Standing) -> None:
    """Whether the community takes the command, from somebody who stands to it so."""
    if word in declared.admin_commands:
        if not (who.above or who.site is Site.ADMIN or (who.joined and who.role is Role.ADMIN)):
            raise RefusedError("NotPermitted", f"Only admins command {word} here.")
    elif word not in declared.commands:
        taken = ", ".join(one for one in Word if one in {*declared.commands, *declared.admin_commands})
        raise RefusedError("CommandNotTaken", f"This community takes no {word}; it takes {taken or 'no commands'}.")


def _decide(
    connection: Connection, places: Places, settings: Settings, actor: str, command: Command, post: PostRef, cid: bytes,
    deed: Deed, now: int, site: Mapping[str, Site],
) -> Became:  # fmt: skip
    action, reason, rule = command.action, command.reason or None, command.rule
    subject = post.did if action in OTHERS else post.uri
    label = giving_back(connection, places, settings, actor, action, subject, now, site)
    deed = replace(deed, label_event=label)
    if command.word in (Word.BAN, Word.UNBAN):
        until = None if command.lasts is None else now + command.lasts
        person = PersonDecision(action, post.did, reason, rule, until)
        done = decide_person(connection, places, settings, actor, person, now, site, deed)
    else:
        decision = PostDecision(action, post, cid, reason, rule)
        done = decide_post(connection, places, settings, actor, decision, now, site, deed)
    by = f" by {rule}" if rule else ""
    return Became(f"Done: {action}{by}, number {done.entry.seq} of the log.", done.entry.seq)
