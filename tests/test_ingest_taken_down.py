"""What the site has taken down stays out of sight, whatever comes by the stream and from repositories."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from communities import shown
from communities.refs import read_post_uri
from models.database import open_database, writing
from tests.ingest_site import RULES
from tests.test_ingest_resync import unseen
from tests.trust_site import TrustSite
from tests.world import Record, Write

OF_AGAIN = "SELECT hidden FROM feed_item i JOIN community c ON c.id = i.community AND c.slug = 'again' WHERE i.uri = ?"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TrustSite]:
    async with TrustSite(tmp_path) as site:
        yield site


def take_down(site: TrustSite, post: Record, *, allowed: bool = False) -> None:
    """As the web process does."""
    ref = read_post_uri(post.uri)
    assert ref is not None
    with closing(open_database(Path(site.ingest.database.database))) as beside, writing(beside) as connection:
        shown.take_down_post(connection, ref, b"", 1, allowed=allowed)


async def test_edits_rereading_and_other_rules_show_it_nowhere(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    bad, good = alice.post("bad #python"), alice.post("good #python")
    await site.synced(alice)
    late = unseen(alice)
    take_down(site, bad)
    take_down(site, late)
    assert await site.feed() == [good.uri]
    bad = alice.update(bad, {"text": "#python #rust", "tags": ["python", "rust"]})
    await site.synced(alice)
    assert site.rows("SELECT hidden, count(*) FROM feed_item WHERE uri = ?", bad.uri) == [(16, 3)]
    # None of this is sent: the repository is read anew.
    unsent = unseen(alice)
    alice.commit(Write("update", bad.path, {**bad.value, "text": "again #rust", "tags": ["rust", "python"]}))
    alice.sync()
    await site.synced(alice)
    assert site.rows("SELECT hidden, count(*) FROM feed_item WHERE uri = ?", late.uri) == [(16, 2)]
    assert set(await site.feed()) == {unsent.uri, good.uri} and await site.feed("rust") == []
    cooking = '[[community]]\nslug = "again"\nname = "Again"\ninclude.hashtags = ["rust"]\n'
    await site.declare(RULES + cooking)
    await site.until("judged anew", lambda: site.rows(OF_AGAIN, bad.uri) == [(16,)])
    take_down(site, bad, allowed=True)
    assert await site.feed("rust") == [bad.uri] and late.uri not in await site.feed()
