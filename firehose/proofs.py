"""Which events must prove that their account wrote them, and the keys to hold them against.

Events wait in their order until the keys are known, so nothing overtakes anything; nobody is waited for longer than
LONGEST_WAIT seconds. What then cannot be judged is not applied, and the account is marked to be read anew.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from firehose.events import Event, Lost, Refused, Sync
from firehose.frames import read_frame
from firehose.ops import ENGAGEMENTS, Commit, Delete, PutListItem, PutPost, PutRecord, RefusedRecord, Scope
from firehose.verify import InversionError, SignatureError, VerifyError, verify_commit, verify_sync
from xrpc.did import DidDocument
from xrpc.resolver import DidBusy, DidError, DidRefreshRefused, DidResolver, DidUnavailable

LONGEST_WAIT = {"did:plc:": 60.0, "did:web:": 10.0}
"""Seconds for which the order of events is kept for the sake of one account. The directory of did:plc answers for
nearly all of them and may be busy; the host of a did:web is one of anybody's.
"""
TRIES = 3
PLACES = 100
"""Look-ups under way at once of each of the two kinds: hosts that never answer must not keep the directory waiting."""
FORGOTTEN_AFTER, SILENT_HOST = 60.0, 600.0
"""Seconds for which nobody waits again for an account whose key could not be had; longer where a host of a did:web did
not answer: such an account is read beside the stream, and what is found there ends it. One host would else hold up the
order of all others again and again.
"""
_MOST_FAILED = 10_000


class Proofs:
    """Judges events that wait. Call `prepare` when one begins to wait, and `judge` until it answers."""

    def __init__(
        self,
        resolver: DidResolver,
        *,
        everything: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `everything` whatever the index takes must be proven. `dropped` counts refusals by reason."""
        self.dropped: Counter[str] = Counter()
        self._resolver = resolver
        self._everything = everything
        self._clock = clock
        self._places = {kind: asyncio.Semaphore(PLACES) for kind in LONGEST_WAIT}
        self._asking: dict[str, asyncio.Task[DidError | None]] = {}
        self._refreshing: dict[str, asyncio.Task[bool]] = {}
        self._failed: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def wanted(self, event: Event, scope: Scope) -> bool:
        """Whether `event` may be applied only when it is proven.

        Posts, what removes them, and members of lists; of accounts that matter, everything. Likes and reposts of
        others are checked against their hashes alone (A34).
        """
        if type(event) is Commit:
            return event.signed and (
                self._everything or event.did in scope.full or any(map(_carries_weight, event.ops))
            )
        return type(event) is Sync

    def prepare(self, did: str) -> None:
        """Look the account up, if its key is not at hand."""
        if did not in self._asking and self._resolver.cached(did) is None and self._gave_up(did) is None:
            self._asking[did] = asyncio.ensure_future(self._ask(did))

    def judge(self, event: Commit | Sync, frame: bytes, changed: Callable[[], bool] = lambda: False) -> Event | None:
        """What may be applied of the event that came as `frame`: itself, with its proof; or Refused, or Lost. None: ask
        again. `changed`: whether the stream has said since that the account's key may be another one now.
        """
        found = self._document(event.did)
        if found is None:
            return None
        if isinstance(found, str):
            return self._unknown(event, found)
        if found.key is None:
            return self._refuse(event, "account has no signing key")
        _, payload = read_frame(frame)
        try:
            event.proof = (verify_commit if type(event) is Commit else verify_sync)(payload, found.key)
        except SignatureError as fault:
            # The key may have been changed just now.
            refreshed = self._refreshed(event.did)
            if refreshed is None:
                return None
            newer = self._resolver.cached(event.did)
            if refreshed and newer is not None and newer.key != found.key:
                return self.judge(event, frame, changed)
            if not changed():
                return self._refuse(event, str(fault))
            # It may have been signed with the key of before: then the repository has what it says.
            self.dropped[str(fault)] += 1
            return Lost(event.seq, event.did, str(fault))
        except InversionError as fault:
            # What it says of its own past does not fit together; what it contains now may still be good.
            self.dropped[str(fault)] += 1
            return Lost(event.seq, event.did, str(fault))
        except VerifyError as fault:
            return self._refuse(event, str(fault))
        return event

    def _refuse(self, event: Commit | Sync, reason: str) -> Refused:
        self.dropped[reason] += 1
        return Refused(event.seq, event.did)

    def _unknown(self, event: Commit | Sync, reason: str) -> Event:
        if reason:
            return self._refuse(event, reason)
        self.dropped["key not to be had"] += 1
        return Lost(event.seq, event.did, "its key could not be looked up")

    def _document(self, did: str) -> DidDocument | str | None:
        """The document, or why there is none (empty: it could not be looked up); None while it is looked up."""
        document = self._resolver.cached(did)
        if document is not None:
            self._asking.pop(did, None)
            return document
        if (reason := self._gave_up(did)) is not None:
            return reason
        asking = self._asking.get(did)
        if asking is None:
            self.prepare(did)
            return None
        if not asking.done():
            return None
        del self._asking[did]
        error = asking.result()
        if error is None:
            return self._document(did)  # it was there, and an #identity had it forgotten
        reason = "" if isinstance(error, DidUnavailable) else "account has no document"
        seconds = SILENT_HOST if did.startswith("did:web:") and not reason else FORGOTTEN_AFTER
        self._failed[did] = self._clock() + seconds, reason
        if len(self._failed) > _MOST_FAILED:
            self._failed.popitem(last=False)
        return reason

    def _gave_up(self, did: str) -> str | None:
        """Why the account is not waited for at present; None if it is."""
        failed = self._failed.get(did)
        return failed[1] if failed is not None and self._clock() < failed[0] else None

    async def _ask(self, did: str) -> DidError | None:
        """Look up, and again while there is time: no error, or the last. Waiting for a place takes of the time too."""
        kind = "did:plc:" if did.startswith("did:plc:") else "did:web:"
        try:
            async with asyncio.timeout(LONGEST_WAIT[kind]), self._places[kind]:
                return await self._look_up(did, self._clock() + LONGEST_WAIT[kind])
        except TimeoutError:
            return DidUnavailable(did)

    async def _look_up(self, did: str, until: float) -> DidError | None:
        failures = 0
        delay = 0.05
        while True:
            try:
                await self._resolver.resolve(did)
                return None
            except DidUnavailable as error:
                failures += not isinstance(error, DidBusy)
                if failures >= TRIES or self._clock() + delay > until:
                    return error
            except DidError as error:
                return error
            await asyncio.sleep(delay)
            delay = min(2 * delay, 2.0)

    def _refreshed(self, did: str) -> bool | None:
        """Whether the document was just looked up anew; None while that is under way."""
        task = self._refreshing.get(did)
        if task is None:
            task = self._refreshing[did] = asyncio.ensure_future(self._refresh(did))
        if not task.done():
            return None
        del self._refreshing[did]
        return task.result()

    async def _refresh(self, did: str) -> bool:
        try:
            await self._resolver.resolve(did, fresh=True)
        except (DidError, DidRefreshRefused):
            return False
        return True

    async def close(self) -> None:
        """Give up what is being looked up."""
        tasks = [*self._asking.values(), *self._refreshing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _carries_weight(op: object) -> bool:
    if type(op) is PutPost:
        return bool(op.matches or op.joins or op.stands or op.calls)
    if type(op) is Delete:
        return op.collection not in ENGAGEMENTS
    return type(op) in (PutListItem, PutRecord, RefusedRecord)
