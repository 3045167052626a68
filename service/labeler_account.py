"""The labeler's account: which one is meant, signing in to it, and its place in the directory of DIDs.

An app password may write records; what changes a DID document needs the account's main password (the official PDS
answers `InvalidToken: Bad token scope` to anything less) and a code that the PDS sends by mail. Passwords come from the
settings, a prompt or standard input, and never from the command line, which all users of a machine can read (S169).
"""

import argparse
import asyncio
import getpass
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from playhouse.apsw_ext import APSWDatabase

from communities.toml_file import DeclarationError
from labeler import identity
from labeler.labels_file import read_labels
from labeler.signing_key import KeyFaultError, KeyRing
from labeler.vocabulary import Declared
from models.database import open_database
from service.cli import CommandError
from service.config import Config
from service.pds import PdsError, PdsSession, SignInError, sign_in
from xrpc.did import document_url
from xrpc.egress import FetchError, egress_session, fetch_json

DIRECTORY_SECONDS = 60.0
"""How long the directory may take to show what was submitted."""
_POLL = 1.0
_TOO_LITTLE = (
    "; an app password cannot change the account's identity: sign in with the main password (--handle HANDLE asks for"
    " it)"
)


@dataclass(frozen=True, slots=True)
class Directory:
    """Asks the directory of DIDs, or the host of a did:web."""

    config: Config

    def state(self, did: str) -> dict[str, Any]:
        """The state of a did:plc, as operations have it. Raises CommandError."""
        return self._get(f"{self.config.plc_url}/{did}/data")

    def document(self, did: str) -> dict[str, Any]:
        """The DID document. Raises CommandError."""
        url = document_url(did, self.config.plc_url, self.config.egress_allow)
        if url is None:
            raise CommandError(f"{did} is no DID that can be looked up")
        return self._get(url)

    def shows(self, did: str, public: str, endpoint: str, seconds: float) -> bool:
        """Whether the document has the key and the endpoint, now or within `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if identity.shows(did, self.document(did), public, endpoint):
                    return True
            except CommandError:
                if seconds <= 0:
                    raise
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(_POLL, max(deadline - time.monotonic(), 0.01)))

    def _get(self, url: str) -> dict[str, Any]:
        async def ask() -> Any:
            host = urlsplit(url).hostname or ""
            async with egress_session(self.config.egress_allow, own=(host,)) as session:
                return await fetch_json(session, url, timeout=15.0)

        try:
            answer = asyncio.run(ask())
        except FetchError as error:
            raise CommandError(f"{url}: {error}; check COMMUNITIES_PLC_URL and the network") from error
        if not isinstance(answer, dict):
            raise CommandError(f"{url}: the answer is no JSON object")
        return answer


def sign_in_arguments(parser: argparse.ArgumentParser) -> None:
    """Which account is signed in to, where it is not that of the settings."""
    handle = "sign in with this handle or DID, and a password that is asked for (or read from standard input)"
    parser.add_argument("--handle", help=handle)
    parser.add_argument("--pds", metavar="URL", help="the PDS of that account (default: COMMUNITIES_PDS_URL)")
    code = "the code that the PDS has sent by mail for signing in, where it asks for one beside the password"
    parser.add_argument("--sign-in-code", metavar="CODE", help=code)


def chosen(config: Config, args: argparse.Namespace) -> Declared:
    """The labeler that is meant: the one of `--did`, else the only one. Raises DeclarationError."""
    declared = read_labels(config.labels).labelers
    if not declared:
        raise DeclarationError(
            f"{config.labels}: no labeler is declared; copy service/labels.example.toml there (docs/LABELER.md)"
        )
    for one in declared:
        if one.did == args.did or (not args.did and len(declared) == 1):
            return one
    there = ", ".join(one.did for one in declared)
    raise DeclarationError(f"{args.did} is not declared; there is {there}" if args.did else f"say which: --did {there}")


def key_ring(config: Config) -> KeyRing:
    """What opens the stored keys. Raises CommandError."""
    with key_faults():
        ring = KeyRing(config.labeler_passphrase, config.labeler_key)
    if config.labeler_key and len(read_labels(config.labels).labelers) > 1:
        raise CommandError(
            "COMMUNITIES_LABELER_KEY is for a service with one labeler; set COMMUNITIES_LABELER_PASSPHRASE instead"
        )
    return ring


@contextmanager
def key_faults() -> Iterator[None]:
    """A key that cannot be used ends the command with its message."""
    try:
        yield
    except KeyFaultError as error:
        raise CommandError(str(error)) from None


@contextmanager
def opened(config: Config, *, readonly: bool = False) -> Iterator[APSWDatabase]:
    """The database, for the time of a command."""
    database = open_database(config.database, readonly=readonly)
    try:
        yield database
    finally:
        database.close()


def sign_in_as(config: Config, args: argparse.Namespace, declared: Declared) -> PdsSession:
    """Signed in as the labeler's account. Raises SignInError or PdsError."""
    handle = args.handle or config.handle
    if not handle:
        raise SignInError("COMMUNITIES_HANDLE is empty; say with --handle HANDLE as whom to sign in")
    password = "" if args.handle else config.app_password
    settings = replace(
        config, handle=handle, app_password=password or _asked(handle), pds_url=args.pds or config.pds_url
    )
    try:
        session = sign_in(settings, args.sign_in_code)
    except SignInError as error:
        if error.name == "AuthFactorTokenRequired":
            raise SignInError(
                f"{settings.pds_url} has sent a sign-in code to the account's e-mail address; run the command again"
                " with --sign-in-code CODE",
                error.name,
                error.status,
            ) from error
        raise
    if session.did == declared.did:
        return session
    session.close()
    raise SignInError(f"{handle} is {session.did}, but the labeler is {declared.did}; sign in as that account")


def _asked(handle: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of {handle}: ")
    return sys.stdin.readline().rstrip("\n")


@contextmanager
def main_password() -> Iterator[None]:
    """What a PDS says to a session that may not change an identity is told with the way out."""
    try:
        yield
    except PdsError as error:
        scope = error.name == "InvalidToken" and "scope" in str(error).lower()
        if scope or error.name in ("ScopeMissingError", "Forbidden", "InsufficientScope") or error.status == 403:
            raise PdsError(str(error) + _TOO_LITTLE, error.name, error.status) from error
        if error.name in ("InvalidToken", "ExpiredToken") and "signPlcOperation" in str(error):
            again = "; leave --token out to have a new code sent"
            raise PdsError(str(error) + again, error.name, error.status) from error
        raise


def request_code(session: PdsSession) -> None:
    """Let the PDS send the code for an operation to the account's e-mail address."""
    with main_password():
        session.call("com.atproto.identity.requestPlcOperationSignature")


def signed_operation(session: PdsSession, token: str, state: dict[str, Any], change: identity.Change) -> dict[str, Any]:
    """The operation that changes this and nothing else, signed by the PDS. Raises PdsError."""
    body = {"token": token, "verificationMethods": change.methods, "services": change.services}
    with main_password():
        answer = session.call("com.atproto.identity.signPlcOperation", body)
    operation = answer.get("operation") if isinstance(answer, dict) else None
    if wrong := identity.faults_of_operation(operation, state, change):
        raise PdsError(
            f"{session.url}: the operation that it signed differs from what was asked for in {', '.join(wrong)}; it was"
            " not submitted. Run the command again; if that comes again, ask the operator of the PDS"
        )
    return dict(operation or {})


def submit(session: PdsSession, operation: dict[str, Any]) -> None:
    """Bring the operation into the directory, through the PDS. Raises PdsError."""
    with main_password():
        session.call("com.atproto.identity.submitPlcOperation", {"operation": operation})
