"""The publisher: numbers that never come twice, turns, keys, what is cancelled at the last moment, and who waits."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import peewee
import pytest

from labeler import publisher as publisher_module
from labeler.label import Label, sign
from labeler.publisher import MOST, Publisher
from labeler.seq import BLOCK, FILE, HIGHEST, JUMP, SeqError, TurnLostError, jump
from models.database import DatabaseError, sql, writing
from tests.label_site import CIDS, START, LabelSite, fold, post

POST = post(1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LabelSite]:
    made = LabelSite(tmp_path / "communities.db")
    yield made
    made.database.close()


def issue_many(site: LabelSite, start: int, count: int) -> None:
    for number in range(start, start + count):
        site.issue(post(number), "spam")


def seqs(site: LabelSite) -> list[int]:
    return [row.seq for row in site.rows()]


def test_labels_are_numbered_in_their_order_and_the_outbox_is_empty_then(site: LabelSite) -> None:
    issue_many(site, 1, 3)
    assert site.publisher.step() == 3 and site.publisher.step() == 0
    assert seqs(site) == [1, 2, 3] and [row.uri for row in site.rows()] == [post(1), post(2), post(3)]
    assert site.count("label_outbox") == 0
    dids = site.connection.execute("SELECT did FROM label ORDER BY seq").fetchall()
    assert dids == [(post(number)[5:].partition("/")[0],) for number in (1, 2, 3)]


def test_the_did_of_an_account_is_the_account(site: LabelSite) -> None:
    site.issue("did:plc:someone", "spam")
    site.publish()
    assert site.connection.execute("SELECT did, uri FROM label").fetchall() == [("did:plc:someone", "did:plc:someone")]


def test_a_transaction_is_never_large(site: LabelSite) -> None:
    with writing(site.database):
        issue_many(site, 1, MOST + 1)
    assert [site.publisher.step() for _ in range(3)] == [MOST, 1, 0]


def test_a_slow_machine_publishes_little_at_a_time(site: LabelSite) -> None:
    slow = Publisher(site.database, lambda: site.signers, site.pace, site.clock, signing=-1.0)
    issue_many(site, 1, 3)
    assert [slow.step() for _ in range(4)] == [1, 1, 1, 0]


def test_s159_what_is_read_is_on_the_disk(site: LabelSite) -> None:
    full = 2
    assert sql(site.database).execute("PRAGMA synchronous").fetchone() == (full,)


def test_labels_of_a_labeler_without_a_key_wait(site: LabelSite) -> None:
    signer = site.signers.pop(2)
    site.issue(POST, "spam", labeler=2)
    site.issue(POST, "spam")
    assert site.publish() == 1 and site.waiting() == [("", "spam", 0)] and site.publisher.wait is None
    site.signers[2] = signer
    assert site.publish() == 1
    site.check_signatures()


def test_s163_what_was_signed_with_a_key_that_is_no_longer_active_does_not_go(
    site: LabelSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is replaced while labels are being signed."""
    site.issue(POST, "spam")
    old = site.signers[1]

    def late(key: object, label: Label) -> bytes:
        if site.signers[1] is old:
            site.new_key(1)
        return sign(key, label)  # type: ignore[arg-type]

    monkeypatch.setattr(publisher_module, "sign", late)
    assert site.publisher.step() == 0 and site.count("label_outbox") == 1
    assert site.publisher.step() == 1
    assert [row.label_key for row in site.rows()] == [site.signers[1].key_id]
    site.check_signatures()


def test_what_is_cancelled_while_it_is_signed_does_not_go(site: LabelSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.issue(POST, "spam")
    site.issue(post(2), "spam")
    site.issue(post(3), "spam", exp=START + 50)
    calls = 0

    def late(key: object, label: Label) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            site.remove(POST, "spam")
            site.issue(post(3), "spam", exp=START + 99)
        return sign(key, label)  # type: ignore[arg-type]

    monkeypatch.setattr(publisher_module, "sign", late)
    assert site.publisher.step() == 1 and seqs(site) == [1]
    site.publish()
    assert [(row.seq, row.uri, row.exp) for row in site.rows()] == [(1, post(2), None), (2, post(3), START + 99)]


def test_only_the_newest_of_a_version_is_kept_under_a_higher_number(site: LabelSite) -> None:
    site.issue(POST, "spam", cid=CIDS[1])
    site.issue(post(2), "spam")
    site.publish()
    site.remove(POST, "spam")
    site.publish()
    assert [(row.seq, row.uri, row.neg) for row in site.rows()] == [(2, post(2), 0), (3, POST, 1)]


def test_s164_of_two_publishers_the_last_to_take_the_turn_publishes(site: LabelSite) -> None:
    issue_many(site, 1, 2)
    first, second = site.publisher, site.another_publisher()
    assert first.step() == 2
    issue_many(site, 3, 2)
    assert second.step() == 2
    highest = seqs(site)[-1]
    issue_many(site, 5, 2)
    with pytest.raises(TurnLostError):
        first.step()
    assert site.count("label_outbox") == 2
    first.close()
    assert second.step() == 2
    assert len(set(seqs(site))) == 6 and seqs(site)[-1] == highest + 2
    second.close()
    third = site.another_publisher()
    issue_many(site, 7, 1)
    assert third.step() == 1 and seqs(site)[-1] == highest + 3, (
        "what the one that had lost said at its end did not count"
    )


def test_s164_whoever_lost_the_turn_while_it_signed_publishes_nothing(
    site: LabelSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue_many(site, 1, 1)
    second = site.another_publisher()
    site.publisher.take_turn()

    def late(key: object, label: Label) -> bytes:
        second.take_turn()
        return sign(key, label)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(publisher_module, "sign", late)
        with pytest.raises(TurnLostError):
            site.publisher.step()
    assert site.rows() == [] and site.count("label_outbox") == 1
    assert second.step() == 1


# Numbers


def file(site: LabelSite) -> Path:
    return site.path.with_name(FILE)


def restart(site: LabelSite, *, in_order: bool) -> None:
    site.close(in_order=in_order)
    site.open()


def test_a_stop_in_good_order_leaves_no_gap(site: LabelSite) -> None:
    for number in (1, 2, 3):
        issue_many(site, number, 1)
        site.publish()
        restart(site, in_order=True)
    assert seqs(site) == [1, 2, 3] and file(site).read_text() == "next 4\n"
    assert file(site).stat().st_mode & 0o777 == 0o600


def test_after_a_kill_the_numbers_jump(site: LabelSite) -> None:
    issue_many(site, 1, 2)
    site.publish()
    restart(site, in_order=False)
    issue_many(site, 3, 1)
    site.publish()
    assert seqs(site) == [1, 2, 1 + BLOCK + JUMP]


def copied(site: LabelSite, name: str) -> Path:
    path = site.path.with_name(name)
    site.connection.execute("VACUUM INTO ?", (str(path),))
    return path


def put_back(site: LabelSite, copy: Path) -> None:
    for old in site.path.parent.glob("communities.db*"):
        old.unlink()
    shutil.copy(copy, site.path)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("more", [0, 1, 2 * BLOCK])
def test_s159_f20_a_database_that_was_put_back_goes_on_above_all_that_was_given(
    site: LabelSite, more: int, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "MOST", 5000)
    monkeypatch.setattr(publisher_module, "sign", lambda key, label: b"signed")
    issue_many(site, 1, 2)
    site.publish()
    copy = copied(site, "copy.db")
    insert = "INSERT INTO label_outbox (labeler, uri, val, neg, cts, priority, event) VALUES (1, ?, 'spam', 0, 1, 3, 1)"
    with writing(site.database) as connection:
        connection.executemany(insert, [(f"did:plc:{number}",) for number in range(more)])
    assert site.publish() == more
    given = seqs(site)[-1]
    site.close(in_order=in_order)
    put_back(site, copy)
    site.open()
    issue_many(site, 3, 1)
    site.publish()
    kept = seqs(site)[:-1]
    assert kept == [1, 2] and seqs(site)[-1] > given
    if more or not in_order:
        assert seqs(site)[-1] >= given + JUMP


def test_a_database_that_is_new_beside_a_file_that_is_not(site: LabelSite) -> None:
    issue_many(site, 1, 2)
    site.publish()
    site.close()
    for old in site.path.parent.glob("communities.db*"):
        old.unlink()
    fresh = LabelSite(site.path)
    issue_many(fresh, 1, 1)
    fresh.publish()
    assert seqs(fresh) == [3 + JUMP]
    fresh.close()


def test_a_file_that_is_gone_or_damaged(site: LabelSite) -> None:
    issue_many(site, 1, 2)
    site.publish()
    site.close()
    file(site).write_text("nonsense")
    site.open()
    issue_many(site, 3, 1)
    with pytest.raises(SeqError, match="delete the file"):
        site.publisher.step()
    assert site.count("label_outbox") == 1
    file(site).unlink()
    site.publish()
    assert seqs(site) == [1, 2, 3 + JUMP]


def test_whoever_has_lost_the_whole_folder_says_what_subscribers_have_seen(site: LabelSite) -> None:
    assert jump(site.database, 5_000_000) == 5_000_001 + JUMP
    issue_many(site, 1, 1)
    site.publish()
    assert seqs(site) == [5_000_001 + JUMP]
    assert jump(site.database, 3) > 5_000_001 + 2 * JUMP, "never back"
    with pytest.raises(TurnLostError):
        issue_many(site, 2, 1)
        site.publish()


def test_numbers_stay_below_what_programs_tell_apart(site: LabelSite) -> None:
    with pytest.raises(SeqError, match="used up"):
        jump(site.database, HIGHEST - JUMP)
    issue_many(site, 1, 1)
    site.publish()
    assert seqs(site) == [1], "what is refused has changed nothing"


def test_a_file_that_cannot_be_written_stops_before_a_number_is_given(
    site: LabelSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labeler.seq import SeqFile

    def full(self: SeqFile, number: int, *, exact: bool) -> None:
        raise OSError(28, "No space left on device")

    issue_many(site, 1, 1)
    with monkeypatch.context() as patched:
        patched.setattr(SeqFile, "write", full)
        with pytest.raises(OSError, match="space"):
            site.publisher.step()
    assert site.rows() == [] and site.publish() == 1


def test_a_database_that_is_replaced_while_it_is_used_is_noticed(site: LabelSite) -> None:
    issue_many(site, 1, 1)
    site.publish()
    copy = copied(site, "copy.db")
    put_back(site, copy)
    with pytest.raises(DatabaseError, match="replaced"):
        site.publisher.step()


def test_a_transaction_that_fails_publishes_nothing_and_is_done_again(site: LabelSite) -> None:
    issue_many(site, 1, 2)
    site.publisher.take_turn()
    pages = site.connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLite may end the transaction itself, which then cannot be ended any more.
    with pytest.raises((apsw.FullError, peewee.OperationalError)):
        site.connection.execute(f"PRAGMA max_page_count = {pages}")
        with writing(site.database):
            issue_many(site, 100, 400)
    assert site.count("label_outbox") == 2
    site.connection.execute("PRAGMA max_page_count = 1000000")
    assert site.publish() == 2 and fold(site.rows(), START) == {(1, post(1), "", "spam"), (1, post(2), "", "spam")}
