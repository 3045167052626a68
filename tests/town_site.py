"""The in-process ingest with communities that records declare, and what tests ask of it."""

from pathlib import Path
from typing import Any

from communities.records import COMMUNITY, MEMBERSHIP, ROLE, SUBMISSION
from communities.short_code import code_of
from tests.ingest_site import RULES, Site
from tests.world import Account, Record


class TownSite(Site):
    """A Site that verifies what matters."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, options.pop("rules", RULES), verify=options.pop("verify", "members"), **options)

    def found(self, owner: Account, slug: str = "birds", **more: Any) -> Record:
        """A community of posts with the tag that is its slug, of anyone, unless `more` says else."""
        value = {"type": "open", "name": slug.title(), "posting": "anyone", "include": {"hashtags": [slug]}} | more
        return owner.create(COMMUNITY, value | self.when(), rkey=slug)

    def join(self, account: Account, community: Record, **more: Any) -> Record:
        """A membership record."""
        return account.create(MEMBERSHIP, {"community": community.uri} | more | self.when())

    def give(self, owner: Account, community: Record, subject: Account, role: str = "moderator", **more: Any) -> Record:
        """A role record."""
        value = {"community": community.uri, "subject": subject.did, "role": role}
        return owner.create(ROLE, value | more | self.when())

    def submit(self, account: Account, community: Record, post: Record) -> Record:
        """A submission record."""
        return account.create(SUBMISSION, {"community": community.uri, "post": post.ref} | self.when())

    def when(self) -> dict[str, str]:
        """A time."""
        return {"createdAt": self.world.clock.iso()}

    async def founded(self, *communities: Record) -> None:
        """These communities are in force."""
        places = self.ingest.in_force.places
        for community in communities:
            await self.until(community.rkey, lambda community=community: places.find(community.uri))  # type: ignore[misc]

    async def quiet(self) -> None:
        """Everything sent was applied and noticed, and nobody's repository is still to be read."""
        await self.caught_up()
        last = "SELECT coalesce(max(id), 0) FROM membership_event WHERE status = 'member' AND act != 'setRole'"
        await self.until("noticed", lambda: self.ingest.members.noticed >= self.rows(last)[0][0])
        await self.until("awaited", lambda: not self.ingest.index.awaited)
        await self.rested()

    def membership(self, slug: str, account: Account) -> tuple[Any, ...] | None:
        """Status, role and way of a membership."""
        rows = self.rows(
            "SELECT m.status, m.role, m.via FROM membership m JOIN community c ON c.id = m.community"
            " JOIN actor a ON a.id = m.actor WHERE c.slug = ? AND a.did = ?",
            slug,
            account.did,
        )
        return rows[0] if rows else None

    def items(self, slug: str) -> dict[str, tuple[str, int]]:
        """Evidence and bits of each item of a community, by URI."""
        rows = self.rows(
            "SELECT i.uri, i.evidence, i.hidden, i.context FROM feed_item i JOIN community c ON c.id = i.community"
            " WHERE c.slug = ?",
            slug,
        )
        assert all(context == code_of(evidence) for _, evidence, _, context in rows), rows
        return {uri: (evidence, hidden) for uri, evidence, hidden, _ in rows}

    @property
    def refused(self) -> dict[str, int]:
        """How many records were kept without effect, by the name of the fault."""
        prefix = "record refused: "
        counts = self.ingest.index.counts.items()
        return {name.removeprefix(prefix): count for name, count in counts if name.startswith(prefix)}

    def faults(self, account: Account) -> list[str | None]:
        """Why records of an account have no effect, in the order of their keys."""
        query = "SELECT d.fault FROM declaration d JOIN actor a ON a.id = d.actor WHERE a.did = ? ORDER BY d.rkey"
        return [fault for (fault,) in self.rows(query, account.did)]
