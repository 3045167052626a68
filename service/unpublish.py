"""`communities unpublish`: delete feed records, once confirmed, because likes and saves go with them."""

import argparse
import json
import sys
from collections.abc import Sequence

from communities.declaration import read_declaration
from communities.toml_file import DeclarationError
from service.config import Config
from service.generator import COLLECTION, declared_feeds, feed_uri
from service.pds import PdsError, PdsSession, SignInError, sign_in_as_publisher
from service.publish import orphaned

HELP = "delete feed records from the publisher's repository; their likes and saves are lost"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "slugs", nargs="*", metavar="SLUG", default=[], help="the feeds to delete, such as birds or birds.hot"
    )
    which.add_argument("--orphans", action="store_true", help="all feeds of this service that are not declared")
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def run(config: Config, args: argparse.Namespace) -> int:
    """Unpublish; 0: the records are gone, 1: one is not there or the PDS failed, 2: not confirmed."""
    try:
        declared = [feed.rkey for feed in declared_feeds(read_declaration(config.rules))] if args.orphans else []
        with sign_in_as_publisher(config) as session:
            return _unpublish(config, args, declared, session)
    except (DeclarationError, SignInError) as error:
        print(f"communities: {error}", file=sys.stderr)
        return 2
    except PdsError as error:
        print(f"communities: {error}", file=sys.stderr)
        return 1


def _unpublish(config: Config, args: argparse.Namespace, declared: Sequence[str], session: PdsSession) -> int:
    standing = {rkey: (cid, record) for rkey, cid, record in session.list_records(COLLECTION)}
    slugs = orphaned(standing, config.did, declared) if args.orphans else list(dict.fromkeys(args.slugs))
    wrong = 0
    for slug in slugs:
        uri = feed_uri(session.did, slug)
        if slug not in standing:
            wrong += 1
            print(f"{slug}: there is no {uri}", file=sys.stderr)
        elif (did := standing[slug][1].get("did")) != config.did:
            wrong += 1
            print(f"{slug}: {uri} is served by {did}, not by {config.did}", file=sys.stderr)
    if wrong:
        print("Nothing was deleted.", file=sys.stderr)
        return 1
    if slugs and not args.yes and not _confirmed([feed_uri(session.did, slug) for slug in slugs]):
        return 2
    deleted: list[dict[str, str]] = []
    failure = None
    for slug in slugs:
        uri = feed_uri(session.did, slug)
        try:
            session.delete_record(COLLECTION, slug, standing[slug][0])
        except PdsError as error:
            failure = f"{slug}: {error}"
            print(f"communities: {failure}", file=sys.stderr)
            break
        deleted.append({"slug": slug, "uri": uri})
        if not args.json:
            print(f"{slug}: deleted  {uri}", flush=True)
    if args.json:
        print(json.dumps({"publisher": session.did, "deleted": deleted, "error": failure}, indent=2))
    elif not slugs:
        print("There is no orphan: every published feed of this service is declared.")
    return 1 if failure else 0


def _confirmed(uris: Sequence[str]) -> bool:
    print("These feeds are going to be deleted:", *uris, sep="\n  ", file=sys.stderr)
    print("Their likes and saves are lost; publishing them again does not bring them back.", file=sys.stderr)
    if not sys.stdin.isatty():
        print("Nothing was deleted: say --yes to confirm.", file=sys.stderr)
        return False
    print("Type delete to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() == "delete":
        return True
    print("Nothing was deleted.", file=sys.stderr)
    return False
