"""`communities quarantine`: the messages that ingest passed over, because they could not be read or applied."""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firehose import quarantine
from firehose.dissect import dissect
from firehose.quarantine import MOST_BYTES, Kept
from models.database import open_database, sql, writing
from service.cli import CommandError
from service.config import Config
from service.terminal import plain

HELP = (
    "List the messages that ingest passed over because they could not be read or applied, the newest first; `show ID`"
    " says what can be made out of one, `clear` deletes them. At most 200 are kept."
)
_SHOW = "Print one message, decoded as far as it can be. Exit code 1 if there is none of this ID."
_CLEAR = "Delete the messages named, or all, without asking; a running ingest goes on. Exit code 1 if one is not there."
_LIMIT = 20
_WIDTH = 400
_DUMPED = 64
_LAST = 0x7FFF_FFFF_FFFF_FFFF


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing, or one of `show` and `clear`."""
    parser.add_argument("--limit", type=_whole, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("show", help="what one message is", description=_SHOW)
    show.add_argument("id", metavar="ID", type=_whole)
    show.add_argument("--raw", type=Path, metavar="FILE", help="write its bytes there, as they came")
    clear = actions.add_parser("clear", help="delete messages", description=_CLEAR)
    clear.add_argument("ids", metavar="ID", type=_whole, nargs="*", help="which (default: all)")
    for action in (show, clear):
        # Common flags may stand behind the action too; what stands before it is not to be undone by a default.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as before the action")
        action.add_argument("--env-file", type=Path, default=argparse.SUPPRESS, help="as before the action")


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 0 < int(text) <= _LAST:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def run(config: Config, args: argparse.Namespace) -> int:
    """Do what was asked for."""
    if args.action == "clear":
        return _clear(config, args)
    database = open_database(config.database, readonly=True)
    try:
        connection = sql(database)
        if args.action == "show":
            return _show(quarantine.find(connection, args.id), args)
        kept = quarantine.newest(connection, args.limit)
        (total,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    finally:
        database.close()
    if args.json:
        print(json.dumps([_row(one) for one in kept], indent=2))
        return 0
    for one in kept:
        where = f"{one.seq:>14}  {plain(one.source)}"
        print(f"{one.id:>6}  {_moment(one.at)}  {one.size:>9,} B  {where}  {plain(one.reason)}")
    print(f"{len(kept)} of {total}; `communities quarantine show ID` says what one is" if kept else "nothing is kept")
    return 0


def _clear(config: Config, args: argparse.Namespace) -> int:
    open_database(config.database, readonly=True).close()  # deleting is no reason to make or to migrate one
    database = open_database(config.database)
    try:
        with writing(database) as connection:
            gone = quarantine.clear(connection, args.ids)
    finally:
        database.close()
    missing = sorted(set(args.ids) - set(gone))
    if args.json:
        print(json.dumps({"deleted": len(gone), "missing": missing}))
    else:
        print(f"{len(gone)} deleted" + (f"; not there: {', '.join(map(str, missing))}" if missing else ""))
    return 1 if missing else 0


def _show(found: tuple[Kept, bytes] | None, args: argparse.Namespace) -> int:
    if found is None:
        raise CommandError(f"no message {args.id} is in quarantine; `communities quarantine` lists them")
    kept, frame = found
    if args.raw is not None:
        try:
            args.raw.write_bytes(frame)
        except OSError as error:
            raise CommandError(f"{args.raw}: cannot be written: {error}") from error
    if args.json:
        print(json.dumps({**_row(kept), "frame": asdict(dissect(frame))}, indent=2))
    else:
        print("\n".join(_for_people(kept, frame)))
        if args.raw is not None:
            print(f"written    {len(frame):,} bytes to {args.raw}")
    return 0


def _row(kept: Kept) -> dict[str, Any]:
    return {**asdict(kept), "at": _moment(kept.at)}


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def _for_people(kept: Kept, frame: bytes) -> Iterator[str]:
    found = dissect(frame)
    cut = " (the first of more, perhaps)" if kept.size >= MOST_BYTES else ""
    yield f"id         {kept.id}\nsource     {plain(kept.source)}\nseq        {kept.seq}"
    yield f"when       {_moment(kept.at)}\nreason     {plain(kept.reason)}\nsize       {kept.size:,} bytes{cut}"
    yield f"header     {_line(found.header)}"
    payload, ops = found.payload, None
    if isinstance(payload, dict):
        ops = payload.pop("ops", None)
        yield "payload"
        for key, value in payload.items():
            yield f"  {plain(key)}: {_line(value)}"
    else:
        yield f"payload    {_line(payload)}"
    if isinstance(ops, list):
        yield f"ops        {len(ops)}"
        for op in ops:
            yield f"  {_op(op)}"
    elif ops is not None:
        yield f"ops        {_line(ops)}"
    if found.fault:
        yield f"ends       {found.fault}"
    yield f"bytes      {_dump(frame)}"


def _op(op: Any) -> str:
    """An operation in the order of words in which people read it; anything else as it is."""
    if not isinstance(op, dict) or not isinstance(op.get("action"), str) or not isinstance(op.get("path"), str):
        return _line(op)
    rest = {key: value for key, value in op.items() if key not in ("action", "path")}
    cid = rest.get("cid")
    if isinstance(cid, dict) and isinstance(cid.get("$link"), str):
        rest["cid"] = cid["$link"]
    said = " ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in rest.items())
    return _cut(plain(f"{op['action']} {op['path']} {said}".rstrip()))


def _line(value: Any) -> str:
    return _cut(plain(json.dumps(value, ensure_ascii=False)))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _dump(frame: bytes) -> str:
    """The first bytes, in sixteens, and their ASCII."""
    rows = [frame[at : at + 16] for at in range(0, min(len(frame), _DUMPED), 16)]
    lines = ("".join(chr(byte) if 32 <= byte < 127 else "." for byte in row) for row in rows)
    return "\n           ".join(f"{row.hex(' '):<47}  {line}" for row, line in zip(rows, lines, strict=True)) or "none"
