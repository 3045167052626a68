"""The configuration: one frozen value, read once from `COMMUNITIES_*` and `.env`.

Every setting has a name, a default and a sentence here; `.env.example` and `docs/CONFIG.md` are held equal to this
class by a test. All faults are reported at once, and an unknown key under the prefix is a fault (a misspelt setting
must not be ignored in silence).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from firehose.source import Source, parse_sources
from service import values
from service.env_file import ConfigError, read_env_file
from xrpc.peer import Network, read_networks

PREFIX = "COMMUNITIES_"
_OTHERS = 0o077
"""The permissions of a file that concern others than its owner (S171)."""
_SECRETS = frozenset(("app_password", "forward_password", "labeler_passphrase", "labeler_key"))
"""Settings that are shown nowhere (S169)."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _setting(default: str, parse: Callable[[str], Any], about: str) -> Any:
    return field(default=parse(default), metadata={"default": default, "parse": parse, "about": about})


@dataclass(frozen=True)
class Config:
    """Every setting of the service, parsed. Field `rules` is read from `COMMUNITIES_RULES`, and so on."""

    hostname: str = _setting(
        "localhost:3000", values.hostname, "Public host name of this service; its did:web is made of it."
    )
    service_did: str = _setting(
        "",
        values.optional(values.did),
        "DID of this service, when it is not did:web:HOSTNAME (a did:plc, for instance).",
    )
    publisher_did: str = _setting(
        "",
        values.optional(values.did),
        "DID of the account in whose repository the feed records stand; empty: the service DID.",
    )
    rules: Path = _setting("communities.toml", values.path, "The file that declares the communities.")
    data: Path = _setting(
        "data", values.path, "Folder of the database and of everything else that must survive a restart."
    )
    listen_host: str = _setting(
        "127.0.0.1", values.address, "Address on which feeds are served; put a TLS proxy before it."
    )
    listen_port: int = _setting("3000", values.whole(0, 65535), "Port on which feeds are served; 0 takes a free one.")
    metrics_host: str = _setting("127.0.0.1", values.address, "Address of /metrics; keep it private.")
    metrics_port: int = _setting("3001", values.whole(0, 65535), "Port of /metrics; 0 takes a free one.")
    trusted_proxies: tuple[Network, ...] = _setting(
        "127.0.0.1, ::1",
        read_networks,
        "Addresses or networks, by comma, of proxies whose X-Forwarded-For says who called.",
    )
    source: tuple[Source, ...] = _setting(
        "wss://bsky.network",
        parse_sources,
        "Whose event stream is read: a relay or PDS (wss://HOST), a Jetstream (jetstream+wss://HOST, of version 1"
        " jetstream1+wss://HOST) or a Tap (tap+ws://admin:PASSWORD@HOST); several, by comma, in order of preference.",
    )
    verify: str = _setting(
        "members",
        values.verify,
        "Whose commits must be proven by signature and tree: members (of communities, owners, authors of what is"
        " shown), all (whoever the index takes anything from), none.",
    )
    plc_url: str = _setting("https://plc.directory", values.url("https", "http"), "Directory that resolves did:plc.")
    appview_url: str = _setting(
        "https://public.api.bsky.app",
        values.url("https", "http"),
        "AppView that `doctor` asks how it sees the feeds, which moderators read, and of which their clients are told.",
    )
    egress_allow: tuple[str, ...] = _setting(
        "",
        values.hosts,
        "Hosts that outbound requests may reach although they are private (development only), by comma.",
    )
    retention_days: int = _setting("90", values.whole(1, 3650), "Posts older than this leave the index.")
    max_post_age_days: int = _setting(
        "7",
        values.whole(1, 3650),
        "A post whose createdAt was older than this when its event came is not admitted.",
    )
    list_refresh_minutes: int = _setting(
        "180", values.whole(1, 10080), "How often the lists that rules name are read anew."
    )
    damp_seen_hours: int = _setting(
        "24",
        values.whole(0, 40),
        "For how many hours a post that a signed-in viewer has seen comes last in ranked feeds; 0: it stays in place.",
    )
    prefer_languages: bool = _setting(
        "on",
        values.on_or_off,
        "Whether ranked feeds show posts in other languages than the reader's (Accept-Language) behind the others: on"
        " or off.",
    )
    privacy_url: str = _setting(
        "", values.optional(values.url("https")), "Link to the privacy policy, in describeFeedGenerator."
    )
    terms_url: str = _setting(
        "", values.optional(values.url("https")), "Link to the terms of service, in describeFeedGenerator."
    )
    pds_url: str = _setting(
        "https://bsky.social",
        values.url("https", "http"),
        "PDS of the publishing account, for publish and unpublish.",
    )
    handle: str = _setting("", values.text, "Handle or DID with which publish and unpublish sign in.")
    app_password: str = _setting("", values.text, "App password of that account. Never the main password.")
    founders: tuple[str, ...] | None = _setting(
        "anyone",
        values.founders,
        "Whose records found communities here: anyone, nobody, or DIDs by comma. The file is the operator's anyway.",
    )
    admins: tuple[str, ...] = _setting(
        "",
        values.dids,
        "DIDs, by comma, of accounts that may decide everything in every community here; admins of every labeler's"
        " team.",
    )
    moderators: tuple[str, ...] = _setting(
        "",
        values.dids,
        "DIDs, by comma, of accounts that no ban keeps out and that see every community here whole; moderators of every"
        " labeler's team.",
    )
    report_merge_hours: int = _setting(
        "168", values.whole(0, 8760), "For how many hours a repeated report is the same one."
    )
    appeal_days: int = _setting(
        "7", values.whole(1, 365), "Within how many days somebody should decide about an appeal; authors are told."
    )
    forward_account: str = _setting(
        "",
        values.optional(values.account),
        "Handle or DID of the account as which reports are forwarded to other labelers.",
    )
    forward_password: str = _setting("", values.text, "App password of that account. Never the main password.")
    forward_to: tuple[str, ...] = _setting(
        "", values.dids, "DIDs, by comma, of labelers to which moderators may forward reports; empty: none."
    )
    labels: Path = _setting(
        "labels.toml", values.path, "The file that declares the labelers and their labels; without it there are none."
    )
    labeler_passphrase: str = _setting(
        "",
        values.optional(values.passphrase),
        "Seals the labelers' signing keys in the database, so that a copy of it signs nothing.",
    )
    labeler_key: str = _setting(
        "",
        values.optional(values.hex_key),
        "The signing key itself (64 hexadecimal digits), for a single labeler; none is stored then.",
    )
    label_pace: int = _setting(
        "1",
        values.whole(1, 10000),
        "How many times the network's usual limit labels are published: 1 is 4 a second, 9,000 an hour, 90,000 a day.",
    )
    canary_post: str = _setting(
        "",
        values.optional(values.post_uri),
        "at-uri of a post that is labelled now and then to see whether labels are shown; empty: none.",
    )
    canary_value: str = _setting("test", values.text, "The declared value with which it is labelled.")
    canary_hours: int = _setting("6", values.whole(1, 720), "How often that is done.")
    log_level: str = _setting("info", values.level, "debug, info, warning or error.")

    @property
    def did(self) -> str:
        """The DID of this service."""
        return self.service_did or "did:web:" + self.hostname.replace(":", "%3A")

    @property
    def source_urls(self) -> tuple[str, ...]:
        """The sources as they are named beside what is stored of them."""
        return tuple(source.url for source in self.source)

    @property
    def publisher(self) -> str:
        """The DID in whose repository the feed records stand."""
        return self.publisher_did or self.did

    @property
    def endpoint(self) -> str:
        """The URL at which the network reaches this service; plain http on this machine only."""
        local = self.hostname.partition(":")[0] in _LOOPBACK
        return f"{'http' if local else 'https'}://{self.hostname}"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "communities.db"

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _SECRETS}
        return f"Config({shown})"


def _secret(key: str, value: str) -> bool:
    """Whether a setting tells a password or a key."""
    name = key.removeprefix(PREFIX).lower()
    return bool(value) and (name in _SECRETS or (name == "source" and "@" in value))


def read_config(environ: Mapping[str, str], env_file: Path | None = None) -> Config:
    """Build the Config from the environment, which wins over `env_file` (None: there is none).

    Raises ConfigError, which names every fault at once.
    """
    given = read_env_file(env_file) if env_file else {}
    known = {PREFIX + f.name.upper(): f for f in fields(Config)}
    faults: list[str] = []
    secret = sorted(key for key in given if _secret(key, given[key]))
    if env_file and secret and env_file.stat().st_mode & _OTHERS:
        faults.append(f"{secret[0]}: other users of this machine can read {env_file}; run: chmod 600 {env_file}")
    given |= environ
    parsed: dict[str, Any] = {}
    for key, value in sorted(given.items()):
        if not key.startswith(PREFIX):
            continue
        if key not in known:
            faults.append(f"{key}: no such setting (see .env.example)")
            continue
        try:
            parsed[known[key].name] = known[key].metadata["parse"](value)
        except ValueError as error:
            shown = "the value given" if _secret(key, value) else repr(value)
            faults.append(f"{key}: {shown} {error}")
    open_to = (*_LOOPBACK, *parsed.get("egress_allow", ()))
    for source in parsed.get("source", ()):
        if not source.encrypted and source.host not in open_to:
            better = source.url.replace("ws://", "wss://")
            faults.append(
                f"{PREFIX}SOURCE: {source.url!r} is not encrypted; write {better} (ws:// is for this machine)"
            )
    if faults:
        raise ConfigError("\n".join(faults))
    config = Config(**parsed)
    if config.listen_port and (config.listen_host, config.listen_port) == (config.metrics_host, config.metrics_port):
        raise ConfigError(
            f"{PREFIX}LISTEN_PORT and {PREFIX}METRICS_PORT: both are {config.listen_port}; give each its own"
        )
    return config
