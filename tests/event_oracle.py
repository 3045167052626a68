"""queryEvents told in the simplest way: which events of a history parameters ask for, and in which order."""

from typing import Any

from hypothesis import strategies as st

from communities.mod_event import Kind
from models.mod_events import SubjectKey
from tests.didnet import plc
from tests.feed_site import iso
from tests.label_scene import LABELER, OTHER
from tests.ozone_history import (
    KEYS,
    LABELS,
    LIST,
    MODERATORS,
    POLICIES,
    POST,
    REPORTERS,
    RUDE,
    SPAM,
    TAGS,
    TOOLS,
    Entry,
    History,
    Person,
)  # fmt: skip

DEFS = "tools.ozone.moderation.defs#"


def some(*values: str, most: int = 2) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)


SUBJECTS = (*(key.uri for key in KEYS if not key.convo), plc(9), f"at://{plc(1)}", f"at://{plc(1)}/{POST}/none")
PARAMS: dict[str, st.SearchStrategy[Any]] = {
    "types": some(*(DEFS + kind for kind in Kind), f"{DEFS}modEventDivert", "x", most=5),
    "createdBy": st.sampled_from((*MODERATORS, *REPORTERS, LABELER, OTHER, plc(9))),
    "sortDirection": st.sampled_from(("asc", "desc")),
    "createdAfter": st.integers(0, 259),
    "createdBefore": st.integers(0, 259),
    "subject": st.sampled_from(SUBJECTS),
    "includeAllUserRecords": st.booleans(),
    "collections": some(POST, LIST, "app.bsky.feed"),
    "subjectType": st.sampled_from(("account", "record", "conversation", "message")),
    "hasComment": st.booleans(),
    "comment": st.sampled_from(("look", "LOOK||50%", "STRASSE || été", "_", "||", "%", "é||")),
    "addedLabels": some(*LABELS, "x"),
    "removedLabels": some(*LABELS),
    "addedTags": some(*TAGS),
    "removedTags": some(TAGS[0], "x"),
    "reportTypes": some(SPAM, RUDE, "x"),
    "policies": some(*POLICIES, "p"),
    "modTool": some(*TOOLS, "rule:greens", "cli", "x"),
    "batchId": st.sampled_from(("b1", "b2", "x")),
    "withStrike": st.booleans(),
    "ageAssuranceState": st.sampled_from(("pending", "x")),
}


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """A few parameters."""
    names = draw(st.lists(st.sampled_from(sorted(PARAMS)), max_size=4, unique=True))
    return {name: draw(PARAMS[name]) for name in names}


def timed(past: History, params: dict[str, Any]) -> dict[str, Any]:
    """The same, with times in the place of the numbers of events."""
    times = ("createdAfter", "createdBefore")
    return params | {name: iso(past.entries[params[name]].event.at) for name in times if name in params}


def matches(past: History, aud: str, params: dict[str, Any], one: Entry) -> bool:
    """Whether an event is asked for, parameter by parameter."""
    event, key = one.event, one.key
    named = event.tool or ("" if event.actor.startswith("did:") else event.actor)
    values = set(event.values())
    words = [word.strip().casefold() for word in params.get("comment", "").split("||")]
    about = params.get("subject", "")
    wanted = SubjectKey(*about.removeprefix("at://").split("/", 1)) if about else None
    whole = params.get("includeAllUserRecords")
    kind = "conversation" if key.convo else "record" if key.path else "account"

    def all_of(name: str, sign: str) -> bool:
        return all((sign, value) in values for value in params.get(name, ()))

    def any_of(name: str, sign: str) -> bool:
        return name not in params or any((sign, value) in values for value in params[name])

    return all(
        (
            "types" not in params or DEFS + event.kind in params["types"],
            "createdBy" not in params or params["createdBy"] == (event.actor if event.actor[:4] == "did:" else aud),
            "createdAfter" not in params or event.at > past.entries[params["createdAfter"]].event.at,
            "createdBefore" not in params or event.at < past.entries[params["createdBefore"]].event.at,
            wanted is None or (key.did == wanted.did if whole else key == wanted),
            wanted is not None or params.get("subjectType", kind) == kind,
            "collections" not in params
            or params.get("subjectType") == "account"
            or key.path.split("/")[0] in params["collections"],
            not params.get("hasComment") or event.comment != "",
            not any(words) or any(word in event.comment.casefold() for word in words if word),
            all_of("addedLabels", "+label") and all_of("removedLabels", "-label"),
            all_of("addedTags", "+tag") and all_of("removedTags", "-tag"),
            any_of("reportTypes", "report") and any_of("policies", "policy"),
            "modTool" not in params or named in params["modTool"],
            params.get("batchId", event.batch) == event.batch,
            not params.get("withStrike") or "strikeCount" in event.said,
            "ageAssuranceState" not in params,
        )
    )


def expected(past: History, person: Person, params: dict[str, Any]) -> list[int]:
    seen = {past.scopes[name] for name in person.sees}
    entries = [one for one in past.entries if one.scope in seen and matches(past, person.aud, params, one)]
    found = [one.id for one in sorted(entries, key=lambda one: (one.event.at, one.id))]
    return found if params.get("sortDirection") == "asc" else found[::-1]
