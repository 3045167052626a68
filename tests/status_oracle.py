"""queryStatuses told in the simplest way: which statuses of a history parameters ask for, and in which order."""

from hashlib import blake2b
from typing import Any

from hypothesis import strategies as st

from models.mod_events import SubjectKey
from tests.didnet import plc
from tests.feed_site import iso
from tests.ozone_history import KEYS, LIST, MODERATORS, POST, STATES, History, Person, Standing

SORTS = ("lastReviewedAt", "lastReportedAt", "reportedRecordsCount", "takendownRecordsCount", "priorityScore")
TIMES = {
    "reported": lambda status: status.reported_at,
    "reviewed": lambda status: status.reviewed_at,
    "hostingDeleted": lambda status: status.hosting.deleted_at,
    "hostingUpdated": lambda status: status.hosting.changed_at,
}


def some(*values: str, most: int = 2) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)


SUBJECTS = tuple(key.uri for key in KEYS if not key.convo)
TAGGED = ("vip", "lang:en", "vip && lang:en", "vip&&x y", "community:python", "community:rust&&vip", "community:none",
          "community:python&&community:rust", "&&", "nothing")  # fmt: skip
PARAMS: dict[str, st.SearchStrategy[Any]] = {
    "queueCount": st.integers(0, 4),
    "queueIndex": st.integers(0, 4),
    "queueSeed": st.sampled_from(("", "a", "b")),
    "includeAllUserRecords": st.booleans(),
    "subject": st.sampled_from((*SUBJECTS, plc(9), f"at://{plc(1)}")),
    "comment": st.sampled_from(("look", "LOOK||50%", "STRASSE || été", "_", "||")),
    **{f"{name}{end}": st.integers(0, 399) for name in TIMES for end in ("After", "Before")},
    "hostingStatuses": some("deleted", "deactivated", "unknown", "x"),
    "includeMuted": st.booleans(),
    "onlyMuted": st.booleans(),
    "reviewState": st.sampled_from((*STATES.values(), "x")),
    "ignoreSubjects": some(*SUBJECTS),
    "lastReviewedBy": st.sampled_from((*MODERATORS, plc(9))),
    "sortField": st.sampled_from(SORTS),
    "sortDirection": st.sampled_from(("asc", "desc")),
    "takendown": st.booleans(),
    "appealed": st.booleans(),
    "tags": some(*TAGGED),
    "excludeTags": some("vip", "lang:en", "community:python", "community:none"),
    "collections": some(POST, LIST, "app.bsky.feed"),
    "subjectType": st.sampled_from(("account", "record", "conversation", "message")),
    "minAccountSuspendCount": st.integers(0, 2),
    "minReportedRecordsCount": st.integers(0, 3),
    "minTakendownRecordsCount": st.integers(0, 2),
    "minPriorityScore": st.sampled_from((0, 5, 6, 100)),
    "minStrikeCount": st.integers(1, 4),
    "ageAssuranceState": st.sampled_from(("pending", "x")),
}


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """A few parameters; muted subjects are often included, or there would be little to find."""
    names = draw(st.lists(st.sampled_from(sorted(PARAMS)), max_size=4, unique=True))
    order = {"sortField": draw(PARAMS["sortField"])} if draw(st.booleans()) else {}
    return order | {name: draw(PARAMS[name]) for name in names}


def timed(past: History, params: dict[str, Any]) -> dict[str, Any]:
    """The same, with times in the place of the numbers of events."""
    names = [name for name in params if name.removesuffix("After").removesuffix("Before") in TIMES]
    return params | {name: iso(past.entries[params[name]].event.at) for name in names}


def key_of(text: str) -> SubjectKey:
    return SubjectKey(*text.removeprefix("at://").split("/", 1))


def tagged(past: History, person: Person, one: Standing, tags: list[str]) -> bool:
    """Whether a status has all of these tags, as it is shown to somebody."""
    slug = next((name for name in ("python", "rust") if past.scopes[name] == one.scope and name in person.sees), "")
    shown = {*one.status.tags, *([f"community:{slug}"] if slug else [])}
    wanted = [tag.strip() for tag in tags if tag.strip()]
    return bool(wanted) and shown >= set(wanted)


def in_time(past: History, params: dict[str, Any], one: Standing) -> bool:
    for name, time in TIMES.items():
        at = time(one.status)
        for end in ("After", "Before"):
            if f"{name}{end}" in params:
                limit = past.entries[params[f"{name}{end}"]].event.at
                if at is None or not (at > limit if end == "After" else at < limit):
                    return False
    return True


def in_queue(params: dict[str, Any], did: str) -> bool:
    count, index = params.get("queueCount"), params.get("queueIndex")
    if not count or index is None or "subject" in params:
        return True
    seed = params.get("queueSeed", "")
    return int(blake2b((seed + did).encode(), digest_size=8).hexdigest(), 16) % int(count) == index


def matches(past: History, person: Person, params: dict[str, Any], one: Standing) -> bool:
    """Whether a status is asked for, parameter by parameter."""
    status, key, now = one.status, one.key, past.place.place.clock.micros()
    muted, unheard = (status.mute_until or 0) > now, (status.mute_reporting_until or 0) > now
    words = [word.strip().casefold() for word in params.get("comment", "").split("||")]
    about = key_of(params["subject"]) if "subject" in params else None
    kind = "conversation" if key.convo else "record" if key.path else "account"
    records = past.account(one.scope, key.did)
    account = past.standings.get((one.scope, key.account))
    ignored = [key_of(text) for text in params.get("ignoreSubjects", ())]
    strikes = sum(count for scope, did, count in past.strikes if (scope, did) == (one.scope, key.did))
    return all(
        (
            in_queue(params, key.did),
            about is None or (key.did == about.did if params.get("includeAllUserRecords") else key == about),
            not any(words) or any(word in status.comment.casefold() for word in words if word),
            in_time(past, params, one),
            "hostingStatuses" not in params or status.hosting.status in params["hostingStatuses"],
            (muted or unheard) if params.get("onlyMuted") else (params.get("includeMuted") or not muted),
            params.get("reviewState", STATES[status.state]) == STATES[status.state],
            not any(key == other or (not other.path and key.did == other.did) for other in ignored),
            params.get("lastReviewedBy", status.reviewed_by) == status.reviewed_by,
            not params.get("takendown") or status.takendown,
            "appealed" not in params or (status.appealed is True if params["appealed"] else status.appealed is None),
            "tags" not in params or any(tagged(past, person, one, item.split("&&")) for item in params["tags"]),
            not any(tagged(past, person, one, [tag]) for tag in params.get("excludeTags", ())),
            "collections" not in params
            or params.get("subjectType") == "account"
            or key.path.split("/")[0] in params["collections"],
            about is not None or params.get("subjectType", kind) == kind,
            (account.status.suspensions if account else 0) >= params.get("minAccountSuspendCount", 0),
            sum(other.status.reports > 0 for other in records) >= params.get("minReportedRecordsCount", 0),
            sum(other.status.takendown for other in records) >= params.get("minTakendownRecordsCount", 0),
            status.priority >= params.get("minPriorityScore", 0),
            strikes >= params.get("minStrikeCount", 0),
            "ageAssuranceState" not in params,
        )
    )


def value(past: History, field: str, one: Standing) -> int | None:
    """What a status is ordered by."""
    records = past.account(one.scope, one.key.did)
    if field == "reportedRecordsCount":
        return sum(other.status.reports > 0 for other in records) if records else None
    if field == "takendownRecordsCount":
        return sum(other.status.takendown for other in records) if records else None
    status = one.status
    return {"lastReportedAt": status.reported_at, "lastReviewedAt": status.reviewed_at}.get(field, status.priority)


def expected(past: History, person: Person, params: dict[str, Any]) -> list[int]:
    seen = {past.scopes[name] for name in person.sees}
    every = [one for one in past.standings.values() if one.scope in seen and matches(past, person, params, one)]
    field, down = params.get("sortField", "lastReportedAt"), params.get("sortDirection", "desc") == "desc"
    by_account = field.endswith("RecordsCount")
    valued = [(value(past, field, one), one.key.did if by_account else "", one.id) for one in every]
    first = sorted([one for one in valued if one[0] is not None], reverse=down)
    return [one[2] for one in (*first, *sorted([(0, "", one[2]) for one in valued if one[0] is None], reverse=down))]
