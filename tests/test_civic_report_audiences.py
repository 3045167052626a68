"""createReport sent to labelers: which tokens are taken for whom, and what a labeler's own record lets be reported."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.reasons import APPEALS, LEGACY, OZONE, PARENTS, REASONS
from communities.taken import ACCOUNT, CHAT, RECORD, Labeler, fault
from tests.civic_posts import a_cid, version
from tests.civic_reports import APPEAL, METHOD, NEW_APPEAL, SPAM, TROLL, Labels, about, reaches, report, taken
from tests.civic_site import AUDIENCE, Town, town
from tests.didnet import plc
from tests.feed_site import SERVICE

FULL, CHESS, SILENT, NARROW, CHATTY = (plc(700 + number) for number in range(5))
LABELERS = (
    Labels(FULL),
    Labels(CHESS, communities=frozenset(("python",))),
    Labels(SILENT, reason_types=frozenset()),
    Labels(
        NARROW,
        reason_types=frozenset((SPAM, f"{OZONE}HarassmentTroll", APPEAL)),
        subject_types=frozenset(("record",)),
        subject_collections=frozenset(("app.bsky.feed.post",)),
    ),
    Labels(CHATTY, subject_types=frozenset(("chat", "account"))),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("audiences"), LABELERS) as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Town]:
    """Where nothing has been reported."""
    with town(tmp_path, LABELERS) as found:
        yield found


# Tokens


@pytest.mark.parametrize("aud", [SERVICE, AUDIENCE, FULL, f"{FULL}#atproto_labeler", CHESS, f"{CHESS}#atproto_labeler"])
def test_s13_the_service_and_each_labeler_are_named_bare_or_by_their_entry(place: Town, aud: str) -> None:
    number = taken(report(place, place.person(), plc(5), to=aud))
    to = place.writer.sql("SELECT labeler FROM report WHERE id = ?", number)[0][0]
    assert to == (aud.partition("#")[0] if aud.startswith("did:plc:") else "")


@pytest.mark.parametrize(
    "aud",
    [
        f"{SERVICE}#atproto_labeler", f"{SERVICE}#bsky_fg", f"{SERVICE}#", f"{FULL}#", f"{FULL}#communities",
        f"{FULL}#atproto_label", f"{FULL}#atproto_labeler#", f"{FULL}#Atproto_Labeler", FULL.upper(), FULL + "a",
        f"{FULL}%23atproto_labeler", plc(799), f"{plc(799)}#atproto_labeler", "#atproto_labeler", "",
    ],
)  # fmt: skip
def test_s14_no_other_name_is_taken(place: Town, aud: str) -> None:
    alice = place.person()
    body = {"reasonType": SPAM, "subject": about(place, plc(5))}
    assert place.act(METHOD, alice, body, place.token(alice, METHOD, aud=aud)).fault == (401, "BadJwtAudience")


def test_s16_an_audience_is_one_text(place: Town) -> None:
    alice, body = place.person(), {"reasonType": SPAM, "subject": about(place, plc(5))}
    for aud in ([FULL], 5, None):
        assert place.act(METHOD, alice, body, place.token(alice, METHOD, aud=aud)).fault == (401, "BadJwt")


@pytest.mark.parametrize("lxm", [None, "com.atproto.moderation.createreport", "com.atproto.moderation", "*"])
def test_s17_a_token_is_for_this_method(place: Town, lxm: str | None) -> None:
    alice, body = place.person(), {"reasonType": SPAM, "subject": about(place, plc(5))}
    sent = place.token(alice, METHOD, aud=FULL, lxm=lxm)
    assert place.act(METHOD, alice, body, sent).fault == (401, "BadJwtLexiconMethod")


@pytest.mark.parametrize(
    ("claims", "error"),
    [({"exp": None}, "BadJwt"), ({"exp": 1}, "JwtExpired"), ({"exp": 1 << 40}, "BadJwt"), ({"jti": ""}, "BadJwt"),
     ({"iss": "did:key:zQ3shcnfWLQN1bY4d2patsEAYFzy4xp1zdckEvHsV7S4ocTnC"}, "BadJwtIss")],
)  # fmt: skip
def test_s18_s27_s35_a_labelers_token_is_judged_as_every_other(place: Town, claims: Any, error: str) -> None:
    alice, body = place.person(), {"reasonType": SPAM, "subject": about(place, plc(5))}
    assert place.act(METHOD, alice, body, place.token(alice, METHOD, aud=FULL, **claims)).fault == (401, error)


def test_s10_no_key_but_the_accounts_own_signs(place: Town) -> None:
    alice, body = place.person(), {"reasonType": SPAM, "subject": about(place, plc(5))}
    claims = {"aud": FULL, "lxm": METHOD, "exp": 4_000_000_000}
    sent = alice.token(claims, {"kid": "#atproto_label"})
    assert place.act(METHOD, alice, body, sent).fault == (401, "BadJwtKeyId")


def test_s23_a_token_for_a_labeler_reports_once(place: Town) -> None:
    alice, body = place.person(), {"reasonType": SPAM, "subject": about(place, plc(5))}
    sent = place.token(alice, METHOD, aud=FULL)
    assert place.act(METHOD, alice, body, sent).status == 200
    assert place.act(METHOD, alice, body, sent).fault == (401, "JwtReplayed")


def test_a_token_for_a_labeler_decides_nothing(place: Town) -> None:
    moderator, uri = place.moderator("python"), place.writer.post(1)
    subject = {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": version(place, uri)}
    body = {"community": "python", "action": "remove", "subject": subject}
    for aud in (FULL, f"{FULL}#atproto_labeler"):
        sent = place.token(moderator, "decide", aud=aud)
        assert place.act("decide", moderator, body, sent).fault == (401, "BadJwtAudience")
    assert uri in place.site.all("python")


def test_a_service_that_is_a_labeler_is_one_where_it_is_named_so_or_bare(tmp_path: Path) -> None:
    with town(tmp_path, (Labels(SERVICE, reason_types=frozenset()),)) as place:
        for aud in (SERVICE, f"{SERVICE}#atproto_labeler"):
            assert report(place, place.person(), plc(5), to=aud).fault == (400, "InvalidRequest")
        taken(report(place, place.person(), plc(5), to=AUDIENCE))
        bob = place.person()
        sent = place.token(bob, "join", aud=SERVICE)
        assert place.act("join", bob, {"community": "python"}, sent).status == 200


# What is taken


def expected(reason_type: str, declared: frozenset[str]) -> bool:
    """The rule in plain words: a declared reason, or a newer one under a declared older one."""
    name = reason_type.partition("#reason")[2]
    if reason_type in declared or reason_type.startswith(LEGACY):
        return reason_type in declared
    for beginning, older in (
        ("Violence", "Violation"), ("ChildSafety", "Violation"), ("Rule", "Violation"), ("SelfHarm", "Violation"),
        ("Sexual", "Sexual"), ("Harassment", "Rude"), ("MisleadingSpam", "Spam"), ("Misleading", "Misleading"),
        ("Appeal", "Appeal"), ("Other", "Other"),
    ):  # fmt: skip
        if name.startswith(beginning):
            return LEGACY + older in declared
    raise AssertionError(reason_type)


ALL = sorted(REASONS | APPEALS)
LEGACIES = [reason for reason in ALL if reason.startswith(LEGACY)]


def test_there_are_47_reasons() -> None:
    assert (len(ALL), len(LEGACIES), len(PARENTS)) == (47, 7, 40)


@pytest.mark.parametrize("reason_type", ALL)
def test_a_reason_is_taken_where_it_or_its_parent_is_declared(reason_type: str) -> None:
    assert fault(None, reason_type, ACCOUNT) is None
    assert fault(Labels(FULL), reason_type, ACCOUNT) is None
    assert fault(Labels(FULL, reason_types=frozenset()), reason_type, ACCOUNT) is not None
    for declared in ALL:
        labeler = Labels(FULL, reason_types=frozenset((declared,)))
        assert (fault(labeler, reason_type, ACCOUNT) is None) == expected(reason_type, frozenset((declared,))), declared


def test_a_protocol_fits_a_declaration() -> None:
    labeler: Labeler = Labels(FULL)
    assert labeler.did == FULL


def test_what_a_labeler_declares_itself_is_taken_and_nothing_else_that_is_unknown() -> None:
    own, other = "org.example.defs#reasonRude", "org.example.defs#reasonOther"
    labeler = Labels(FULL, reason_types=frozenset((own,)))
    assert fault(labeler, own, ACCOUNT) is None
    assert fault(labeler, other, ACCOUNT) and fault(None, own, ACCOUNT) and fault(Labels(FULL), own, ACCOUNT)


@pytest.mark.parametrize("kinds", [None, (), (ACCOUNT,), (RECORD,), (CHAT,), (ACCOUNT, RECORD, CHAT)])
@pytest.mark.parametrize("kind", [ACCOUNT, RECORD, CHAT])
def test_subjects_are_taken_as_they_are_declared(kinds: tuple[str, ...] | None, kind: str) -> None:
    labeler = Labels(FULL, subject_types=None if kinds is None else frozenset(kinds))
    why = fault(labeler, SPAM, kind, "app.bsky.feed.post")
    assert (why is None) == (kind in (("account", "record") if kinds is None else kinds))
    assert why is None or kinds is None or all(name in why for name in kinds)


def test_a_labeler_says_what_it_takes(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    profile = f"at://{plc(1)}/app.bsky.actor.profile/self"
    for what, reason_type, to, word in (
        (uri, SPAM, SILENT, "takes no reports"),
        (uri, f"{LEGACY}Rude", NARROW, SPAM),
        (uri, f"{OZONE}HarassmentOther", NARROW, SPAM),
        (uri, "org.example.defs#reasonX", FULL, LEGACY),
        (plc(5), SPAM, NARROW, "record"),
        (profile, SPAM, NARROW, "app.bsky.feed.post"),
    ):
        reply = report(place, alice, what, reason_type, to=to, **({"cid": a_cid("x")} if what == profile else {}))
        assert reply.fault == (400, "InvalidRequest") and word in reply.json["message"], reply.body
    for reason_type in (SPAM, TROLL, f"{OZONE}MisleadingSpam"):
        taken(report(place, alice, uri, reason_type, to=NARROW))
    author = place.person(1)
    taken(report(place, author, uri, NEW_APPEAL, to=NARROW))
    assert report(place, author, uri, APPEAL, to=SILENT).fault == (400, "InvalidRequest")


def test_a_labelers_reports_reach_the_communities_that_it_serves(own: Town) -> None:
    alice, uri = own.person(), own.writer.post(1, tags=["python", "rust"])
    assert reaches(own, taken(report(own, alice, uri, to=CHESS))) == {"python"}
    assert reaches(own, taken(report(own, alice, uri, to=FULL))) == {"python", "rust"}
    assert reaches(own, taken(report(own, alice, own.writer.post(1, tags=["rust"]), to=CHESS))) == {"site"}
    bob = own.member("rust")
    assert reaches(own, taken(report(own, alice, bob.did, to=CHESS))) == {"site"}


def test_the_same_said_to_two_labelers_is_said_twice(own: Town) -> None:
    alice, uri = own.person(), own.writer.post(1)
    numbers = [taken(report(own, alice, uri, to=to)) for to in (FULL, CHESS, AUDIENCE, FULL, f"{FULL}#atproto_labeler")]
    assert numbers == [1, 2, 3, 1, 1]


def test_conversations_are_reported_to_whoever_takes_them(own: Town) -> None:
    alice = own.person()
    message = {"$type": "chat.bsky.convo.defs#messageRef", "did": plc(5), "convoId": "c1", "messageId": "m1"}
    convo = {"$type": "chat.bsky.convo.defs#convoRef", "did": plc(5), "convoId": "c1"}

    def send(subject: Any, to: str = CHATTY) -> Any:
        body = {"reasonType": SPAM, "subject": subject, "modTool": {"name": "x", "meta": {"batchId": "b"}}}
        return own.act(METHOD, alice, body, own.token(alice, METHOD, aud=to))

    first, second = send(message | {"more": 1}), send(convo)
    assert (first.json["subject"], second.json["subject"]) == (message, convo)
    assert (taken(first), taken(second), taken(send(message)), taken(send(message | {"messageId": "m2"}))) == (
        1,
        2,
        1,
        3,
    )
    rows = own.writer.sql("SELECT did, uri, convo, message, tool_meta, evidence FROM report ORDER BY id")
    assert rows[:2] == [
        (plc(5), "", "c1", "m1", '{"batchId":"b"}', None),
        (plc(5), "", "c1", "", '{"batchId":"b"}', None),
    ]
    assert reaches(own, 1) == {"site"}
    for subject, to in (
        (message, FULL), (convo, AUDIENCE), (message | {"did": "alice"}, CHATTY), (message | {"convoId": ""}, CHATTY),
        (message | {"messageId": None}, CHATTY), (convo | {"convoId": "x" * 513}, CHATTY),
        (convo | {"convoId": 5}, CHATTY), (message | {"messageId": "a\0"}, CHATTY),
    ):  # fmt: skip
        assert send(subject, to).fault == (400, "InvalidRequest")


# Whatever is sent

PARTS: tuple[Any, ...] = (
    "", "\0", "x" * 600, "é" * 2001, plc(1), plc(5), "did:web:x", f"at://{plc(1)}/app.bsky.feed.post/p1", "at://",
    f"at://{plc(1)}/app.bsky.actor.profile/self", a_cid("x"), SPAM, APPEAL, NEW_APPEAL, TROLL, "org.example#reasonX",
    "spam", 0, -1, 1 << 62, 1 << 70, 1.5, True, None, [], {}, [[]], {"a": {"b": [1, "x"]}}, {"$link": "x"},
    {"$bytes": "!"}, "\u202e", "\U0001f426" * 500, "self", "com.atproto.admin.defs#repoRef",
)  # fmt: skip
TYPES = (
    "com.atproto.admin.defs#repoRef", "com.atproto.repo.strongRef", "chat.bsky.convo.defs#messageRef",
    "chat.bsky.convo.defs#convoRef", "app.bsky.actor.defs#x", 5, None,
)  # fmt: skip


def fuzzed(choose: random.Random) -> Any:
    """Something like a report: most parts of most bodies are good."""
    if choose.random() < 0.03:
        return choose.choice(PARTS)

    def some(good: Any) -> Any:
        return good if choose.random() < 0.93 else choose.choice(PARTS)

    deep: Any = 1
    for _ in range(choose.choice((2, 200, 600))):
        deep = {"a": deep} if choose.random() < 0.5 else [deep]
    subject = {
        "$type": choose.choice(TYPES[:2] if choose.random() < 0.7 else TYPES),
        "did": some(plc(choose.randrange(1, 9))),
        "uri": some(f"at://{plc(choose.randrange(1, 9))}/app.bsky.feed.post/p{choose.randrange(5)}"),
        "cid": some(a_cid("x")),
        "convoId": some("c"),
        "messageId": some("m"),
    }
    body = {
        "reasonType": some(choose.choice(ALL)),
        "reason": some("why"),
        "subject": some(subject),
        "modTool": some({"name": some("x"), "meta": some(deep)}),
        "more": some(deep),
    }
    return {name: value for name, value in body.items() if choose.random() < 0.97}


@pytest.mark.parametrize("seed", range(20))
def test_s61_2000_bodies_are_taken_or_refused(place: Town, seed: int) -> None:
    choose = random.Random(seed)
    statuses = set()
    for number in range(100):
        who = place.person(choose.randrange(1, 9) if number % 5 == 0 else 20 + choose.randrange(60))
        place.clock.now += 600
        sent = place.token(who, METHOD, aud=choose.choice((AUDIENCE, SERVICE, FULL, CHESS, NARROW, CHATTY, SILENT)))
        data = json.dumps(fuzzed(choose)).encode()
        if choose.random() < 0.05:
            data = data[: choose.randrange(len(data))]
        reply = place.act(METHOD, who, data, sent)
        assert reply.status < 500, (data, reply.body)
        assert isinstance(reply.json, dict) and (reply.status == 200 or set(reply.json) == {"error", "message"})
        statuses.add(reply.status)
    assert {200, 400} <= statuses <= {200, 400, 403, 429}
