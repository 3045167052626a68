"""What a personal data server does to the DID documents of its accounts: a code by mail, a signature, a submission."""

import hashlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.world.account import Account
from tests.world.sessions import Sessions, XrpcError, json_body


class Identity:
    """The three methods. `mails`: the codes that were sent, as (DID, code). `altered`: what the server puts into an
    operation unasked.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.mails: list[tuple[str, str]] = []
        self.altered: dict[str, Any] = {}
        self.refusing = ""
        self.operations: list[dict[str, Any]] = []
        self._sessions = sessions
        self._codes: dict[str, str] = {}

    async def request(self, request: web.Request) -> web.Response:
        """com.atproto.identity.requestPlcOperationSignature."""
        account, _ = self._sessions.of(request, full=True)
        if await request.read() or "Content-Type" in request.headers:
            raise XrpcError("InvalidRequest", "A request body was provided when none was expected")
        code = hashlib.sha256(f"{account.did} {len(self.mails)}".encode()).hexdigest()[:10].upper()
        self._codes[account.did] = code
        self.mails.append((account.did, code))
        return web.Response()

    async def sign(self, request: web.Request) -> web.Response:
        """com.atproto.identity.signPlcOperation."""
        account, _ = self._sessions.of(request, full=True)
        body = await json_body(request)
        if not body.get("token"):
            raise XrpcError("InvalidRequest", "email confirmation token required to sign PLC operations")
        if body["token"] != self._codes.get(account.did):
            raise XrpcError("InvalidToken", "Token is invalid")
        del self._codes[account.did]
        last = account.plc_data
        names = ("rotationKeys", "alsoKnownAs", "verificationMethods", "services")
        operation = {name: body.get(name, last[name]) for name in names}
        operation |= {"type": "plc_operation", "prev": "bafyreib", **self.altered}
        return web.json_response({"operation": operation | {"sig": _seal(account, operation)}})

    async def submit(self, request: web.Request) -> web.Response:
        """com.atproto.identity.submitPlcOperation."""
        account, _ = self._sessions.of(request)
        operation = (await json_body(request, "operation"))["operation"]
        if self.refusing:
            raise XrpcError("InvalidRequest", self.refusing)
        last = account.plc_data
        unsigned = {name: value for name, value in operation.items() if name != "sig"}
        if operation.get("sig") != _seal(account, unsigned):
            raise XrpcError("InvalidRequest", "Invalid signature on op")
        if operation["services"].get("atproto_pds") != last["services"]["atproto_pds"]:
            raise XrpcError("InvalidRequest", "Incorrect endpoint on atproto_pds service")
        if operation["verificationMethods"].get("atproto") != last["verificationMethods"]["atproto"]:
            raise XrpcError("InvalidRequest", "Incorrect signing key")
        self.operations.append(operation)
        account.rotation_keys = operation["rotationKeys"]
        account.methods = {k: v for k, v in operation["verificationMethods"].items() if k != "atproto"}
        account.services = {k: v for k, v in operation["services"].items() if k != "atproto_pds"}
        account.identity()
        return web.Response()


def _seal(account: Account, operation: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{account.password} {sorted(operation.items())}".encode()).hexdigest()
