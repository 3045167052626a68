"""A community as it is declared: who it is, and what belongs to it. The same value from a file, a record and a row."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from communities.access import Posting, State, Type
from communities.ranking import NEWEST, Ranking

BY_RECORD, BY_XRPC, BY_TAG, BY_FOLLOW = "record", "xrpc", "tag", "follow"
JOIN_WAYS = (BY_RECORD, BY_XRPC, BY_TAG, BY_FOLLOW)
"""How people may join by themselves."""
NOBODY, ROLE, ACTOR = "nobody", "role", "actor"
WHO = (NOBODY, ROLE, ACTOR)
"""What the public log shows of who decided."""


@dataclass(frozen=True, slots=True)
class Include:
    """Selectors: any of them admits a post. `joined`: every post by a member."""

    hashtags: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    joined: bool = False


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
class Log:
    """What the public log of decisions shows: `who` decided (WHO), and whether about whom or what."""

    who: str = ROLE
    show_subject: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that a community asks its members to keep."""

    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Community:
    """One declared community. `avatar` is a path relative to the file; `pins` are post URIs, shown first.

    `feeds` are the orders in which it is shown, each a feed of its own. `kind`: its type. `account`: DID of its own
    account. `parent`: the slug of the one that it is part of, or the at-uri of that one's record. `queue_feed`: whether
    moderators get what waits for them as a feed. `commands`: what moderators command by mentioning the account;
    `admin_commands`: what only admins do.
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
    about: str = ""
    kind: str = Type.OPEN.value
    posting: str = Posting.ANYONE.value
    join_by: tuple[str, ...] = (BY_RECORD, BY_XRPC)
    state: str = State.ACTIVE.value
    account: str | None = None
    parent: str | None = None
    queue_feed: bool = False
    commands: tuple[str, ...] = ()
    admin_commands: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    log: Log = field(default_factory=Log)
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
            said = value.get(name)
            if said is None or said == _DEFAULTS[name][0]:
                return _DEFAULTS[name][1]  # most say nothing of most: one value of it serves all
            return shape(**{k: tuple(v) if isinstance(v, list) else v for k, v in said.items()})

        fields = value | {key: tuple(value[key]) for key in _LISTS if key in value}
        fields |= {name: table(shape, name) for name, shape in _TABLES.items()}
        fields["rules"] = tuple(Rule(**rule) for rule in value.get("rules", ()))
        return Community(**fields)


_LISTS = ("pins", "feeds", "join_by", "commands", "admin_commands")
_TABLES: dict[str, type] = {
    "include": Include, "require": Require, "exclude": Exclude, "ranking": Ranking, "log": Log,
}  # fmt: skip
_DEFAULTS = {name: (json.loads(json.dumps(asdict(shape()))), shape()) for name, shape in _TABLES.items()}
"""What each table is when nothing is said of it, as a plain value and as itself."""
