"""The log of decisions: how its hashes come about, that every change of it is found, and that what is hidden is."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count, product
from typing import Any

import cbor2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from communities.access import Action
from communities.community import ACTOR, NOBODY, ROLE, WHO, Log
from communities.decision_view import moment, read_view, view
from communities.log import (
    FIELDS,
    HASH_BYTES,
    LAST_MOMENT,
    SALT_BYTES,
    Acting,
    BrokenLogError,
    Decision,
    Event,
    Head,
    Opened,
    genesis,
    make,
    redact,
    verify,
)  # fmt: skip

AT = 1_790_000_000_000_000
SETTINGS = [Log(who, shown) for who, shown in product(WHO, (False, True))]
EVERYTHING = Log(ACTOR, True)
START = genesis("birds")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.integers(0, LAST_MOMENT)
made = st.builds(
    Decision, st.sampled_from(Action), texts, st.sampled_from(Acting), *[st.none() | texts] * 4, st.none() | times
)
logs = st.lists(st.tuples(times, made), min_size=1, max_size=5)


def chain(decisions: list[tuple[int, Decision]], start: Head = START) -> list[Event]:
    events: list[Event] = []
    for at, decision in decisions:
        last = events[-1] if events else None
        events.append(make(Head(last.seq, last.hash) if last else start, at, decision))
    return events


def broken_at(events: list[Event], after: Head = START, known: Head | None = None) -> int:
    with pytest.raises(BrokenLogError) as broken:
        verify(events, after, known)
    assert str(broken.value)
    return broken.value.seq


# How it is made


def expected(tag: str, *parts: Any) -> bytes:
    """What is said in the docs, by another library's CBOR."""
    return hashlib.sha256(cbor2.dumps([f"social.communities.log#{tag}", *parts], canonical=True)).digest()


@given(times, made)
def test_a_hash_is_what_the_docs_say(at: int, decision: Decision) -> None:
    event = make(Head(6, bytes(range(32))), at, decision)
    fields = [expected("field", name, event.opened[name].salt, event.get(name)) for name in FIELDS]
    rule = decision.rule
    assert event.hash == expected("event", 7, at, str(decision.action), rule, bytes(range(32)), *fields)
    assert genesis("birds").hash == expected("genesis", "birds")
    assert {name: event.get(name) for name in FIELDS} == {name: getattr(decision, name) for name in FIELDS}


def test_the_hashes_never_change() -> None:
    """What was written by an earlier version verifies with every later one."""
    numbers = count(1)
    decision = Decision(
        Action.REMOVE, "did:plc:mod", Acting.MODERATOR, "at://did:plc:a/app.bsky.feed.post/3k", "bafyrei", "was für",
        "spam", AT + 1,
    )  # fmt: skip
    event = make(genesis("birds"), AT, decision, lambda size: bytes([next(numbers)]) * size)
    assert genesis("birds").hash.hex() == "e47708bc7754353060fb4a419d73d448e79716902753fde40093a6bb1fbb9402"
    assert event.hash.hex() == "e1f22d712907ed0f20c9884719c0cb330329ceb9ecaedfe433aa067eb7d731a0"


def test_salts_are_random_and_each_its_own() -> None:
    events = chain([(AT, Decision(Action.PIN, "same", Acting.ADMIN, "same", "same", "same"))] * 20)
    salts = [event.opened[name].salt for event in events for name in FIELDS]
    assert len(set(salts)) == len(salts) and {len(salt) for salt in salts} == {SALT_BYTES} and SALT_BYTES >= 16
    hidden = [redact(event, Log(NOBODY)).sealed for event in events]
    stand = [commitment for sealed in hidden for commitment in sealed.values()]
    assert len(set(stand)) == 20 * len(FIELDS) and {len(one) for one in stand} == {HASH_BYTES}


@pytest.mark.parametrize("at", [-1, LAST_MOMENT + 1])
def test_what_cannot_be_told_again_is_not_made(at: int) -> None:
    decision = Decision(Action.BAN, "did:plc:a", Acting.ADMIN, "did:plc:b")
    with pytest.raises(ValueError, match="no time"):
        make(START, at, decision)
    with pytest.raises(ValueError, match="no time"):
        make(START, AT, replace(decision, until=at))
    for name in ("actor", "reason", "rule"):
        with pytest.raises(ValueError, match="surrogates"):
            make(START, AT, replace(decision, **{name: "\ud800"}))


# What the public log shows


@pytest.mark.parametrize(
    ("show", "shown"),
    [
        (Log(NOBODY), set()),
        (Log(), {"role"}),
        (Log(ACTOR), {"role", "actor"}),
        (Log(NOBODY, True), {"subject", "cid", "reason", "until"}),
        (Log(ROLE, True), set(FIELDS) - {"actor"}),
        (EVERYTHING, set(FIELDS)),
    ],
)
def test_a_community_chooses_what_is_shown_and_a_ban_stays_private(show: Log, shown: set[str]) -> None:
    about = {"subject", "cid", "reason", "until"}
    for action in Action:
        event = redact(make(START, AT, Decision(action, "did:plc:m", Acting.SITE, "did:plc:b", until=AT)), show)
        assert event.opened.keys() == (
            shown - about if action in (Action.BAN, Action.UNBAN, Action.EXPEL) else shown
        ), action
        assert event.sealed.keys() == set(FIELDS) - event.opened.keys()
        assert (event.action, event.at, event.seq) == (action, AT, 1)


@given(logs, st.lists(st.sampled_from(SETTINGS), min_size=5, max_size=5), st.integers(0, 5))
def test_redaction_never_changes_verification(
    decisions: list[tuple[int, Decision]], shown: list[Log], cut: int
) -> None:
    events = chain(decisions)
    heads = [START, *(Head(event.seq, event.hash) for event in events)]
    public = [redact(event, show) for event, show in zip(events, shown, strict=False)]
    less = [redact(event, show) for event, show in zip(public, reversed(shown), strict=False)]
    read = [read_view(json.loads(json.dumps(view("birds", event))))[1] for event in public]
    assert read == public
    for told in (events, public, less, read):
        assert verify(told, START) == verify(told, START, heads[min(cut, len(events))]) == heads[-1]
        at = min(cut, len(events))
        assert verify(told[at:], heads[at]) == heads[-1] and verify(told[:at], START) == heads[at]


@given(logs, st.sampled_from(SETTINGS))
def test_a_redacted_log_reveals_nothing(decisions: list[tuple[int, Decision]], show: Log) -> None:
    """Each value that may be hidden is one that occurs nowhere else; so is each salt."""
    marked = [
        Decision(decision.action, "ACTOR-", decision.role, "SUBJECT-", "CID-", "REASON-", None, LAST_MOMENT)
        for _, decision in decisions
    ]
    for event in chain([(AT, decision) for decision in marked]):
        public = redact(event, show)
        told = view("birds", public)
        said = json.dumps(told) + repr(public)
        for name in FIELDS:
            shown = name in public.opened
            value, salt = event.opened[name]
            found = {"role": told.get("role") == value, "until": moment(LAST_MOMENT) in said and str(value) in said}
            assert found.get(name, str(value) in said) == shown, name
            assert (salt.hex() in said) == shown and (repr(salt) in said) == shown, name


@given(times, made)
def test_equal_hidden_values_look_different_and_none_looks_like_any(at: int, decision: Decision) -> None:
    hidden = Log(NOBODY)
    first, second = (view("birds", redact(event, hidden)) for event in chain([(at, decision)] * 2))
    assert not set(first["commitments"].values()) & set(second["commitments"].values())
    bare = Decision(decision.action, "", Acting.SITE, rule=decision.rule)
    other = view("birds", redact(make(START, at, bare), hidden))
    assert {key: type(value) for key, value in first.items()} == {key: type(value) for key, value in other.items()}
    assert len(json.dumps(first)) == len(json.dumps(other)), "what is hidden has no length either"


# What is found


def tampered(event: Event, part: str, data: Callable[[Any], Any]) -> Event:
    """The event with another value in one part."""
    kind, _, name = part.partition(".")
    if kind == "value":
        field = event.opened[name]
        values = times if name == "until" else texts
        new = data(st.none() | values)
        return replace(event, opened={**event.opened, name: Opened(new, field.salt)})
    if kind == "salt":
        field = event.opened[name]
        new = data(st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES))
        return replace(event, opened={**event.opened, name: Opened(field.value, new)})
    if kind == "sealed":
        new = data(st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES))
        return replace(event, sealed={**event.sealed, name: new})
    strategy: Any = {
        "seq": st.integers(1, 9),
        "at": times,
        "action": st.sampled_from([str(action) for action in Action]),
        "rule": st.none() | texts,
        "prev": st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES),
        "hash": st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES),
    }[kind]
    changes: dict[str, Any] = {kind: data(strategy)}
    return replace(event, **changes)


@given(logs, st.sampled_from(SETTINGS), st.data())
def test_a_change_of_anything_is_found_where_it_was_made(
    decisions: list[tuple[int, Decision]], show: Log, data: st.DataObject
) -> None:
    public = [redact(event, show) for event in chain(decisions)]
    at = data.draw(st.integers(0, len(public) - 1))
    event = public[at]
    parts = ["seq", "at", "action", "rule", "prev", "hash"]
    parts += [f"{kind}.{name}" for name in event.opened for kind in ("value", "salt")]
    parts += [f"sealed.{name}" for name in event.sealed]
    public[at] = tampered(event, data.draw(st.sampled_from(parts)), data.draw)
    assume(public[at] != event)
    assert broken_at(public) == at + 1


@given(logs, st.data())
def test_values_of_two_fields_cannot_change_places(decisions: list[tuple[int, Decision]], data: st.DataObject) -> None:
    events = chain(decisions)
    at = data.draw(st.integers(0, len(events) - 1))
    one, other = data.draw(st.permutations(FIELDS))[:2]
    for kind, show in (("opened", EVERYTHING), ("sealed", Log(NOBODY))):
        event = redact(replace(events[at], action="pin"), show)
        swapped = dict(getattr(event, kind))
        swapped[one], swapped[other] = swapped[other], swapped[one]
        told = [*events[:at], replace(redact(events[at], show), **{kind: swapped}), *events[at + 1 :]]
        assert broken_at(told) == at + 1


@given(logs, st.sampled_from(SETTINGS), st.data())
def test_a_removed_doubled_or_swapped_event_is_found(
    decisions: list[tuple[int, Decision]], show: Log, data: st.DataObject
) -> None:
    public = [redact(event, show) for event in chain(decisions)]
    at = data.draw(st.integers(0, len(public) - 1))
    head = Head(public[-1].seq, public[-1].hash)
    assert broken_at([*public[:at], *public[at + 1 :]], known=head) == at + 1
    if at < len(public) - 1:
        assert broken_at([*public[:at], *public[at + 1 :]]) == at + 1
        assert broken_at([*public[:at], public[at + 1], public[at], *public[at + 2 :]]) == at + 1
    for place in range(len(public) + 1):
        assert broken_at([*public[:place], public[at], *public[place:]]) in (place + 1, at + 2), place


@given(logs, logs)
def test_a_log_that_was_written_anew_does_not_hold_the_head_of_the_old(
    old: list[tuple[int, Decision]], new: list[tuple[int, Decision]]
) -> None:
    """Also of the same decisions: the salts are others."""
    known = verify(chain(old), START)
    again = chain(new)
    assert broken_at(again, known=known) == min(known.seq, len(again) + 1)


def test_numbers_renamed_together_are_found() -> None:
    """Whoever takes the first event out, and renumbers and re-links the rest, must hash anew."""
    first, second = chain([(AT, Decision(Action.PIN, "did:plc:a", Acting.ADMIN))] * 2)
    assert broken_at([replace(second, seq=1, prev=START.hash)]) == 1
    assert broken_at([first, second], after=genesis("bird")) == 1
    assert broken_at([second], after=Head(1, bytes(32))) == 2
    assert verify([second], Head(1, first.hash)) == Head(2, second.hash)


@pytest.mark.parametrize(
    "change",
    [
        {"sealed": {}},
        {"opened": {}},
        {"sealed": {"actor": bytes(32), "subject": bytes(32)}},
        {"rule": "\ud800"},
        {"at": 1 << 70},
        {"action": object()},
    ],
    ids=str,
)
def test_what_is_no_event_is_broken_and_not_our_fault(change: dict[str, Any]) -> None:
    event = redact(make(START, AT, Decision(Action.PIN, "did:plc:a", Acting.ADMIN)), Log(ACTOR))
    assert broken_at([replace(event, **change)]) == 1


def test_what_no_hash_covers_cannot_stand_beside_what_one_does() -> None:
    event = redact(make(START, AT, Decision(Action.PIN, "did:plc:a", Acting.ADMIN)), Log(ACTOR))
    for name in ("actor", "note"):
        assert broken_at([replace(event, sealed={**event.sealed, name: bytes(32)})]) == 1
    assert broken_at([replace(event, opened={**event.opened, "note": Opened("x", bytes(16))})]) == 1
