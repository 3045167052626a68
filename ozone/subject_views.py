"""Accounts, records and subjects as the lexicon shows them (`tools.ozone.moderation.defs`), by what was looked up.

There is never an e-mail address: none is known here.
"""

from dataclasses import dataclass
from typing import Any

from communities.evidence import PROFILE, blobs_of
from communities.members import find_actor
from labeler.label import Label, fields
from labeler.standing import active
from ozone import views
from ozone.snapshots import snapshot, value_of
from ozone.sources import Account, Found, RecordName, is_object
from ozone.visit import Answer, Visit, moment
from xrpc.syntax import is_cid, is_datetime, is_handle, parse_datetime

NO_HANDLE = "handle.invalid"
PROFILE_VIEW = "app.bsky.actor.defs#profileViewDetailed"
_SAID = ("displayName", "description", "pronouns", "website")
"""Texts of a profile's record that the AppView shows as they are."""


@dataclass(frozen=True, slots=True)
class Views:
    """Views for one caller, in one transaction."""

    visit: Visit
    found: Found

    def repo(self, did: str, *, detail: bool = False) -> Answer | None:
        """`repoView`, or `repoViewDetail`, of an account; None: nobody knows it."""
        account = self.found.accounts.get(did, Account())
        if account.profile is None and account.document is None and not self._is_indexed(did):
            return None
        view = self._account(did, account)
        return view | {"labels": self._labels(did)} if detail else view

    def record(self, name: RecordName) -> Answer | None:
        """`recordViewDetail` of a record; None: it is nowhere. Its author may be gone."""
        version = self._version(name)
        if version is None:
            return None
        cid, value, at = version
        return {
            "uri": name.uri,
            "cid": cid,
            "value": value,
            "blobs": [_blob(blob, at) for blob in blobs_of(value) if is_cid(blob["cid"])],
            "labels": self._labels(name.uri, cid),
            "indexedAt": at,
            "moderation": self._moderation(name.uri),
            "repo": self._account(name.did, self.found.accounts.get(name.did, Account())),
        }

    def subject(self, name: RecordName | str) -> Answer:
        """`subjectView` of a record, or of an account by its DID: with as much as there is."""
        did, kind, subject = (name, "account", name) if isinstance(name, str) else (name.did, "record", name.uri)
        profile = self.found.accounts.get(did, Account()).profile
        parts = {
            "status": views.status_of(self.visit, subject),
            "repo": self.repo(did, detail=True),
            "profile": profile | {"$type": PROFILE_VIEW} if profile else None,
            "record": None if isinstance(name, str) else self.record(name),
        }
        return {"type": kind, "subject": subject} | {part: view for part, view in parts.items() if view is not None}

    def _account(self, did: str, account: Account) -> Answer:
        return {
            "did": did,
            "handle": _handle(account),
            "relatedRecords": self._related(did, account),
            "indexedAt": _indexed(account) or moment(self.visit.now),
            "moderation": self._moderation(did),
        }

    def _is_indexed(self, did: str) -> bool:
        return find_actor(self.visit.connection, did) is not None

    def _version(self, name: RecordName) -> tuple[str, Answer, str] | None:
        """The version that is shown: its CID, its value, and a time for it. A version that was reported is not asked
        for at its host; otherwise what the host has comes first, for it may have been edited since the report.
        """
        fetched = self.found.records.get(name)
        if fetched is not None and is_object(fetched.value):
            return fetched.cid, fetched.value, _written(fetched.value, self.visit.now)
        kept = snapshot(self.visit, name.uri, name.cid)
        value: Any = value_of(kept) if kept else None
        return (kept.cid, value, moment(kept.at)) if kept and is_object(value) else None

    def _related(self, did: str, account: Account) -> list[Answer]:
        """The record of the profile: as the AppView shows it, as the account's host has it, or as it was reported."""
        if account.profile is not None:
            texts = {name: account.profile[name] for name in _SAID if isinstance(account.profile.get(name), str)}
            return [{"$type": PROFILE, **texts}]
        if is_object(account.record):
            return [account.record]
        kept = snapshot(self.visit, f"at://{did}/{PROFILE}/self")
        value: Any = value_of(kept) if kept else None
        return [value] if is_object(value) else []

    def _moderation(self, subject: str) -> Answer:
        status = views.status_of(self.visit, subject)
        return {} if status is None else {"subjectStatus": status}

    def _labels(self, uri: str, cid: str | None = None) -> list[Answer]:
        """The labels of this labeler that hold, those included that are just being published; so without signatures."""
        held = active(self.visit.connection, self.visit.labeler, uri, self.visit.now // 1000, cid)
        return [fields(Label(self.visit.did, uri, one.cid, one.val, False, one.cts, one.exp)) for one in held]


def _handle(account: Account) -> str:
    """The handle that the AppView has verified, or else what the account says of itself."""
    shown = account.profile.get("handle") if account.profile else None
    if isinstance(shown, str) and is_handle(shown):
        return shown
    return (account.document.handle if account.document else None) or NO_HANDLE


def _indexed(account: Account) -> str | None:
    """Since when the AppView knows an account, if it says so."""
    said = [account.profile.get(name) for name in ("indexedAt", "createdAt")] if account.profile else []
    return next((text for text in said if isinstance(text, str) and is_datetime(text)), None)


def _written(value: Answer, now: int) -> str:
    """When a record was written, as it says itself if that is not to come; nobody else says it."""
    said = value.get("createdAt")
    at = parse_datetime(said) if isinstance(said, str) else None
    return moment(now if at is None else min(at, now))


def _blob(blob: Answer, at: str) -> Answer:
    """A blob as its record names it; when it was uploaded nobody says, so `at` stands for that."""
    mime, size = blob["mimeType"], blob["size"]
    return {
        "cid": blob["cid"],
        "mimeType": mime if isinstance(mime, str) else "application/octet-stream",
        "size": size if type(size) is int else 0,
        "createdAt": at,
    }
