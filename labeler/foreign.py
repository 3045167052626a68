"""Other labelers are read: their streams, from where they were read up to, with their signatures checked.

Nothing that they send ends this: what is no message ends the connection, which is made again later; what is no label,
or not signed with the key of their DID document, is left out and counted. Kept is only what says one of the values that
`labels.toml` names, of a post or account that is known here.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple, NoReturn

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from communities.refs import read_post_uri
from labeler.foreign_acts import Acts
from labeler.foreign_frames import (
    MOST_BYTES,
    BadFrameError,
    Frame,
    Signed,
    StreamEndedError,
    read_frame,
)
from labeler.rules import Input
from models import foreign_labels
from models.database import Connection, sql, writing
from xrpc.did import document_url, parse_endpoint
from xrpc.egress import FetchError, fetch_json
from xrpc.key import BadKey, PublicKey, parse_verification_method

log = logging.getLogger(__name__)

METHOD = "com.atproto.label.subscribeLabels"
MOST_FRAMES = 200
"""Messages that are stored together."""
MOST_LABELS = 1000
"""Labels: then no further message is waited for."""
PIECE = 100
"""Labels that are checked and stored at a time: a tenth of a second, for rules and ingest wait meanwhile."""
WAIT_SECONDS = 0.05
"""How long more of them are waited for."""
QUIET_SECONDS = 30.0
"""After so long a ping asks whether the other side is there."""
REFRESH_SECONDS = 60.0
"""At most so often a DID document is asked for again because a signature is bad."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
MOST_POSTS = 50
"""Of an account that is labelled as a whole, so many of its newest posts are looked at again."""


class UnreadableError(Exception):
    """A labeler cannot be read now; the message says why."""


class Identity(NamedTuple):
    """Where a labeler is, and its key."""

    endpoint: str
    key: PublicKey


class ForeignLabels:
    """Reads one labeler, for as long as `run` runs."""

    def __init__(
        self,
        database: APSWDatabase,
        session: aiohttp.ClientSession,
        plc_url: str,
        allow: Collection[str],
        source: Input,
        values: Collection[str],
        acts: Acts,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        clock: Callable[[], float],
        delays: tuple[float, float] = (FIRST_DELAY, LONGEST_DELAY),
    ) -> None:
        """`session`: guarded; `values`: those that are kept; `in_thread`: runs what uses the database; `clock`: gives
        seconds.
        """
        self._database, self._session, self._plc_url, self._allow = database, session, plc_url, allow
        self._did, self._history, self._values, self._acts = source.did, source.history, frozenset(values), acts
        self._in_thread, self._clock, self._delays = in_thread, clock, delays
        self._refreshed = float("-inf")
        self._identity: Identity | None = None
        self.counts: Counter[str] = Counter()

    async def run(self) -> NoReturn:
        """Read, until cancelled."""
        delay = self._delays[0]
        while True:
            before = self.counts["messages"]
            try:
                await self._connect()
                state = "the connection was closed"
            except (UnreadableError, StreamEndedError, BadFrameError) as error:
                state = str(error)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                state = f"cannot be reached ({type(error).__name__})"
            self.counts["connections ended"] += 1
            if self.counts["messages"] > before:
                delay = self._delays[0]
            log.warning("reading the labels of %s goes on in %.0f s: %s", self._did, delay, state)
            await self._tell(state)
            await asyncio.sleep(random.uniform(delay / 2, delay))
            delay = min(delay * 2, self._delays[1])

    async def _connect(self) -> None:
        """One connection, to its end."""
        identity = self._identity = await self._identify()
        cursor = await self._in_thread(lambda: foreign_labels.cursor(sql(self._database), self._did))
        if cursor is None and self._history:
            cursor = 0
        url = f"ws{identity.endpoint.removeprefix('http')}/xrpc/{METHOD}" + (
            "" if cursor is None else f"?cursor={cursor}"
        )
        async with self._session.ws_connect(
            url, max_msg_size=MOST_BYTES, heartbeat=QUIET_SECONDS, compress=0
        ) as socket:
            await self._tell("reading")
            while True:
                frames, goes_on, fault = await self._receive(socket)
                if frames:
                    await self._take(frames)
                if fault is not None:
                    raise fault
                if not goes_on:
                    return

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> tuple[list[Frame], bool, Exception | None]:
        """The next messages that come together; whether there may be more; what is wrong with the one behind them."""
        frames: list[Frame] = []
        wait: float | None = None
        labels = 0
        while len(frames) < MOST_FRAMES and labels < MOST_LABELS:
            try:
                message = await socket.receive(timeout=wait)
            except TimeoutError:
                return frames, True, None
            if message.type is aiohttp.WSMsgType.BINARY:
                try:
                    frames.append(read_frame(message.data, self._did, self._values, int(self._clock() * 1000)))
                    self.counts["messages"] += 1
                    labels += len(frames[-1].labels)
                except (BadFrameError, StreamEndedError) as fault:
                    self.counts["bad messages"] += isinstance(fault, BadFrameError)
                    return frames, False, fault
            elif message.type is not aiohttp.WSMsgType.TEXT:  # texts are passed over
                return frames, False, None
            wait = WAIT_SECONDS
        return frames, True, None

    async def _take(self, frames: Sequence[Frame]) -> None:
        """Check and store what messages say, and up to where they were read."""
        for frame in frames:
            self.counts["bad labels"] += frame.bad
            self.counts["labels of other values"] += frame.passed
            self.counts["gaps"] += frame.outdated
        signed = [one for frame in frames for one in frame.labels]
        seq = next((frame.seq for frame in reversed(frames) if frame.seq is not None), None)
        for start in range(0, len(signed), PIECE):
            await self._take_piece(signed[start : start + PIECE])
        if seq is not None:
            await self._in_thread(lambda: self._store([], seq))

    async def _take_piece(self, signed: Sequence[Signed]) -> None:
        failed = await self._in_thread(lambda: self._store(signed, None))
        if failed and await self._refresh():
            failed = await self._in_thread(lambda: self._store(failed, None))
        self.counts["bad signatures"] += len(failed)

    def _store(self, signed: Sequence[Signed], seq: int | None) -> list[Signed]:
        """Keep what is about somebody known and well signed; returns what is not well signed. In the thread."""
        assert self._identity is not None  # noqa: S101 - it is connected
        connection, key = sql(self._database), self._identity.key
        known = [one for one in signed if _is_known(connection, one.label.uri)]
        checked = [(one, one.is_by(key)) for one in known]
        good = [one.label for one, is_good in checked if is_good]
        self.counts["labels of others"] += len(signed) - len(known)
        if good or seq is not None:
            with writing(self._database) as connection:
                now = int(self._clock() * 1000)
                self.counts["labels"] += self._acts.store(connection, good, MOST_POSTS, now)
                if seq is not None:
                    foreign_labels.keep_cursor(connection, self._did, seq)
        return [one for one, is_good in checked if not is_good]

    async def _refresh(self) -> bool:
        """Ask for the key again, once in a while; whether there is a new one."""
        now = asyncio.get_running_loop().time()
        if now - self._refreshed < REFRESH_SECONDS:
            return False
        self._refreshed = now
        before = self._identity
        try:
            self._identity = await self._identify()
        except UnreadableError:
            return False
        return before is None or self._identity.key != before.key

    async def _identify(self) -> Identity:
        """Endpoint and key of the labeler, from its DID document. Raises UnreadableError."""
        url = document_url(self._did, self._plc_url, self._allow)
        if url is None:
            raise UnreadableError(f"{self._did} is no DID that can be looked up")
        try:
            document = await fetch_json(self._session, url)
        except FetchError as error:
            raise UnreadableError(f"its DID document {error}") from error
        identity = read_identity(self._did, document, development=bool(self._allow))
        if identity is None:
            raise UnreadableError("its DID document names no labeler (#atproto_labeler, #atproto_label)")
        return identity

    async def _tell(self, state: str) -> None:
        def keep() -> None:
            with writing(self._database) as connection:
                foreign_labels.keep_state(connection, self._did, int(self._clock() * 1_000_000), state, self.counts)

        await self._in_thread(keep)


def read_identity(did: str, document: Any, *, development: bool) -> Identity | None:
    """Endpoint and key of a labeler; None where the document is not its own, or names none."""
    if type(document) is not dict or document.get("id") != did:
        return None
    endpoint = key = None
    for entry in _entries(document, "service"):
        if entry.get("id") in ("#atproto_labeler", f"{did}#atproto_labeler") and entry.get("type") == "AtprotoLabeler":
            endpoint = endpoint or parse_endpoint(entry.get("serviceEndpoint"), development=development)
    for entry in _entries(document, "verificationMethod"):
        if entry.get("id") in ("#atproto_label", f"{did}#atproto_label") and entry.get("controller") == did:
            try:
                key = key or parse_verification_method(entry)
            except BadKey:
                continue
    return Identity(endpoint, key) if endpoint and key else None


def _entries(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = document.get(name)
    return [one for one in entries[:100] if type(one) is dict] if type(entries) is list else []


def _is_known(connection: Connection, uri: str) -> bool:
    """Whether a subject is a stored post, or an account that rows point to."""
    ref = read_post_uri(uri)
    if ref is not None:
        query = "SELECT 1 FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?"
        return connection.execute(query, ref).fetchone() is not None
    return connection.execute("SELECT 1 FROM actor WHERE did = ?", (uri,)).fetchone() is not None
