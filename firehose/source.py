"""Sources of events, named by URLs: what kind of server stands there, and how its stream is asked for."""

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

REPOS, JETSTREAM, JETSTREAM1, TAP = "subscribeRepos", "jetstream", "jetstream1", "tap"
SCHEMES = {"": REPOS, "jetstream+": JETSTREAM, "jetstream1+": JETSTREAM1, "tap+": TAP}
CURSORS = {REPOS: "seq", JETSTREAM: "seq", JETSTREAM1: "time_us", TAP: "none"}
"""Of what kind the positions are that are stored of a source."""
_TRANSPORTS = ("wss", "ws")


@dataclass(frozen=True, slots=True)
class Source:
    """`url` names it everywhere, also beside its stored cursor, and has no password in it; `base` is where it is."""

    url: str
    protocol: str
    base: str
    host: str
    authorization: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether nobody on the way reads along, or tells something else."""
        return self.base.startswith("wss:")

    def __repr__(self) -> str:
        return f"Source({self.url!r})"


def parse_sources(text: str) -> tuple[Source, ...]:
    """Sources in order of preference, separated by commas. Raises ValueError."""
    sources = tuple(parse_source(part.strip()) for part in text.split(","))
    if len({source.url for source in sources}) < len(sources):
        raise ValueError("must not name a source twice")
    return sources


def parse_source(text: str) -> Source:
    """The source that a URL names. Raises ValueError, which does not show the URL: a password may stand in it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    prefix, plus, transport = parts.scheme.rpartition("+")
    protocol = SCHEMES.get(prefix + plus)
    if protocol is None or transport not in _TRANSPORTS or not parts.hostname or port == 0:
        raise ValueError(
            "must be a URL that starts with wss:// or ws:// (a relay or PDS), jetstream+wss://, jetstream1+wss://"
            " or tap+ws://"
        )
    if parts.query or parts.fragment:
        raise ValueError("must have no ? and no # in it")
    user, _, place = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    if user and protocol != TAP:
        raise ValueError("must have no user name in it; only Tap takes one")
    path = parts.path.rstrip("/")
    return Source(
        f"{parts.scheme}://{name + '@' if name else ''}{place}{path}",
        protocol,
        f"{transport}://{place}{path}",
        parts.hostname,
        "Basic " + b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode() if user else "",
    )
