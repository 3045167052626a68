"""S61: whatever is sent to the moderation API, the answer is JSON and no fault of ours. More than 10,000 calls."""

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from communities.mod_event import Kind
from communities.reasons import LEGACY
from communities.report_state import Act
from lexicons.catalog import moderation_documents
from models.mod_events import SERVICE
from ozone.all_methods import PROCEDURES, QUERIES
from ozone.report_views import DEFS as REPORT
from ozone.roles import Role
from ozone.setting_rules import POLICIES, PROTECTED
from tests.civic_reports import about, report
from tests.didnet import plc
from tests.label_scene import LABELER
from tests.ozone_history import History
from tests.ozone_reports import made as report_of
from tests.ozone_site import NSID, Desk, unlimited

DEFS = {document["id"]: document["defs"] for document in moderation_documents()}
MAIN = {nsid.removeprefix(NSID): defs.get("main", {}) for nsid, defs in DEFS.items()}
TEXTS = (
    "", "a.b.c", POLICIES, PROTECTED, "instance", "personal", plc(1), "did:web:a.example", "did:web:x", "did:key:z",
    "\0", "%", "_", *(role.token for role in Role), "é" * 100, "x" * 9000, "0", "-1", "true", "null", "\u202e",
    "' OR 1=1 --", "1", "100", "asc", "lastReviewedAt", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z", f"at://{plc(1)}/app.bsky.feed.post/3k", f"at://{plc(1)}", "at://a.example/x.y.z/1",
    "community:python", "community:", "&&", "||", "a&&community:rust", "vip", "app.bsky.feed.post", "account",
    "tools.ozone.moderation.defs#modEventReport", "tools.ozone.moderation.defs#reviewOpen",
)  # fmt: skip
NUMBERS = ("queueId", "migrateToQueueId", "reportId", "startReportId", "endReportId")
REASONS = [f"{LEGACY}{name}" for name in ("Spam", "Rude", "Sexual", "Other")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with unlimited(tmp_path_factory.mktemp("fuzz")) as found:
        for reason in REASONS * 2:
            assert report(found.place, found.place.person(), plc(5), reason, to=LABELER).status == 200
        past, choose = History(found, {"python": found.place.id("python"), "service": SERVICE}), random.Random(7)
        for _ in range(60):
            past.anything(choose)
        yield found


def value(choose: random.Random, depth: int = 4) -> Any:
    """Anything that JSON can say; most of it is a text that means something somewhere."""
    kind = choose.randrange(12)
    if kind < 6 or not depth:
        return choose.choice(TEXTS)
    if kind == 6:
        return choose.choice((0, -1, 1 << 62, 1 << 70, 1.5, True, False, None))
    if kind < 9:
        return [value(choose, depth - 1) for _ in range(choose.randrange(4))]
    names = ("name", "description", "severityLevels", "isDefault", "roles", "moderators", "$type", "$link", "x")
    return {choose.choice(names): value(choose, depth - 1) for _ in range(4)}


def fields_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a body, also where its lexicon only refers to them."""
    if schema["type"] == "ref":
        nsid, _, name = schema["ref"].partition("#")
        schema = DEFS[nsid][name]
    found: dict[str, Any] = schema["properties"]
    return found


def event(choose: random.Random) -> dict[str, Any]:
    """An event of some kind, with what it needs, or nearly."""
    said: dict[str, Any] = {
        "comment": choose.choice(TEXTS),
        "createLabelVals": choose.sample(("spam", "!warn", "x", "spoiler"), 1),
        "negateLabelVals": choose.sample(("spam", "gore", "spoiler"), choose.randrange(2)),
        "add": choose.sample(("vip", "feed-removed:python", "community:rust", "needs-second:spam"), 1),
        "remove": choose.sample(("vip", "x"), choose.randrange(2)),
        "durationInHours": choose.choice((0, 1, 24, -1, 1 << 40)),
        "reportType": choose.choice(REASONS),
        "score": choose.choice((0, 50, 101)),
        "acknowledgeAccountSubjects": choose.random() < 0.5,
        "policies": choose.sample(TEXTS, 2),
        "strikeCount": choose.choice((1, -1)),
        "subjectLine": "x",
        "active": True,
        "op": choose.choice(("delete", "x")),
        "timestamp": "2026-01-01T00:00:00Z",
        "sticky": choose.random() < 0.5,
    }
    kept = {
        name: one if choose.random() < 0.95 else value(choose) for name, one in said.items() if choose.random() < 0.9
    }
    return {"$type": f"tools.ozone.moderation.defs#{choose.choice([*Kind, 'modEventDivert', 'x'])}", **kept}


@pytest.mark.parametrize("seed", range(8))
def test_s61_no_call_is_a_fault_of_ours(place: Desk, seed: int) -> None:
    choose = random.Random(seed)
    reports = [report_of(place, plc(5)), report_of(place, place.place.writer.post(1)), 0, 1 << 40]
    people = [place.staff(), place.member(Role.TRIAGE), place.place.moderator("python"), place.place.person()]
    posts = [place.place.writer.post(1) for _ in range(3)]
    done = set()
    for _ in range(32):
        for procedure in PROCEDURES:
            fields = fields_of(MAIN[procedure.name]["input"]["schema"])
            made = {field: value(choose) for field in fields if choose.random() < 0.9}
            if choose.random() < 0.7:
                good = {
                    "key": choose.choice((POLICIES, PROTECTED, "a.b.c")),
                    "scope": "personal",
                    **dict.fromkeys(("did", "createdBy", "updatedBy"), plc(9)),
                    "role": TEXTS[11],
                    "name": choose.choice(("instance", "personal")),
                    "values": choose.sample(TEXTS[:12], 3),
                    "id": str(choose.randrange(1, 9)),
                    **{name: choose.choice(TEXTS) for name in ("subject", "contentMarkdown")},
                    "lang": "pt-BR",
                    **{name: choose.random() < 0.5 for name in ("disabled", "enabled", "isPermanent", "isAutomated")},
                    **{name: choose.randrange(-1, 9) for name in NUMBERS},
                    "subjectTypes": ["account"],
                    "reportTypes": choose.sample(REASONS, 2),
                    "activity": {"$type": REPORT + choose.choice([*Act, "x"])},
                    "event": event(choose),
                    "reportAction": {"all": choose.random() < 0.5, "ids": choose.sample(reports, 1)},
                    "modTool": {"name": choose.choice(TEXTS), "meta": {"batchId": choose.choice(TEXTS)}},
                }
                if procedure.name == "moderation.emitEvent":
                    good["subject"] = choose.choice(
                        (
                            {"$type": "com.atproto.admin.defs#repoRef", "did": plc(5)},
                            about(place.place, choose.choice(posts)),
                            value(choose),
                        )
                    )
                made |= {name: one for name, one in good.items() if name in fields}
            reply = place.act(procedure.name, choose.choice(people), json.dumps(made).encode())
            assert reply.status < 500, (procedure.name, made, reply.body)
            done.add(reply.status)
        for query in QUERIES:
            names = [*MAIN[query.name].get("parameters", {}).get("properties", {}), "x"]
            pairs = [(choose.choice(names), choose.choice(TEXTS)[:300]) for _ in range(choose.randrange(5))]
            if choose.random() < 0.7:
                numbers = [(name, str(choose.choice(reports))) for name in ("id", "reportId") if name in names]
                pairs = [*(pair for pair in pairs if pair[0] not in ("id", "reportId")), *numbers]
            if "name" in names and choose.random() < 0.7:
                pairs = [*(pair for pair in pairs if pair[0] != "name"), ("name", choose.choice(TEXTS[4:6]))]
            asked = "&".join(f"{name}={quote(text)}" for name, text in pairs)
            sent = f"Bearer {place.token(choose.choice(people), query.name)}"
            reply = place.place.site.ask(asked, sent, method=NSID + query.name)
            assert reply.status < 500 and isinstance(reply.json, dict), (query.name, asked, reply.body)
            done.add(reply.status)
    assert {200, 400, 401} <= done <= {200, 400, 401, 403, 429}
