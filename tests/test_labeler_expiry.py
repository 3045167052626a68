"""What expires is negated, once, whether it was published or not, and whoever hears the stream ends with what holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labeler import expiry as expiry_module
from labeler.standing import active
from tests.label_site import CIDS, START, LabelSite, fold, post

NONE, FIRST, SECOND = CIDS
POST = post(1)
END = START + 1000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LabelSite]:
    made = LabelSite(tmp_path / "communities.db")
    yield made
    made.close()


def test_it_ends_at_its_time_and_its_event_says_so(site: LabelSite) -> None:
    issued = site.issue(POST, "spam", "gore", exp=END, community=4)
    site.publish()
    assert site.expiry.next() == END
    site.clock.now = END - 1
    site.expire()
    assert site.publish() == 0
    site.clock.now = END
    site.expire()
    assert site.publish() == 2 and [row.neg for row in site.rows()] == [1, 1]
    query = "SELECT actor, role, removed, undoes, community FROM label_event ORDER BY id DESC LIMIT 1"
    assert site.connection.execute(query).fetchall() == [("expiry", "service", "gore spam", issued.event, 4)]
    assert site.expiry.next() is None


def test_each_event_is_undone_by_one_of_its_own(site: LabelSite) -> None:
    events = [site.issue(POST, value, exp=END).event for value in ("spam", "gore")]
    site.publish()
    site.clock.now = END
    site.expire()
    query = "SELECT undoes, removed FROM label_event WHERE actor = 'expiry' ORDER BY undoes"
    assert site.connection.execute(query).fetchall() == [(events[0], "spam"), (events[1], "gore")]


def test_it_happens_once_also_after_a_restart(site: LabelSite) -> None:
    site.issue(POST, "spam", exp=END)
    site.publish()
    site.clock.now = END
    for _ in range(3):
        site.expire()
        site.close(in_order=False)
        site.open()
        site.expire()
    assert site.count("label_event") == 2 and site.waiting() == [(NONE, "spam", 1)]
    assert site.publish() == 1
    site.expire()
    assert site.count("label_outbox") == 0 and site.count("label_event") == 2


def test_a_labeler_that_does_not_negate_leaves_them(site: LabelSite) -> None:
    site.issue(POST, "spam", labeler=2, exp=END)
    site.publish()
    site.clock.now = END
    site.expire()
    assert site.count("label_event") == 1 and site.publish() == 0
    assert active(site.connection, 2, POST, END) == []


@pytest.mark.parametrize("labeler", [1, 2])
def test_what_expires_while_it_waits_is_never_published(site: LabelSite, labeler: int) -> None:
    site.issue(POST, "spam", labeler=labeler, exp=END)
    site.clock.now = END
    assert site.publish() == 0, "not even before it was found to have expired"
    assert site.expiry.next() == END
    site.expire()
    assert site.count("label_outbox") == 0 and site.rows() == []


@pytest.mark.parametrize("labeler", [1, 2])
def test_an_end_that_waits_ends_what_it_would_have_replaced(site: LabelSite, labeler: int) -> None:
    site.issue(POST, "spam", labeler=labeler)
    site.publish()
    site.issue(POST, "spam", labeler=labeler, exp=END)
    site.clock.now = END
    site.expire()
    site.publish()
    assert site.said() == [(NONE, "spam", 1)]


def test_a_later_end_takes_the_place_of_an_earlier_one(site: LabelSite) -> None:
    site.issue(POST, "spam", exp=END)
    site.publish()
    site.issue(POST, "spam", exp=END + 500)
    site.clock.now = END
    site.expire()
    site.publish()
    assert site.said() == [(NONE, "spam", 0)]
    site.clock.now = END + 500
    site.expire()
    site.publish()
    assert site.said() == [(NONE, "spam", 1)]


def test_other_versions_stay_also_for_those_who_do_not_mind_versions(site: LabelSite) -> None:
    site.issue(POST, "spam", cid=SECOND)
    site.issue(POST, "spam", cid=FIRST, exp=END)
    site.publish()
    site.clock.now = END
    site.expire()
    site.publish()
    assert fold(site.rows(), END) == {(1, POST, SECOND, "spam")}
    assert fold(site.rows(), END, by_version=False) == {(1, POST, NONE, "spam")}
    assert site.said() == [(FIRST, "spam", 1), (SECOND, "spam", 0)]


def test_much_at_once_goes_in_pieces_and_behind_single_actions(
    site: LabelSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "PIECE", 10)
    for number in range(1, 36):
        site.issue(post(number), "spam", exp=END)
    site.issue(post(50), "spam")
    site.publish()
    site.clock.now = END
    pieces = []
    while (piece := site.expiry.step(END, (1,))) is not None:
        pieces.append(piece)
    assert pieces == [10, 10, 10, 5] and site.count("label_outbox") == 35
    site.remove(post(50), "spam")
    assert site.publish() == 36
    assert site.rows()[1].uri == post(50) or site.rows()[0].uri == post(50)
    assert fold(site.rows(), END) == set()


def test_a_clock_that_is_set_back_makes_it_look_again(site: LabelSite) -> None:
    site.issue(POST, "spam", exp=END)
    site.publish()
    site.clock.now = END + 60_000
    site.expire()
    site.clock.now = START
    site.issue(post(2), "spam", exp=END - 500)
    site.publish()
    site.clock.now = START + 1
    site.expire()
    site.clock.now = END
    site.expire()
    site.publish()
    assert [row.neg for row in site.rows()] == [1, 1]
