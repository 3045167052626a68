"""`communities labeler publish`: writes the record that tells clients which labels there are and what they mean.

Server first, record second: an AppView that reads the record connects to the endpoint at once, and one that finds
nobody there may not try again for long. So what `labeler doctor` says of the server must be good before anything is
written. The record is updated in place, tied to the version that was read; fields that we do not know stay.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from labeler.vocabulary import COLLECTION, MOST_BYTES, RKEY, record_bytes, service_record
from service.cli import CommandError
from service.config import Config
from service.labeler_account import chosen, sign_in_arguments, sign_in_as
from service.labeler_doctor import examine_server

HELP = (
    "Write the labeler's record (app.bsky.labeler.service) from labels.toml, or update it, after a look whether the"
    " server can be reached at its endpoint. What differs is shown; a record that is right already is not written."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the action."""
    sign_in_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, write nothing")
    unchecked = "write without a look at the server; clients that read the record before it is there may give up"
    parser.add_argument("--unchecked", action="store_true", help=unchecked)


def run(config: Config, args: argparse.Namespace) -> int:
    """Publish; 0: the record is as declared, 1: the server, the PDS or the record is in the way."""
    declared = chosen(config, args)
    if not args.unchecked and (found := examine_server(config, declared)):
        told = "\n".join(f"  {name}: {finding.seen}\n    -> {finding.fix}" for name, finding in found)
        raise CommandError(f"the labeler's server is not ready, and the record comes after it:\n{told}")
    with sign_in_as(config, args, declared) as session:
        standing = {rkey: (cid, record) for rkey, cid, record in session.list_records(COLLECTION)}
        cid, existing = standing.get(RKEY, (None, {}))
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        created = existing.get("createdAt")
        record = {**existing, **service_record(declared, created if isinstance(created, str) else now)}
        lines = list(differences(existing, record))
        status = "created" if cid is None else "updated" if lines else "unchanged"
        if lines and not args.dry_run:
            session.put_record(COLLECTION, RKEY, record, cid)
    uri = f"at://{declared.did}/{COLLECTION}/{RKEY}"
    size = record_bytes(declared)
    if args.json:
        result = {"uri": uri, "status": status, "dryRun": args.dry_run, "differences": lines, "bytes": size}
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return 0
    print("\n".join(f"  {line}" for line in lines), end="\n" if lines else "")
    verb = f"would be {status}" if args.dry_run and lines else status
    print(f"{uri}: {verb}, {size:,} of {MOST_BYTES:,} bytes")
    if any(line.startswith("- label ") for line in lines):
        print("Labels with a value that is not declared any more are not shown; take them back.", file=sys.stderr)
    return 0


def differences(existing: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    """In what two records differ, a line each: labels that come (+), go (-) or change (~), and other fields."""
    old, new = _policies(existing), _policies(record)
    before, after = _values(old), _values(new)
    for value in [*after, *(value for value in before if value not in after)]:
        if value not in before:
            yield f"+ label {value}"
        elif value not in after:
            yield f"- label {value}"
        elif changed := sorted(
            k for k in before[value].keys() | after[value].keys() if _differs(before, after, value, k)
        ):
            yield f"~ label {value} ({', '.join(changed)})"
    if before == after and old != new:
        yield "~ order of the labels"
    for name in sorted((existing.keys() | record.keys()) - {"policies"}):
        if existing.get(name) != record.get(name):
            yield f"{'~' if name in existing else '+'} {name}"


def _policies(record: Mapping[str, Any]) -> Mapping[str, Any]:
    policies = record.get("policies")
    return policies if isinstance(policies, Mapping) else {}


def _values(policies: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a record says of each value; nothing of one that it only names."""
    values, definitions = policies.get("labelValues"), policies.get("labelValueDefinitions")
    found: dict[str, Mapping[str, Any]] = {str(v): {} for v in values} if isinstance(values, list) else {}
    for one in definitions if isinstance(definitions, list) else []:
        if isinstance(one, Mapping) and str(one.get("identifier")) in found:
            found[str(one["identifier"])] = one
    return found


def _differs(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], value: str, key: str
) -> bool:
    return bool(before[value].get(key) != after[value].get(key))
