"""An event of moderation that is to be undone, with what is known of its subject."""

from typing import Any, NamedTuple

from communities.casebook import append
from communities.deeds import Deed
from communities.effects import Past
from communities.mod_event import Kind, ModEvent
from labeler.hand import Hand
from models.database import Connection
from models.mod_events import SubjectKey

NOTHING, SINCE, SAME = "NothingToUndo", "DecidedSince", "NoChange"
"""Why an event is left alone: it did nothing that is undone; something else was decided since; it is so already."""


class Case(NamedTuple):
    """An event and what is known of its subject. `labeler`, `uri` of what it labelled are those of `label_event`."""

    connection: Connection
    hand: Hand
    scope: int
    key: SubjectKey
    subject: int
    past: list[Past]
    number: int
    event: ModEvent

    @property
    def deed(self) -> Deed:
        """What every event says that undoes it."""
        return Deed(comment=self.hand.reason, cid=self.event.cid, batch=self.hand.batch, undoes=self.number)

    def append(self, kind: Kind, said: dict[str, Any], comment: str | None = None, **more: Any) -> None:
        """An event that undoes it, and does nothing but to be there."""
        hand = self.hand
        event = ModEvent(
            kind, hand.now, hand.actor, hand.role(self.connection, self.scope),
            comment=hand.reason if comment is None else comment, said=said, cid=self.event.cid, batch=hand.batch,
            undoes=self.number, **more,
        )  # fmt: skip
        append(self.connection, self.scope, self.key, event)

    @property
    def strikes(self) -> dict[str, Any]:
        """The strikes that the event gave or took: what undoes it takes or gives them."""
        return {name: self.event.said[name] for name in ("strikeCount", "strikeExpiresAt") if name in self.event.said}
