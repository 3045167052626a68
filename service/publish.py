"""`communities publish`: write or update the feed records of the declared communities.

A record stands in the publisher's repository at rkey = slug (slug.hot and so on where the newest are not first), and
its URI is what people save, pin and like. So it is updated in place: createdAt and fields that we do not know stay, the
write is tied to the version that was read (swapRecord), and a record that is right already is not written at all.
Everything that can be wrong with any community is found before the first write.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from communities.declaration import read_declaration
from communities.toml_file import DeclarationError
from service.config import Config
from service.generator import (
    AVATAR_BYTES,
    COLLECTION,
    OWN,
    Avatar,
    AvatarError,
    DeclaredFeed,
    avatar_of,
    changed_fields,
    declared_feeds,
    faults,
    feed_uri,
    generator_record,
    has_avatar,
)
from service.pds import PdsError, PdsSession, SignInError, sign_in_as_publisher

HELP = "write or update the feed records of the communities in the publisher's repository"

Standing = Mapping[str, tuple[str, dict[str, Any]]]
"""The feed records of the publisher's repository: rkey -> (cid, record)."""


@dataclass(frozen=True)
class Published:
    """What was done for one feed: created, updated or unchanged; which fields an update changed. `slug`: its rkey."""

    slug: str
    uri: str
    status: str
    changed: tuple[str, ...] = ()


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "slugs", nargs="*", metavar="SLUG", help="only these communities, or single feeds of them such as birds.hot"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="also rewrite records that name another feed generator, as after a move of this service",
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Publish; 0: every record is as declared, 1: the PDS or a record is in the way, 2: wrong settings."""
    try:
        declared = declared_feeds(read_declaration(config.rules))
        chosen = _chosen(declared, args.slugs)
        avatars = _check(chosen, config.rules.parent)
        with sign_in_as_publisher(config) as session:
            standing = {rkey: (cid, record) for rkey, cid, record in session.list_records(COLLECTION)}
            if not args.take_over and not _all_ours(chosen, standing, config.did, session.did):
                return 1
            done, failure = _publish(config, args, chosen, avatars, standing, session)
    except (DeclarationError, SignInError) as error:
        print(f"communities: {error}", file=sys.stderr)
        return 2
    except PdsError as error:
        print(f"communities: {error}", file=sys.stderr)
        return 1
    orphans = orphaned(standing, config.did, {feed.rkey for feed in declared})
    if args.json:
        result = {
            "publisher": config.publisher,
            "dryRun": args.dry_run,
            "feeds": [asdict(published) for published in done],
            "orphans": [{"slug": slug, "uri": feed_uri(config.publisher, slug)} for slug in orphans],
            "error": failure,
        }
        print(json.dumps(result, indent=2, ensure_ascii=False))
    elif orphans:
        print(f"Not declared any more, but still published: {', '.join(orphans)}")
        print(f"To remove: communities unpublish {' '.join(orphans)}")
    if failure:
        print(f"communities: {failure}", file=sys.stderr)
    return 1 if failure else 0


def _publish(
    config: Config,
    args: argparse.Namespace,
    chosen: Sequence[DeclaredFeed],
    avatars: Mapping[str, Avatar],
    standing: Standing,
    session: PdsSession,
) -> tuple[list[Published], str | None]:
    """Write what differs. What was done is reported also when the PDS fails half-way: (done, failure)."""
    done: list[Published] = []
    for number, feed in enumerate(chosen, 1):
        slug, avatar = feed.rkey, avatars.get(feed.community.slug)
        if args.json:  # without it, the line of each feed is the progress
            print(f"[{number}/{len(chosen)}] {slug}", file=sys.stderr, flush=True)
        cid, existing = standing.get(slug, (None, None))
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        keeps = existing is not None and avatar is not None and has_avatar(existing, avatar)
        blob = existing["avatar"] if existing and keeps else avatar.blob() if avatar else None
        record = generator_record(feed, config.did, blob, existing, now)
        changed = changed_fields(existing or {}, record)
        status = "created" if existing is None else "updated" if changed else "unchanged"
        if changed and not args.dry_run:
            try:
                if avatar and not keeps:
                    record["avatar"] = session.upload_blob(avatar.content, avatar.mime)
                session.put_record(COLLECTION, slug, record, cid)
            except PdsError as error:
                return done, f"{slug}: {error}"
        done.append(Published(slug, feed_uri(session.did, slug), status, changed if existing else ()))
        if not args.json:
            _print_published(done[-1], dry_run=args.dry_run)
    return done, None


def _print_published(published: Published, *, dry_run: bool) -> None:
    verb = f"would be {published.status}" if dry_run and published.status != "unchanged" else published.status
    fields = f" ({', '.join(published.changed)})" if published.changed else ""
    print(f"{published.slug}: {verb}{fields}  {published.uri}", flush=True)


def orphaned(standing: Standing, did: str, declared: Iterable[str]) -> list[str]:
    """The keys of the records that name our service as generator although nobody declares them, sorted."""
    return sorted(slug for slug in standing.keys() - {*declared, OWN.rkey} if standing[slug][1].get("did") == did)


def _all_ours(chosen: Sequence[DeclaredFeed], standing: Standing, did: str, publisher: str) -> bool:
    keys = [feed.rkey for feed in chosen]
    foreign = [rkey for rkey in keys if rkey in standing and standing[rkey][1].get("did") != did]
    for slug in foreign:
        print(
            f"{slug}: {feed_uri(publisher, slug)} is served by {standing[slug][1].get('did')}, not by {did}; "
            "choose another slug, or make it ours with --take-over",
            file=sys.stderr,
        )
    return not foreign


def _chosen(declared: Sequence[DeclaredFeed], names: Sequence[str]) -> list[DeclaredFeed]:
    """The feeds that are named: by a slug all of a community, by a record key one."""
    everything = [*declared, OWN]
    known = {name for feed in everything for name in (feed.community.slug, feed.rkey)}
    if unknown := [name for name in names if name not in known]:
        there = ", ".join(dict.fromkeys(feed.rkey for feed in declared))
        raise DeclarationError(f"not declared: {', '.join(unknown)}; there are {there}")
    if not names:
        return list(declared)
    return [feed for feed in everything if feed.community.slug in names or feed.rkey in names]


def _check(chosen: Sequence[DeclaredFeed], folder: Path) -> dict[str, Avatar]:
    """The avatars by the communities' slugs. Raises DeclarationError with every limit that any of them breaks."""
    found: list[str] = []
    avatars: dict[str, Avatar] = {}
    for community in {feed.community.slug: feed.community for feed in chosen}.values():
        found += faults(community)
        if community.avatar is None:
            continue
        path = folder / community.avatar
        try:
            with path.open("rb") as file:
                avatars[community.slug] = avatar_of(file.read(AVATAR_BYTES + 1))
        except OSError as error:
            found.append(f"{community.slug}: avatar {path} cannot be read: {error.strerror}")
        except AvatarError as error:
            found.append(f"{community.slug}: avatar {path}: {error}")
    if found:
        raise DeclarationError("\n".join(found))
    return avatars
