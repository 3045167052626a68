"""`communities labeler canary`: does a label that is decided here get shown? One is, and the AppView is asked.

The label goes the whole way: outbox, signature, stream, AppView, back in an answer. When it does not arrive, what was
seen on the way says which link is missing. In the end it is taken back, and its absence awaited too.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson

from labeler import rotation
from labeler.issue import LabelRefusedError, Wanted, issue
from labeler.vocabulary import Declared
from models import labelers
from models.database import Connection, sql, writing
from service.checkup import MAX_BODY
from service.cli import CommandError, UsageError
from service.config import Config
from service.labeler_account import chosen, opened
from xrpc.egress import egress_session
from xrpc.syntax import parse_at_uri

HELP = (
    "Label a post, wait until the AppView shows the label, take it back and wait until it is gone. Says how long each"
    " took, or which link is missing. Readers who follow the labeler see the label meanwhile: take a post of an account"
    " of your own (not the labeler's) and a value that means nothing, such as `test`."
)
EVERY = 2.0
"""Seconds between two questions."""


class Sight(NamedTuple):
    """What was seen at one look. `sent`: our own server has the label as it should be; `declared`: the AppView has the
    record, which names the value; `honoured`: it takes labels of the labeler into account; `there`: it shows the label.
    """

    sent: bool
    declared: bool
    honoured: bool
    there: bool


@dataclass
class Outcome:
    """How it went. Seconds are None where something did not come in time; then `missing` says what."""

    labeler: str
    post: str
    value: str
    sent_seconds: float | None = None
    shown_seconds: float | None = None
    gone_seconds: float | None = None
    missing: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the action."""
    parser.add_argument("--post", required=True, metavar="AT-URI", help="the post to label, with the DID of its author")
    parser.add_argument("--value", default="test", help="a declared value (default: test)")
    parser.add_argument("--minutes", type=_minutes, default=5.0, help="how long to wait for each step (default: 5)")


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= 1440:
        raise argparse.ArgumentTypeError("must be a number of minutes above 0")
    return minutes


def run(config: Config, args: argparse.Namespace) -> int:
    """Try; 0: the label came and went, 1: something is missing."""
    declared = chosen(config, args)
    uri = parse_at_uri(args.post)
    if uri is None or not uri.authority.startswith("did:") or not uri.rkey:
        raise UsageError(
            f"{args.post} is no at-uri of a post with a DID, such as at://did:plc:.../app.bsky.feed.post/..."
        )
    if uri.authority == declared.did:
        raise CommandError("labels of an account on its own posts count as the author's own; take another's post")
    if args.value not in declared.values:
        raise CommandError(f"{args.value} is not declared; there is {', '.join(sorted(declared.values))}")

    def decide(add: bool) -> None:
        issue_or_take_back(config, declared, args.post, args.value, add)

    outcome = asyncio.run(watch(config, declared, args.post, args.value, decide, args.minutes * 60))
    if args.json:
        print(json.dumps(asdict(outcome), indent=2, ensure_ascii=False))
    else:
        for what, seconds in (
            ("published", outcome.sent_seconds),
            ("shown by the AppView", outcome.shown_seconds),
            ("gone again", outcome.gone_seconds),
        ):
            print(f"{what:<21} {'not seen' if seconds is None else f'after {seconds:.1f} s'}")
    if outcome.missing:
        print(f"communities: {outcome.missing}", file=sys.stderr)
    return 1 if outcome.missing else 0


def issue_or_take_back(config: Config, declared: Declared, post: str, value: str, add: bool) -> None:
    """Let the label be issued, or taken back, as any other is. Raises CommandError."""
    with opened(config) as database:
        labeler = labelers.find(sql(database), declared.did)
        if labeler is None:
            raise CommandError(f"{declared.did} has no key in use; run `communities labeler init`")
        if add:  # what was added is taken back, whatever has happened meanwhile
            _signs(sql(database), declared, labeler)
        wanted = Wanted(
            labeler=labeler,
            src=declared.did,
            uri=post,
            add=(value,) if add else (),
            remove=() if add else (value,),
            actor="cli",
            role="operator",
            reason="canary",
        )
        try:
            with writing(database) as connection:
                done = issue(connection, declared, wanted, time.time_ns() // 1_000_000)
        except LabelRefusedError as error:
            raise CommandError(str(error)) from error
    if add and done.event is None:  # somebody's own: it is not the canary's to take back
        raise CommandError(f"{post} has {value} already; take it back first, or choose another post")


def _signs(connection: Connection, declared: Declared, labeler: int) -> None:
    """Whether anything can be published now. Raises CommandError."""
    if paused := rotation.held(connection, labeler):
        raise CommandError(
            f"labels wait: {paused.public} is being replaced; go on with `communities labeler rotate-key`, or go back"
            " with --abandon"
        )
    if labelers.active_key(connection, labeler) is None:
        raise CommandError(f"{declared.did} has no key in use; run `communities labeler init`")


async def watch(
    config: Config,
    declared: Declared,
    post: str,
    value: str,
    decide: Callable[[bool], None],
    seconds: float,
    every: float = EVERY,
) -> Outcome:
    """Have the label issued (`decide(True)`, in a thread) and taken back, and look how far each gets within
    `seconds`.
    """
    outcome = Outcome(declared.did, post, value)
    here = urlsplit(declared.endpoint).hostname or "" if declared.endpoint.startswith("http:") else ""
    async with egress_session((*config.egress_allow, *([here] if here else []))) as session:
        before = await look(session, config.appview_url, declared, post, value, there=True)
        if before.there:
            outcome.missing = f"{post} has {value} already; take it back first, or choose another post"
            return outcome
        decided = asyncio.create_task(asyncio.to_thread(decide, True))
        try:
            await asyncio.shield(decided)
            await _wait(session, config, outcome, declared, seconds, every, there=True)
        finally:
            await asyncio.wait((decided,))
            if decided.exception() is None:  # else nothing was issued that could be taken back
                await asyncio.to_thread(decide, False)
        if not outcome.missing:
            await _wait(session, config, outcome, declared, seconds, every, there=False)
    return outcome


async def _wait(
    session: aiohttp.ClientSession,
    config: Config,
    outcome: Outcome,
    declared: Declared,
    seconds: float,
    every: float,
    *,
    there: bool,
) -> None:
    began = time.monotonic()
    while True:
        sight = await look(session, config.appview_url, declared, outcome.post, outcome.value, there=there)
        passed = time.monotonic() - began
        believed = sight.declared and sight.honoured
        # It may have gone out and been taken in between the question to our own server and the one to the AppView.
        if there and (sight.sent or sight.there) and outcome.sent_seconds is None:
            outcome.sent_seconds = passed
        if sight.there == there and believed:
            if there:
                outcome.shown_seconds = passed
            else:
                outcome.gone_seconds = passed
            return
        if passed > seconds:
            outcome.missing = missing(sight, config.appview_url, there=there)
            return
        await asyncio.sleep(every)


def missing(sight: Sight, appview: str, *, there: bool) -> str:
    """Which link is missing, from what was seen last."""
    what = "label" if there else "negation"
    if not sight.sent:
        return (
            f"our own queryLabels does not have the {what}: the publisher has not signed it, or the public name leads"
            " elsewhere; see `communities labeler status` and `labeler doctor`"
        )
    if not sight.declared:
        return (
            f"{appview} does not know that the labeler says this (app.bsky.labeler.getServices), so no client shows it:"
            " the record is missing, older, or was not taken in; see `communities labeler doctor --only record appview`"
        )
    if not sight.honoured:
        return (
            f"{appview} does not take the labeler into account (atproto-content-labelers leaves it out): the account"
            " is not active there; see `communities labeler doctor --only record appview`"
        )
    return (
        f"{appview} knows the labeler and has not taken in the {what}: it is not connected to subscribeLabels, behind,"
        " or does not believe the signature; see subscribers in `communities labeler status`, and `labeler doctor`"
    )


async def look(
    session: aiohttp.ClientSession, appview: str, declared: Declared, post: str, value: str, *, there: bool
) -> Sight:
    """How far it is. What cannot be asked counts as not seen."""
    own, _ = await _get(
        session,
        f"{declared.endpoint}/xrpc/com.atproto.label.queryLabels",
        {"uriPatterns": post, "sources": declared.did, "limit": "250"},
    )
    listed = [label for label in _items(own, "labels") if label.get("val") == value]
    negated = bool(listed) and all(label.get("neg") for label in listed)
    known, _ = await _get(
        session, f"{appview}/xrpc/app.bsky.labeler.getServices", {"dids": declared.did, "detailed": "true"}
    )
    named = any(_names(one.get("policies"), value) for one in _items(known, "views"))
    view, headers = await _get(
        session,
        f"{appview}/xrpc/app.bsky.feed.getPosts",
        {"uris": post},
        {"atproto-accept-labelers": declared.did},
    )
    honoured = declared.did in headers.get("atproto-content-labelers", "")
    shown = any(
        label.get("src") == declared.did and label.get("val") == value and not label.get("neg")
        for one in _items(view, "posts")
        for label in _items(one, "labels")
    )
    sent = negated if not there else bool(listed) and not negated
    return Sight(sent, named, honoured, shown)


def _names(policies: Any, value: str) -> bool:
    values = policies.get("labelValues") if isinstance(policies, dict) else None
    return isinstance(values, list) and value in values


def _items(value: Any, name: str) -> list[dict[str, Any]]:
    items = value.get(name) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


async def _get(
    session: aiohttp.ClientSession, url: str, params: dict[str, str], headers: dict[str, str] | None = None
) -> tuple[Any, dict[str, str]]:
    try:
        async with session.get(url, params=params, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > MAX_BODY:
                    raise ValueError(f"more than {MAX_BODY} bytes")
            return orjson.loads(body), {name.lower(): text for name, text in response.headers.items()}
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None, {}
