"""What is kept of frames that nobody can get past, and when they may be passed over (S81)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firehose.quarantine import MOST_BYTES, MOST_ROWS, SIGHTS, Sightings, put
from models.database import open_database, writing


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    database = open_database(tmp_path / "communities.db")
    yield database
    database.close()


def test_only_the_same_bytes_at_the_same_place_are_the_same_frame() -> None:
    sightings = Sightings()
    assert [sightings.seen(5, b"x") for _ in range(4)] == [False, False, True, True]
    assert not sightings.seen(5, b"y")
    assert not sightings.seen(6, b"x")
    assert not sightings.seen(5, b"x")  # another frame was read in between: it begins anew


def test_a_long_row_of_unreadable_frames_is_got_past() -> None:
    """Each is met again on the way to the next, so forgetting one of them would mean never to arrive."""
    sightings = Sightings()
    frames = [b"%d" % number for number in range(500)]
    connections = 1
    while not all(sightings.seen(5, frame) for frame in frames):  # a connection ends at the first that is refused
        connections += 1
        assert connections <= (SIGHTS - 1) * len(frames) + 1


def test_the_newest_rows_are_kept(database: Any) -> None:
    with writing(database) as connection:
        for number in range(MOST_ROWS + 30):
            assert put(connection, "wss://relay", number, "because", b"%d" % number, number)
        rows = connection.execute("SELECT seq FROM quarantine ORDER BY id").fetchall()
    assert rows == [(number,) for number in range(30, MOST_ROWS + 30)]


def test_a_frame_is_kept_once_and_not_whole_when_it_is_long(database: Any) -> None:
    long = b"x" * (MOST_BYTES + 1)
    with writing(database) as connection:
        assert [put(connection, "wss://relay", 5, "r" * 900, long, 1) for _ in range(3)] == [True, False, False]
        assert put(connection, "wss://relay", 6, "because", long, 1)
        assert put(connection, "wss://other", 5, "because", long, 1)
        rows = connection.execute("SELECT length(frame), length(reason) FROM quarantine").fetchall()
    assert rows == [(MOST_BYTES, 500), (MOST_BYTES, 7), (MOST_BYTES, 7)]
