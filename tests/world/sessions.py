"""Sessions of the personal data server: passwords in, tokens out; and the shape of its errors and inputs."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.world.account import Account
from tests.world.clock import Clock
from tests.world.keys import base64url

ACCESS_SECONDS = 7200
APP_PASSWORD = "com.atproto.appPass"
REFRESH_SECONDS = 90 * 86400


class XrpcError(Exception):
    """An error answer: HTTP status, name, message."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.name, self.message, self.status = name, message, status


def find(accounts: Mapping[str, Account], name: str) -> Account:
    """The account with this DID or handle; RepoNotFound."""
    for account in accounts.values():
        if name.lower() in (account.did, account.handle):
            return account
    raise XrpcError("RepoNotFound", f"Could not find repo: {name}")


def param(request: web.Request, name: str) -> str:
    """A parameter that must be there; InvalidRequest."""
    value = request.query.get(name)
    if not value:
        raise XrpcError("InvalidRequest", f'Error: Params must have the property "{name}"')
    return value


async def json_body(request: web.Request, *needed: str) -> dict[str, Any]:
    """The input, an object with these properties at least; InvalidRequest."""
    try:
        body = await request.json()
    except ValueError as error:
        raise XrpcError("InvalidRequest", f"Bad JSON: {error}") from error
    for name in needed:
        if not isinstance(body, dict) or name not in body:
            raise XrpcError("InvalidRequest", f'Error: Input must have the property "{name}"')
    return dict(body)


class Sessions:
    """Issues and checks tokens (HS256, signed with the server's own secret)."""

    def __init__(self, accounts: Mapping[str, Account], clock: Clock, seed: int) -> None:
        self._accounts = accounts
        self._clock = clock
        self._secret = hashlib.sha256(f"pds {seed}".encode()).digest()
        self._revoked: set[str] = set()

    def _token(self, account: Account, scope: str, seconds: int) -> str:
        now = self._clock.now() // 1_000_000
        claims = {
            "scope": scope,
            "sub": account.did,
            "iat": now,
            "exp": now + seconds,
            "jti": self._clock.tid(),
        }
        head = base64url(json.dumps({"typ": "at+jwt", "alg": "HS256"}).encode())
        signed = f"{head}.{base64url(json.dumps(claims).encode())}"
        return f"{signed}.{self._mac(signed)}"

    def _mac(self, signed: str) -> str:
        return base64url(hmac.digest(self._secret, signed.encode(), "sha256"))

    def of(self, request: web.Request, scope: str = "com.atproto.access", *, full: bool = False) -> tuple[Account, str]:
        """The account whose token came with the request, and the token. `full`: one of an app password is refused."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise XrpcError("AuthMissing", "Authentication Required", 401)
        signed, _, mac = token.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(signed).encode()) or token in self._revoked:
            raise XrpcError("InvalidToken", "Token could not be verified")
        part = signed.partition(".")[2]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        if claims["exp"] <= self._clock.now() // 1_000_000:
            raise XrpcError("ExpiredToken", "Token has expired")
        if claims["scope"] != scope and (full or (claims["scope"], scope) != (APP_PASSWORD, "com.atproto.access")):
            raise XrpcError("InvalidToken", "Bad token scope")
        return find(self._accounts, claims["sub"]), token

    def _body(self, account: Account) -> dict[str, Any]:
        status = {"status": account.status} if account.status else {}
        return {
            "did": account.did,
            "handle": account.handle,
            "didDoc": account.document,
            "active": account.active,
        } | status

    def _tokens(self, account: Account, scope: str = "com.atproto.access") -> web.Response:
        tokens = {
            "accessJwt": self._token(account, scope, ACCESS_SECONDS),
            "refreshJwt": self._token(account, "com.atproto.refresh", REFRESH_SECONDS),
        }
        return web.json_response(self._body(account) | tokens)

    async def create(self, request: web.Request) -> web.Response:
        """com.atproto.server.createSession."""
        body = await json_body(request, "identifier", "password")
        try:
            account = find(self._accounts, str(body["identifier"]))
        except XrpcError:
            account = None
        if account is not None and body["password"] == account.app_password:
            return self._tokens(account, APP_PASSWORD)
        if account is None or body["password"] != account.password:
            raise XrpcError("AuthenticationRequired", "Invalid identifier or password", 401)
        if account.status == "takendown":
            raise XrpcError("AccountTakedown", "Account has been taken down", 401)
        if account.sign_in_code and body.get("authFactorToken") != account.sign_in_code:
            raise XrpcError("AuthFactorTokenRequired", "A sign in code has been sent to your email address", 401)
        return self._tokens(account)

    async def refresh(self, request: web.Request) -> web.Response:
        """com.atproto.server.refreshSession."""
        account, token = self.of(request, "com.atproto.refresh")
        self._revoked.add(token)
        return self._tokens(account)

    async def get(self, request: web.Request) -> web.Response:
        """com.atproto.server.getSession."""
        return web.json_response(self._body(self.of(request)[0]))
