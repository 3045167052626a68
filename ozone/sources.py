"""What is looked up outside for an answer of the moderation API: accounts at the AppView and the directory of DIDs,
records at their authors' hosts. All of it runs outside of any transaction, with no credentials, within limits.

A moderator may be anybody who has founded a community, and names the accounts whose hosts are asked: so what one of
them can cause is bounded, by time, number, and how much runs at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import aiohttp

from communities.evidence import PROFILE, decoded
from communities.report_limits import domain_of
from ozone.appview import AppView
from ozone.kept import Kept
from ozone.visit import Answer, Visit
from xrpc.did import DidDocument
from xrpc.egress import FetchError
from xrpc.errors import Refused, UpstreamFailure, UpstreamTimeout
from xrpc.params import Params
from xrpc.ratelimit import RateLimit
from xrpc.record import NotThere, fetch_record
from xrpc.resolver import DidBusy, DidError, DidInvalid, DidNotFound, DidResolver, DidUnavailable
from xrpc.syntax import is_did, is_handle, parse_at_uri

T = TypeVar("T")

PROFILES_AT_ONCE = 25
"""As many as the AppView takes in a call."""
KEPT_SECONDS = 60.0
MOST_PROFILES, MOST_DOCUMENTS, MOST_RECORD_BYTES = 2000, 10_000, 16 << 20
RECORD_SECONDS = 10.0
FETCH_SECONDS, ALL_SECONDS = 5.0, 12.0
"""For one record; until the last of a call is begun."""
AT_ONCE, AT_ONCE_OF_ONE = 32, 8
"""Look-ups at strangers' hosts, in all and for one caller: places of the session stay free for everything else."""
OF_CALLER, OF_HOST = (10.0, 400), (20.0, 200)
"""The same per second, and at once."""
_HIDDEN = frozenset(("RepoTakendown", "RepoSuspended", "RepoDeactivated"))
_FAULTS = (DidUnavailable, FetchError, TimeoutError)


class RecordName(NamedTuple):
    """A record by its at-uri, and the version that is meant; empty: the present one."""

    uri: str
    cid: str = ""

    @property
    def did(self) -> str:
        """Whose it is; empty where the at-uri names no record of a DID."""
        parts = parse_at_uri(self.uri)
        return parts.authority if parts and parts.rkey and is_did(parts.authority) else ""


class Search(NamedTuple):
    """A page of accounts that the AppView finds; by a handle that it knows, exactly that account."""

    text: str
    limit: int
    cursor: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look up. `labeler`: whose labels the AppView adds to profiles; `caller`: whose limits count."""

    labeler: str
    caller: str
    dids: tuple[str, ...] = ()
    records: tuple[RecordName, ...] = ()
    search: Search | None = None


@dataclass(slots=True)
class Account:
    """What is known of an account outside. `profile`: as the AppView shows it; `record`: of its profile, looked for
    only where the AppView shows nothing. `unsure`: something could not be asked.
    """

    profile: Answer | None = None
    document: DidDocument | None = None
    record: Any = None
    unsure: bool = False


class FetchedRecord(NamedTuple):
    """A record as its host has it: `cid` and `value`; neither if it is gone, or nobody knows (`unsure`)."""

    cid: str = ""
    value: Any = None
    unsure: bool = False


@dataclass(slots=True)
class Found:
    """What was looked up. `dids`: what a search has found, in its order."""

    accounts: dict[str, Account] = field(default_factory=dict)
    records: dict[RecordName, FetchedRecord] = field(default_factory=dict)
    dids: tuple[str, ...] = ()
    cursor: str = ""


class Lookup(NamedTuple):
    """A method that reads, looks things up outside, and reads again. `wanted` and `answer` are called in a read
    transaction each, `answer` with what was found between them.
    """

    name: str
    params: Params
    wanted: Callable[[Visit, Mapping[str, Any]], Wanted]
    answer: Callable[[Visit, Mapping[str, Any], Found], Answer]


class Sources:
    """Looks things up for all callers. `clock`: seconds."""

    def __init__(
        self, appview: AppView, resolver: DidResolver, session: aiohttp.ClientSession, clock: Callable[[], float]
    ) -> None:
        self._appview = appview
        self._resolver = resolver
        self._session = session
        self._profiles: Kept[tuple[str, str], Answer | None] = Kept(KEPT_SECONDS, MOST_PROFILES, clock)
        self._documents: Kept[str, DidDocument] = Kept(KEPT_SECONDS, MOST_DOCUMENTS, clock)
        self._records: Kept[RecordName, tuple[int, FetchedRecord]] = Kept(
            RECORD_SECONDS, MOST_RECORD_BYTES, clock, lambda kept: kept[0] + 500
        )
        self._callers = RateLimit(*OF_CALLER)
        self._hosts = RateLimit(*OF_HOST)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def fetch(self, wanted: Wanted) -> Found:
        """Look all of it up. What cannot be had is left out; a search raises as `AppView.read`."""
        found = Found()
        caller, deadline = wanted.caller, asyncio.get_running_loop().time() + ALL_SECONDS
        if wanted.search:
            await self._search(wanted.search, wanted.labeler, found)
        dids = tuple(dict.fromkeys(did for did in wanted.dids if did))
        (profiles, unsure), *records = await asyncio.gather(
            self._read_profiles(dids, wanted.labeler),
            *(self._record(name, caller, deadline) for name in wanted.records),
        )
        found.records = dict(zip(wanted.records, records, strict=True))
        found.accounts |= {did: Account(profiles.get(did), unsure=unsure) for did in dids}
        bare = [did for did in dids if did not in profiles]
        await asyncio.gather(*(self._account(did, found.accounts[did], caller, deadline) for did in bare))
        return found

    async def close(self) -> None:
        """Give up what is being asked for."""
        await self._documents.close()

    async def _search(self, search: Search, labeler: str, found: Found) -> None:
        handle = search.text.removeprefix("@").lower()
        if is_handle(handle) and not search.cursor:
            try:
                profiles = await self._ask_profiles([handle], labeler)
            except Refused:
                profiles = []  # it does not take what looks like a handle for one
            exact = [profile for profile in profiles if str(profile.get("handle")).lower() == handle]
            if exact:
                found.dids = (exact[0]["did"],)
                found.accounts[exact[0]["did"]] = Account(exact[0])
                return
        params = [("q", search.text), ("limit", str(search.limit))]
        params += [("cursor", search.cursor)] if search.cursor else []
        said = await self._appview.read("app.bsky.actor.searchActors", params, labeler)
        actors = _profiles(said.get("actors"))
        found.accounts |= {actor["did"]: Account(actor) for actor in actors}
        found.dids = tuple(found.accounts)
        cursor = said.get("cursor")
        found.cursor = cursor if actors and isinstance(cursor, str) else ""

    async def _read_profiles(self, dids: Sequence[str], labeler: str) -> tuple[dict[str, Answer], bool]:
        """What the AppView shows of accounts, by DID, and whether it could not be asked for some."""
        known = {did: self._profiles.get((labeler, did)) for did in dids if (labeler, did) in self._profiles}
        asked = [did for did in dids if did not in known]
        parts = [asked[at : at + PROFILES_AT_ONCE] for at in range(0, len(asked), PROFILES_AT_ONCE)]
        answers = await asyncio.gather(*(self._ask_profiles(part, labeler) for part in parts), return_exceptions=True)
        unsure = False
        for part, answer in zip(parts, answers, strict=True):
            if isinstance(answer, (Refused, UpstreamFailure, UpstreamTimeout)):
                unsure = True
                continue
            if isinstance(answer, BaseException):
                raise answer
            shown = {profile["did"]: profile for profile in answer}
            for did in part:
                known[did] = shown.get(did)
                self._profiles.put((labeler, did), known[did])
        return {did: profile for did, profile in known.items() if profile is not None}, unsure

    async def _ask_profiles(self, actors: Iterable[str], labeler: str) -> list[Answer]:
        params = [("actors", actor) for actor in actors]
        return _profiles((await self._appview.read("app.bsky.actor.getProfiles", params, labeler)).get("profiles"))

    async def _document(self, did: str, caller: str) -> DidDocument:
        """The document of an account. Raises DidError."""

        async def ask() -> DidDocument:
            if self._callers.allow(caller) is not None:
                raise DidBusy(did)
            return await self._resolver.resolve(did)

        return await self._documents.fetch(did, ask)

    async def _read(self, name: RecordName, caller: str) -> FetchedRecord:
        """A record as its host has it. Raises DidUnavailable, FetchError."""
        kept = self._records.get(name)
        if kept is not None:
            return kept[1]
        size, read = 0, FetchedRecord()
        try:
            document = await self._document(name.did, caller)
            domain = domain_of(urlsplit(document.pds or "").hostname or "")
            if self._callers.allow(caller) is not None or self._hosts.allow(domain) is not None:
                raise FetchError("was asked for enough just now")
            record, cid = await fetch_record(self._session, document, name.uri, name.cid, timeout=FETCH_SECONDS)
            size, read = len(record), FetchedRecord(cid, decoded(record))
        except (NotThere, DidNotFound, DidInvalid):
            pass  # which is as good to know
        except FetchError as fault:
            if fault.error not in _HIDDEN:
                raise
        self._records.put(name, (size, read))
        return read

    async def _in_turn(self, caller: str, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
        """Wait for a place and do it. Raises TimeoutError when it has not ended by `deadline` (of the loop's clock)."""
        own = self._own.setdefault(caller, asyncio.Semaphore(AT_ONCE_OF_ONE))
        async with asyncio.timeout_at(deadline), own, self._places:
            return await work()

    async def _record(self, name: RecordName, caller: str, deadline: float) -> FetchedRecord:
        """A record; `unsure` when nobody could say."""
        if not name.did:
            return FetchedRecord()
        try:
            return await self._in_turn(caller, deadline, lambda: self._read(name, caller))
        except _FAULTS:
            return FetchedRecord(unsure=True)

    async def _account(self, did: str, account: Account, caller: str, deadline: float) -> None:
        """Add what there is of an account that the AppView does not show."""
        try:
            account.document = await self._in_turn(caller, deadline, lambda: self._document(did, caller))
        except _FAULTS:
            account.unsure = True
        except DidError:
            pass  # there is none
        else:
            account.record = (await self._record(RecordName(f"at://{did}/{PROFILE}/self"), caller, deadline)).value


def is_object(value: Any) -> bool:
    """Whether lexicons take it for an object, as every record must be one."""
    return isinstance(value, dict) and not {"$link", "$bytes"} & value.keys() and value.get("$type") != "blob"


def _profiles(value: Any) -> list[Answer]:
    """The profiles of a list that the AppView gave; whatever else is in it is passed over."""
    listed = value if isinstance(value, list) else []
    return [one for one in listed if is_object(one) and isinstance(one.get("did"), str) and is_did(one["did"])]
