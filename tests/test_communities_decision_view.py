"""A decision in JSON: it has one form, and no other is read or verifies."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from communities.access import Action
from communities.community import Log
from communities.decision_view import read_view, view
from communities.log import Acting, Decision, make, redact
from tests.test_communities_log import AT, EVERYTHING, SETTINGS, START, broken_at, chain, logs, texts

BASE = view("birds", redact(make(START, AT, Decision(Action.PIN, "a", Acting.ADMIN, until=AT)), EVERYTHING))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"note": "x"}, "'note' is unknown"),
        ({"seq": True}, "seq"),
        ({"seq": 1.0}, "seq"),
        ({"seq": 0}, "seq"),
        ({"seq": 1 << 63}, "seq"),
        ({"at": AT}, "at is no text"),
        ({"at": "2026-09-21T14:13:20Z"}, "at is no date"),
        ({"at": "2026-09-21T14:13:20.000000+00:00"}, "at is no date"),
        ({"at": "2026-09-21T24:00:00.000000Z"}, "hour|no date"),
        ({"at": "2026-02-30T14:13:20.000000Z"}, "day"),
        ({"at": "1969-12-31T23:59:59.999999Z"}, "before 1970"),
        ({"until": "2026-09-21T14:13:20.0000000Z"}, "until is no date"),
        ({"until": None}, "until is no text"),
        ({"actor": 5}, "actor is no text"),
        ({"rule": None}, "rule is no text"),
        ({"action": None}, "action is no text"),
        ({"community": None}, "community is no text"),
        ({"hash": BASE["hash"].upper()}, "hash is not 64"),
        ({"prev": BASE["prev"] + "0"}, "prev is not 64"),
        ({"prev": BASE["prev"][:-1] + "\n"}, "prev is not 64"),
        ({"salts": []}, "salts is no object"),
        ({"salts": {**BASE["salts"], "role": "00"}}, "role is not 32"),
        ({"salts": {**BASE["salts"], "seq": "00" * 16}}, "name each field once"),
        ({"commitments": {"role": "00" * 32}}, "name each field once"),
        ({"salts": {n: s for n, s in BASE["salts"].items() if n != "role"}}, "name each field once"),
        (
            {
                "salts": {n: s for n, s in BASE["salts"].items() if n != "role"},
                "commitments": {"role": "00" * 32},
            },
            "role is both hidden and shown",
        ),
    ],
)
def test_an_event_has_one_form(change: dict[str, Any], said: str) -> None:
    """What could be written in two ways could be changed without being noticed."""
    assert read_view(BASE)[0] == "birds"
    with pytest.raises(ValueError, match=said):
        read_view(BASE | change)


@pytest.mark.parametrize("name", ["community", "seq", "at", "action", "salts", "commitments", "prev", "hash"])
def test_an_event_that_lacks_something(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is missing"):
        read_view({key: value for key, value in BASE.items() if key != name})
    for value in (None, [], "x", 5):
        with pytest.raises(ValueError, match="no object"):
            read_view(value)


@given(logs, st.sampled_from(SETTINGS), st.data())
def test_no_other_json_verifies(decisions: list[tuple[int, Decision]], show: Log, data: st.DataObject) -> None:
    """Any text of a public log exchanged for another is refused or found."""
    lines = [view("birds", redact(event, show)) for event in chain(decisions)]
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    places: list[dict[str, Any]] = [line, line["salts"], line["commitments"]]
    place = data.draw(st.sampled_from([place for place in places if place]))
    key = data.draw(st.sampled_from(sorted(place)))
    old = place[key]
    place[key] = data.draw(st.none() | texts | st.integers() | st.floats(allow_nan=False) | st.just({}))
    assume(type(place[key]) is not type(old) or place[key] != old)
    assume(key != "community")
    try:
        events = [read_view(line)[1] for line in lines]
    except ValueError:
        return
    assert broken_at(events) == at + 1
