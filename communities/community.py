"""A community as it is declared: who it is, and what belongs to it. The same value from a file and from a row."""

from dataclasses import asdict, dataclass, field
from typing import Any

from communities.ranking import NEWEST, Ranking


@dataclass(frozen=True, slots=True)
class Include:
    """Selectors: any of them admits a post."""

    hashtags: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Require:
    """What an admitted post must satisfy: one of these languages, one of these media."""

    languages: tuple[str, ...] = ()
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exclude:
    """What keeps a selected post out."""

    hashtags: tuple[str, ...] = ()
    replies: bool = False
    languages: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    dids: tuple[str, ...] = ()
    hashtags_over: int = 0


@dataclass(frozen=True, slots=True)
class Community:
    """One declared community. `avatar` is a path relative to the file; `pins` are post URIs, shown first.

    `feeds` are the orders in which it is shown, each a feed of its own.
    """

    slug: str
    name: str
    description: str = ""
    owner: str | None = None
    avatar: str | None = None
    pins: tuple[str, ...] = ()
    content_mode: str = "unspecified"
    accepts_interactions: bool = False
    feeds: tuple[str, ...] = (NEWEST,)
    include: Include = field(default_factory=Include)
    require: Require = field(default_factory=Require)
    exclude: Exclude = field(default_factory=Exclude)
    ranking: Ranking = field(default_factory=Ranking)

    def to_json(self) -> dict[str, Any]:
        """The plain value that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Community":
        """The community that `to_json` gave, in this version or an older one; lists become tuples again."""

        def table(shape: type, name: str) -> Any:
            return shape(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.get(name, {}).items()})

        fields = value | {key: tuple(value[key]) for key in ("pins", "feeds") if key in value}
        fields |= {name: table(shape, name) for name, shape in _TABLES.items()}
        return Community(**fields)


_TABLES: dict[str, type] = {"include": Include, "require": Require, "exclude": Exclude, "ranking": Ranking}
