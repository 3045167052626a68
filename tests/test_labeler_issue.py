"""What is wanted of labels: what changes, what does not, what is refused, and in what order it goes out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.issue import Issued, LabelRefusedError, Wanted, issue, issue_all
from labeler.outbox import labelers_waiting
from labeler.standing import active
from models.database import writing
from tests.label_site import CIDS, MODERATOR, START, LabelSite, Vocabulary, fold, post

NONE, FIRST, SECOND = CIDS
POST = post(1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LabelSite]:
    made = LabelSite(tmp_path / "communities.db")
    yield made
    made.close()


def held(site: LabelSite, uri: str = POST, cid: str | None = None) -> list[tuple[str, str]]:
    return [(one.cid, one.val) for one in active(site.connection, 1, uri, site.clock.now, cid)]


def test_a_label_and_its_event_come_together_and_count_at_once(site: LabelSite) -> None:
    issued = site.issue(POST, "spam", "spoiler", cid=FIRST, reason="an advert", role="moderator", community=3, batch="")
    assert issued.added == ("spam", "spoiler") and issued.removed == ()
    assert held(site) == [(FIRST, "spam"), (FIRST, "spoiler")]
    row = site.connection.execute(
        "SELECT id, at, labeler, community, actor, role, uri, cid, added, removed, reason FROM label_event"
    ).fetchall()
    mine = (issued.event, START * 1000, 1, 3, MODERATOR, "moderator", POST, FIRST, "spam spoiler", "", "an advert")
    assert row == [mine]
    assert site.rows() == [] and site.publish() == 2
    assert held(site) == [(FIRST, "spam"), (FIRST, "spoiler")] and site.count("label_outbox") == 0
    assert [row.event for row in site.rows()] == [issued.event] * 2
    site.check_signatures()


def test_nothing_is_left_of_a_transaction_that_fails(site: LabelSite) -> None:
    with pytest.raises(ZeroDivisionError), writing(site.database) as connection:
        issue(connection, site.vocabularies[1], site.wanted(POST, add=("spam",)), START)
        raise ZeroDivisionError
    assert (site.count("label_event"), site.count("label_outbox")) == (0, 0)


STEP = st.fixed_dictionaries(
    {
        "uri": st.sampled_from([post(1), post(2), "did:plc:somebody", "no subject", "no \ud800"]),
        "cid": st.sampled_from(CIDS),
        "add": st.lists(st.sampled_from(["spam", "gore", "undeclared"]), max_size=2).map(tuple),
        "remove": st.lists(st.sampled_from(["spam", "gore"]), max_size=1).map(tuple),
        "exp": st.sampled_from([None, START + 5, START + 5000]),
        "batch": st.sampled_from(["", "b"]),
    }
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.lists(STEP, max_size=6), st.booleans()), max_size=4))
def test_many_together_are_as_one_behind_the_other(rounds: list[tuple[list[dict[str, Any]], bool]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        together = LabelSite(Path(name) / "a" / "communities.db", fast=True)
        apart = LabelSite(Path(name) / "b" / "communities.db", fast=True)
        for steps, published in rounds:
            done = []
            for step in steps:
                try:
                    with writing(apart.database) as connection:
                        done.append(issue(connection, apart.vocabularies[1], apart.wanted(**step), apart.clock.now))
                except LabelRefusedError as refused:
                    done.append(refused.name)
            with writing(together.database) as connection:
                wanted = [together.wanted(**step) for step in steps]
                all_done = issue_all(connection, together.vocabularies[1], wanted, together.clock.now)
            assert [one if isinstance(one, Issued) else one.name for one in all_done] == done
            for query in (
                "SELECT * FROM label_event ORDER BY id",
                "SELECT * FROM label_outbox ORDER BY id",
            ):
                assert together.connection.execute(query).fetchall() == apart.connection.execute(query).fetchall()
            for site in (together, apart):
                site.clock.now += 7
                if published:
                    site.publish()
        together.close()
        apart.close()


def test_what_is_cancelled_among_many_can_be_said_again(site: LabelSite) -> None:
    steps: list[dict[str, Any]] = [{"add": ("spam",)}, {"remove": ("spam",)}, {"remove": ("spam",)}, {"add": ("spam",)}]
    with writing(site.database) as connection:
        done = issue_all(connection, site.vocabularies[1], [site.wanted(POST, **one) for one in steps], START)
    assert [one.event for one in done if isinstance(one, Issued)] == [1, 2, None, 3]
    assert held(site) == [("", "spam")] and site.count("label_outbox") == 1


def test_many_together_are_of_one_labeler(site: LabelSite) -> None:
    with writing(site.database) as connection:
        assert issue_all(connection, site.vocabularies[1], (), START) == []
        with pytest.raises(ValueError, match="several labelers"):
            issue_all(connection, site.vocabularies[1], [site.wanted(POST), site.wanted(POST, 2)], START)


@pytest.mark.parametrize("published", [False, True])
def test_s160_what_holds_is_not_issued_again(site: LabelSite, published: bool) -> None:
    site.issue(POST, "spam", "spam", cid=FIRST)
    if published:
        site.publish()
    before = site.count("label_event"), site.count("label_outbox"), site.rows()
    for _ in range(3):
        assert site.issue(POST, "spam", cid=FIRST, actor="did:plc:other") == (None, (), ())
        assert site.remove(POST, "spoiler") == (None, (), ()) == site.remove(post(2), "spam")
    assert (site.count("label_event"), site.count("label_outbox"), site.rows()) == before


def test_another_end_is_a_change(site: LabelSite) -> None:
    site.issue(POST, "spam")
    site.publish()
    assert site.issue(POST, "spam", exp=START + 5000).added == ("spam",)
    assert site.issue(POST, "spam", exp=START + 5000).event is None
    assert site.publish() == 1
    (row,) = site.rows()
    assert (row.seq, row.exp) == (2, START + 5000) and row.cts > START
    assert site.connection.execute("SELECT exp FROM label_event ORDER BY id").fetchall() == [(None,), (START + 5000,)]


def test_what_was_negated_or_has_expired_is_issued_anew(site: LabelSite) -> None:
    site.issue(POST, "spam", exp=START + 10)
    site.publish()
    site.clock.now += 10
    assert held(site) == []
    assert site.issue(POST, "spam").added == ("spam",)
    assert site.remove(POST, "spam").removed == ("spam",) and held(site) == []
    assert site.issue(POST, "spam").added == ("spam",) and held(site) == [(NONE, "spam")]


def test_a_negation_covers_every_version(site: LabelSite) -> None:
    """The cid-less form and what still waits included; `cid` of the removal plays no part."""
    for cid in (NONE, FIRST):
        site.issue(POST, "spam", cid=cid)
    site.publish()
    site.issue(POST, "spam", cid=SECOND)
    site.issue(POST, "spoiler")
    assert site.remove(POST, "spam", cid=SECOND).removed == ("spam",)
    assert held(site) == [(NONE, "spoiler")]
    site.publish()
    assert sorted(site.said()) == [(NONE, "spam", 1), (NONE, "spoiler", 0), (FIRST, "spam", 1)], "the third never went"
    assert site.remove(POST, "spam", cid=FIRST).event is None
    site.issue(POST, "spam", cid=SECOND)
    site.publish()
    site.remove(POST, "spam")
    assert site.waiting() == [(SECOND, "spam", 1)], "who was told once is not told again"


def test_a_label_that_waits_is_cancelled(site: LabelSite) -> None:
    site.issue(POST, "spam")
    assert site.remove(POST, "spam").removed == ("spam",)
    assert site.waiting() == [] and site.publish() == 0
    assert site.count("label_event") == 2, "what was decided is kept, though nobody heard of it"
    site.issue(POST, "spam")
    site.publish()
    site.issue(POST, "spam", exp=START + 9000)
    site.remove(POST, "spam")
    assert site.waiting() == [(NONE, "spam", 1)], "it would have replaced one that is out there"


def test_what_is_issued_again_takes_the_place_of_its_negation(site: LabelSite) -> None:
    site.issue(POST, "spam")
    site.publish()
    site.remove(POST, "spam")
    again = site.issue(POST, "spam")
    assert again.added == ("spam",) and site.waiting() == [(NONE, "spam", 0)]
    site.publish()
    (row,) = site.rows()
    assert (row.neg, row.event) == (0, again.event)


def test_adding_and_removing_is_one_event(site: LabelSite) -> None:
    site.issue(POST, "spam")
    with writing(site.database) as connection:
        wanted = site.wanted(POST, add=("spoiler", "spoiler"), remove=("spam", "spam", "gore"))
        issued = issue(connection, site.vocabularies[1], wanted, START)
    assert (issued.added, issued.removed) == (("spoiler",), ("spam",)) and site.count("label_event") == 2
    query = "SELECT added, removed FROM label_event WHERE id = ?"
    assert site.connection.execute(query, (issued.event,)).fetchall() == [("spoiler", "spam")]


def test_s160_times_rise_whatever_the_clock_does(site: LabelSite) -> None:
    heard = []
    for back in (0, 0, 60_000, -5, 0, 3_600_000, -1):
        site.clock.now -= back
        site.issue(POST, "spam", cid=FIRST)
        site.issue(POST, "spam")
        site.publish()
        heard += site.rows(heard[-1].seq if heard else 0)
        site.remove(POST, "spam")
        site.publish()
        heard += site.rows(heard[-1].seq)
    times = [row.cts for row in heard]
    assert len(times) == 28 and times == sorted(set(times))
    assert len({row.seq for row in heard}) == 28


def test_labelers_know_nothing_of_each_other(site: LabelSite) -> None:
    site.issue(POST, "spam")
    assert site.issue(POST, "spam", labeler=2).added == ("spam",)
    assert labelers_waiting(site.connection) == [1, 2]
    site.remove(POST, "spam")
    site.publish()
    assert fold(site.rows(), START) == {(2, POST, NONE, "spam")}
    site.check_signatures()


def test_urgent_ones_go_first_and_batches_last(site: LabelSite) -> None:
    site.vocabularies[1] = Vocabulary(site.vocabularies[1].did, system=frozenset(("!hide", "!warn")))
    site.issue(post(9), "spam")
    site.publish()
    for number, (value, batch) in enumerate(
        [("spam", "b"), ("gore", "b"), ("spam", ""), ("!warn", ""), ("gore", ""), ("!hide", "")], 1
    ):
        site.issue(post(number), value, batch=batch)
    site.remove(post(9), "spam")
    site.publish()
    order = [(row.uri, row.val) for row in site.rows()]
    numbers = [int(next(n for n in range(1, 10) if post(n) == uri)) for uri, _ in order]
    assert numbers == [5, 6, 9, 2, 3, 4, 1]


def test_what_waits_of_one_value_goes_in_the_order_of_its_times(site: LabelSite) -> None:
    """A single label behind one of a batch of another version: clients that do not mind versions hear in order."""
    site.issue(POST, "spam", cid=FIRST, batch="b")
    site.issue(post(2), "spam", batch="b")
    site.issue(post(3), "spam")
    site.issue(POST, "spam", cid=SECOND)
    site.publish()
    assert [(row.uri, row.cid) for row in site.rows()] == [
        (POST, FIRST), (post(3), NONE), (POST, SECOND), (post(2), NONE)
    ]  # fmt: skip
    mine = [row.cts for row in site.rows() if row.uri == POST]
    assert mine == sorted(set(mine))


def test_what_is_urgent_stays_so_whatever_is_said_after_it(site: LabelSite) -> None:
    site.issue(POST, "spam", cid=FIRST)
    site.publish()
    site.issue(post(2), "spam")
    site.remove(POST, "spam")
    site.issue(POST, "spam", cid=SECOND, batch="b")
    site.publish()
    assert [(row.uri, row.cid, row.neg) for row in site.rows()] == [
        (POST, FIRST, 1), (POST, SECOND, 0), (post(2), NONE, 0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"uri": "at://a.example/app.bsky.feed.post/3k"}, "InvalidSubject"),
        ({"uri": "https://a.example"}, "InvalidSubject"),
        ({"uri": "did:plc:a", "cid": FIRST}, "InvalidSubject"),
        ({"cid": "no cid"}, "InvalidSubject"),
        ({"add": ("Spam",)}, "InvalidLabel"),
        ({"add": ("a" * 129,)}, "InvalidLabel"),
        ({"add": ("a b",)}, "InvalidLabel"),
        ({"add": ("😀",)}, "InvalidLabel"),
        ({"add": ("!takedown",)}, "InvalidLabel"),
        ({"remove": ("!suspend",)}, "InvalidLabel"),
        ({"add": ("rude",)}, "UndeclaredLabel"),
        ({"add": ("!hide",)}, "UndeclaredLabel"),
        ({"add": ("spam", "rude")}, "UndeclaredLabel"),
        ({"add": ("spam",), "remove": ("spam",)}, "InvalidLabel"),
        ({"exp": START}, "InvalidExpiry"),
        ({"exp": 1 << 62}, "InvalidExpiry"),
    ],
)
def test_s162_what_is_refused_leaves_nothing(site: LabelSite, more: dict[str, Any], name: str) -> None:
    wanted = Wanted(
        **{"labeler": 1, "src": site.vocabularies[1].did, "uri": POST, "add": ("spam",), "actor": "cli"} | more
    )
    with writing(site.database) as connection, pytest.raises(LabelRefusedError) as refused:
        issue(connection, site.vocabularies[1], wanted, START)
    assert refused.value.name == name and refused.value.message
    assert (site.count("label_event"), site.count("label_outbox")) == (0, 0)


def test_a_value_that_is_no_longer_declared_can_be_removed(site: LabelSite) -> None:
    site.issue(POST, "spam")
    site.publish()
    site.vocabularies[1] = Vocabulary(site.vocabularies[1].did, {})
    assert site.remove(POST, "spam").removed == ("spam",)


def test_a_label_without_an_actor_or_of_another_labeler_is_a_fault_of_ours(site: LabelSite) -> None:
    with writing(site.database) as connection:
        for wanted in (site.wanted(POST, add=("spam",), actor=""), site.wanted(POST, 2, add=("spam",))):
            with pytest.raises(ValueError, match="actor"):
                issue(connection, site.vocabularies[1], wanted, START)


def test_of_one_version_those_of_all_versions_hold_too(site: LabelSite) -> None:
    site.issue(POST, "spam")
    site.issue(POST, "spoiler", cid=FIRST)
    assert held(site, cid=FIRST) == [(NONE, "spam"), (FIRST, "spoiler")]
    assert held(site, cid=SECOND) == held(site, cid=NONE) == [(NONE, "spam")]


def test_an_event_is_never_changed(site: LabelSite) -> None:
    site.issue(POST, "spam")
    for change in ("UPDATE label_event SET reason = 'another'", "DELETE FROM label_event"):
        with pytest.raises(apsw.ConstraintError, match="never"), writing(site.database) as connection:
            connection.execute(change)
    insert = "INSERT OR REPLACE INTO label_event (id, at, labeler, actor, role, uri) VALUES (1, 1, 1, 'x', 'y', 'z')"
    with writing(site.database) as connection, pytest.raises(apsw.ConstraintError):
        connection.execute(insert)
    assert site.connection.execute("SELECT actor FROM label_event").fetchall() == [(MODERATOR,)]


def test_it_is_a_question_of_indexes_how_labels_of_a_subject_are_found(site: LabelSite) -> None:
    from labeler import expiry, outbox, retract, standing

    queries = [
        (standing._OF_ONE, (1, POST)),
        (outbox._NEXT, (1, 0, 5, 5)),
        (expiry._PUBLISHED, (0, 0, 5, 5)),
        (expiry._WAITING, (5, 5)),
    ]
    queries += [
        (f"SELECT id FROM label_event {how} WHERE {what} AND id > 5 ORDER BY id LIMIT 5", (1,))
        for how, what in retract._INDEXES.values()
    ]
    for query, bindings in queries:
        plan = [row[3] for row in site.connection.execute(f"EXPLAIN QUERY PLAN {query}", bindings)]
        assert not any(line.startswith("SCAN") or "TEMP B-TREE" in line for line in plan), (query, plan)
    # Many records end alike (every profile does): the end alone would not do.
    query = "SELECT 1 FROM label_event INDEXED BY label_event_subject WHERE substr(uri, -13) = substr(?1, -13)"
    plan = [row[3] for row in site.connection.execute(f"EXPLAIN QUERY PLAN {query} AND uri = ?1", (POST,))]
    assert "(<expr>=? AND uri=?)" in plan[0], plan
