"""Taking back what a rule, a batch, a community or a person has issued, in pieces, and not what others have since."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labeler.outbox import URGENT, URGENT_BATCH
from labeler.retract import Retracted, Selection, retract
from labeler.standing import active
from models.database import writing
from tests.label_site import CIDS, START, LabelSite, fold, post

NONE, FIRST, SECOND = CIDS
POST = post(1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LabelSite]:
    made = LabelSite(tmp_path / "communities.db")
    yield made
    made.close()


def take_back(site: LabelSite, labeler: int = 1, **by: Any) -> list[Retracted]:
    pieces, after = [], 0
    more = {name: by.pop(name) for name in ("batch_name", "limit") if name in by}
    while True:
        with writing(site.database) as connection:
            piece = retract(
                connection, labeler, Selection(**by), "did:plc:admin", "admin", site.clock.now,
                reason="a mistake", batch=more.get("batch_name", ""), after=after, limit=more.get("limit", 100),
            )  # fmt: skip
        pieces.append(piece)
        if piece.after is None:
            return pieces
        after = piece.after


def scene(site: LabelSite) -> list[int | None]:
    return [
        site.issue(post(1), "spam", "gore", actor="did:plc:a").event,
        site.issue(post(2), "spam", actor="rule:ads", rule="ads").event,
        site.issue(post(3), "spam", actor="did:plc:a", batch="b1", community=7).event,
        site.issue(post(4), "spam", actor="did:plc:b", batch="b1").event,
        site.issue(post(5), "spam", actor="did:plc:a", labeler=2).event,
    ]


@pytest.mark.parametrize(
    ("by", "gone"),
    [
        ({"actor": "did:plc:a"}, {1, 3}),
        ({"rule": "ads"}, {2}),
        ({"batch": "b1"}, {3, 4}),
        ({"community": 7}, {3}),
        ({"event": 4}, {4}),
        ({"actor": "did:plc:a", "batch": "b1"}, {3}),
        ({"actor": "did:plc:nobody"}, set()),
    ],
)
@pytest.mark.parametrize("published", [False, True])
def test_what_was_selected_and_nothing_else(
    site: LabelSite, by: dict[str, Any], gone: set[int], published: bool
) -> None:
    events = scene(site)
    if published:
        site.publish()
    before = site.count("label_event")
    pieces = take_back(site, **by)
    assert sum(piece.labels for piece in pieces) == len(gone) + (1 in gone)
    site.publish()
    assert {uri for _, uri, _, _ in fold(site.rows(), START)} == {post(n) for n in range(1, 6) if n not in gone}
    query = "SELECT undoes, actor, role, reason, removed FROM label_event WHERE id > ? ORDER BY id"
    said = site.connection.execute(query, (before,)).fetchall()
    values = {1: "gore spam", 2: "spam", 3: "spam", 4: "spam"}
    expected = [(events[n - 1], "did:plc:admin", "admin", "a mistake", values[n]) for n in sorted(gone)]
    assert [(*row[:4], " ".join(sorted(row[4].split()))) for row in said] == expected
    assert [piece.labels for piece in take_back(site, **by)] == [0] and site.count("label_outbox") == 0
    assert site.count("label_event") == before + len(gone), "doing it again leaves nothing"


def test_what_somebody_else_has_issued_again_stays(site: LabelSite) -> None:
    site.issue(POST, "spam", actor="did:plc:a")
    site.issue(post(2), "spam", actor="did:plc:a")
    site.publish()
    site.remove(POST, "spam")
    site.issue(POST, "spam", actor="did:plc:b")
    site.issue(post(2), "spam", actor="did:plc:b", exp=START + 99)
    assert take_back(site, actor="did:plc:a")[0].labels == 0
    site.publish()
    assert fold(site.rows(), START) == {(1, POST, NONE, "spam"), (1, post(2), NONE, "spam")}


def test_another_version_that_somebody_else_has_labelled_stays(site: LabelSite) -> None:
    """Also for those who do not mind versions, to whom the negation ends both."""
    site.issue(POST, "spam", cid=FIRST, actor="did:plc:b")
    site.issue(POST, "spam", cid=SECOND, actor="did:plc:a")
    site.publish()
    take_back(site, actor="did:plc:a")
    assert [one.cid for one in active(site.connection, 1, POST, START)] == [FIRST]
    site.publish()
    assert site.said() == [(SECOND, "spam", 1), (FIRST, "spam", 0)]
    assert [row.cts for row in site.rows()] == sorted({row.cts for row in site.rows()})
    assert take_back(site, actor="did:plc:b")[0].labels == 1, "it is still hers"


def test_a_large_one_goes_in_pieces_behind_single_actions(site: LabelSite) -> None:
    for number in range(1, 26):
        site.issue(post(number), "spam", rule="ads")
    site.issue(post(50), "spam")
    site.publish()
    pieces = take_back(site, rule="ads", batch_name="undo", limit=10)
    assert [piece.events for piece in pieces] == [10, 10, 5] and sum(piece.labels for piece in pieces) == 25
    assert pieces[0].after is not None and pieces[-1].after is None
    site.remove(post(50), "spam")
    levels = site.connection.execute("SELECT priority, count(*) FROM label_outbox GROUP BY 1 ORDER BY 1").fetchall()
    assert levels == [(URGENT, 1), (URGENT_BATCH, 25)]


def test_what_has_expired_is_not_taken_back(site: LabelSite) -> None:
    site.issue(POST, "spam", actor="did:plc:a", exp=START + 5)
    site.clock.now += 5
    assert take_back(site, actor="did:plc:a")[0].labels == 0


@pytest.mark.parametrize("by", [{}, {"actor": ""}, {"rule": ""}, {"community": 0}, {"event": 0}])
def test_a_selection_of_everything_is_a_fault_of_ours(by: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="selection"):
        Selection(**by)
