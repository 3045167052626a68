"""A personal data server over HTTP: records, blobs and repositories of the world's accounts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from cbrrr import CbrrrDecodeError, decode_dag_cbor, encode_dag_cbor

from tests.world.account import Account
from tests.world.clock import Clock
from tests.world.identity import Identity
from tests.world.outages import Outages
from tests.world.repo import Write
from tests.world.sessions import Sessions, XrpcError, find, json_body, param

UNAVAILABLE = {
    "takendown": "RepoTakendown",
    "suspended": "RepoSuspended",
    "deactivated": "RepoDeactivated",
    "deleted": "RepoNotFound",
}


class Held:
    """An answer that waits: `asked` is set when the question has come; `release` lets it go."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    def release(self) -> None:
        """Answer."""
        self.go.set()


class Pds:
    """Serves the accounts of `accounts` (by DID) that live here. `failing`, when set, is the status of every answer;
    `outages` are single ones.

    `stale`: repositories as they were, which are served in place of what they are now (a replica that lags).
    """

    def __init__(
        self, accounts: Mapping[str, Account], clock: Clock, seed: int, fired: Counter[str], *, first: bool = True
    ) -> None:
        """The `first` server has every account that has not moved; another has only those that moved to it."""
        self.calls: Counter[str] = Counter()
        self.failing: int | None = None
        self.outages = Outages(fired)
        self.stale: dict[str, tuple[str | None, bytes]] = {}
        self.url = ""
        self._first = first
        self._held: dict[str, Held] = {}
        self._accounts = accounts
        self._clock = clock
        self._sessions = Sessions(accounts, clock, seed)
        self.identity = Identity(self._sessions)

    def lag(self, account: Account) -> None:
        """From now on serve this repository as it is at this moment, whatever is written to it; see `stale`."""
        self.stale[account.did] = account.repo.rev, account.repo.export()

    def hold(self, did: str) -> "Held":
        """Let the next getRepo of this account wait, with what it is then."""
        self._held[did] = held = Held()
        return held

    def app(self) -> web.Application:
        """The routes."""
        queries = {
            "com.atproto.identity.resolveHandle": self._resolve_handle,
            "com.atproto.repo.getRecord": self._get_record,
            "com.atproto.repo.listRecords": self._list_records,
            "com.atproto.server.getServiceAuth": self._get_service_auth,
            "com.atproto.server.getSession": self._sessions.get,
            "com.atproto.sync.getBlob": self._get_blob,
            "com.atproto.sync.getRecord": self._prove_record,
            "com.atproto.sync.getRepo": self._get_repo,
            "com.atproto.sync.getRepoStatus": self._get_repo_status,
        }
        procedures = {
            "com.atproto.identity.requestPlcOperationSignature": self.identity.request,
            "com.atproto.identity.signPlcOperation": self.identity.sign,
            "com.atproto.identity.submitPlcOperation": self.identity.submit,
            "com.atproto.repo.createRecord": self._create_record,
            "com.atproto.repo.deleteRecord": self._delete_record,
            "com.atproto.repo.putRecord": self._put_record,
            "com.atproto.repo.uploadBlob": self._upload_blob,
            "com.atproto.server.createSession": self._sessions.create,
            "com.atproto.server.refreshSession": self._sessions.refresh,
        }
        app = web.Application(middlewares=[self._guard], client_max_size=4 << 20)
        app.router.add_get("/xrpc/_health", self._health)
        for nsid, query in queries.items():
            app.router.add_get(f"/xrpc/{nsid}", query)
        for nsid, procedure in procedures.items():
            app.router.add_post(f"/xrpc/{nsid}", procedure)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Counts calls and gives every error the shape that XRPC asks for."""
        method = request.path.rsplit("/", 1)[-1]
        self.calls[method] += 1
        try:
            if self.failing is not None:
                self.outages.fired[f"{self.failing} of a PDS"] += 1
                raise XrpcError("InternalServerError", "simulated failure", self.failing)
            return await self.outages.answer(method, request, handler)
        except XrpcError as error:
            return web.json_response({"error": error.name, "message": error.message}, status=error.status)
        except web.HTTPException as error:
            name = "MethodNotImplemented" if error.status == 404 else "InvalidRequest"
            status = 501 if error.status == 404 else 400
            return web.json_response(
                {"error": name, "message": "Method Not Implemented" if status == 501 else error.reason},
                status=status,
            )

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0"})

    # Who is meant

    def _standing(self, account: Account) -> str | None:
        """How an account stands on this server; None when it is active."""
        if self.url in account.left:
            return "deactivated"
        if not self._first and account.pds_url != self.url:
            return "deleted"
        return None if account.active else account.status or "deactivated"

    def _available(self, name: str) -> Account:
        account = find(self._accounts, name)
        if status := self._standing(account):
            raise XrpcError(UNAVAILABLE.get(status, "RepoDeactivated"), f"Repo: {status}")
        return account

    # Records

    async def _writer(self, request: web.Request, *needed: str) -> tuple[Account, dict[str, Any]]:
        account, _ = self._sessions.of(request)
        body = await json_body(request, "repo", "collection", *needed)
        if str(body["repo"]).lower() not in (account.did, account.handle):
            raise XrpcError("AuthorizationError", "Wrong repo for this session", 403)
        if not account.active:
            raise XrpcError("AccountDeactivated", "Account is deactivated")
        if "swapCommit" in body and account.repo.head and body["swapCommit"] != account.repo.head.encode():
            raise XrpcError("InvalidSwap", f"Commit was at {account.repo.head.encode()}")
        return account, body

    def _swap(self, account: Account, path: str, body: Mapping[str, Any]) -> str | None:
        """CID of the record as it is; an error if the caller took it for something else."""
        found = account.repo.record(path)
        current = found[0].encode() if found else None
        if "swapRecord" in body and body["swapRecord"] != current:
            raise XrpcError("InvalidSwap", f"Record was at {current}")
        return current

    def _value(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            value: Any = decode_dag_cbor(encode_dag_cbor(body["record"], atjson_mode=True))
        except (CbrrrDecodeError, TypeError, ValueError) as error:
            raise XrpcError("InvalidRequest", f"Invalid record: {error}") from error
        if not isinstance(value, dict) or value.setdefault("$type", body["collection"]) != body["collection"]:
            raise XrpcError("InvalidRequest", f"Invalid $type: expected {body['collection']}")
        return value

    def _written(self, account: Account, path: str, changed: bool = True) -> web.Response:
        record = account.read(path)
        answer: dict[str, Any] = {"uri": record.uri, "cid": record.cid, "validationStatus": "valid"}
        if changed and account.repo.head:
            answer["commit"] = {"cid": account.repo.head.encode(), "rev": account.repo.rev}
        return web.json_response(answer)

    async def _create_record(self, request: web.Request) -> web.Response:
        account, body = await self._writer(request, "record")
        path = f"{body['collection']}/{body.get('rkey') or self._clock.tid()}"
        if self._swap(account, path, {}) is not None:
            raise XrpcError("InvalidRequest", f"Record already exists: {path}")
        account.write(Write("create", path, self._value(body)))
        return self._written(account, path)

    async def _put_record(self, request: web.Request) -> web.Response:
        account, body = await self._writer(request, "rkey", "record")
        path = f"{body['collection']}/{body['rkey']}"
        current, value = self._swap(account, path, body), self._value(body)
        if changed := account.repo.records.get(path) != encode_dag_cbor(value):
            account.write(Write("create" if current is None else "update", path, value))
        return self._written(account, path, changed)

    async def _delete_record(self, request: web.Request) -> web.Response:
        account, body = await self._writer(request, "rkey")
        path = f"{body['collection']}/{body['rkey']}"
        if self._swap(account, path, body) is None:
            return web.json_response({})
        account.write(Write("delete", path))
        assert account.repo.head
        return web.json_response({"commit": {"cid": account.repo.head.encode(), "rev": account.repo.rev}})

    async def _upload_blob(self, request: web.Request) -> web.Response:
        account, _ = self._sessions.of(request)
        mime = request.headers.get("Content-Type", "application/octet-stream")
        ref = account.blob(await request.read(), mime)
        return web.json_response({"blob": ref | {"ref": {"$link": ref["ref"].encode()}}})

    async def _get_record(self, request: web.Request) -> web.Response:
        account = self._available(param(request, "repo"))
        path = f"{param(request, 'collection')}/{param(request, 'rkey')}"
        found = account.repo.record(path)
        if found is None or request.query.get("cid", found[0].encode()) != found[0].encode():
            raise XrpcError("RecordNotFound", f"Could not locate record: at://{account.did}/{path}")
        return web.json_response({"uri": f"at://{account.did}/{path}", "cid": found[0].encode(), "value": found[1]})

    async def _list_records(self, request: web.Request) -> web.Response:
        account = self._available(param(request, "repo"))
        prefix = param(request, "collection") + "/"
        limit = request.query.get("limit", "50")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= 100):
            raise XrpcError("InvalidRequest", "limit must be between 1 and 100")
        forwards = request.query.get("reverse") == "true"
        rkeys = sorted(
            (path.removeprefix(prefix) for path in account.repo.records if path.startswith(prefix)),
            reverse=not forwards,
        )
        if cursor := request.query.get("cursor"):
            rkeys = [rkey for rkey in rkeys if (rkey > cursor if forwards else rkey < cursor)]
        page = []
        for rkey in rkeys[: int(limit)]:
            found = account.repo.record(prefix + rkey)
            assert found
            page.append({"uri": f"at://{account.did}/{prefix}{rkey}", "cid": found[0].encode(), "value": found[1]})
        answer: dict[str, Any] = {"records": page}
        if page:
            answer["cursor"] = rkeys[len(page) - 1]
        return web.json_response(answer)

    # Tokens for other services

    async def _get_service_auth(self, request: web.Request) -> web.Response:
        account, _ = self._sessions.of(request)
        return web.json_response({"token": account.service_jwt(param(request, "aud"), param(request, "lxm"))})

    # Synchronisation

    async def _get_repo(self, request: web.Request) -> web.Response:
        account = self._available(param(request, "did"))
        body = account.repo.export()
        held = self._held.pop(account.did, None)
        if held is not None:
            held.asked.set()
            await held.go.wait()
        if account.did in self.stale:
            self.outages.fired["stale replica"] += 1
            body = self.stale[account.did][1]
        return _car(body)

    async def _prove_record(self, request: web.Request) -> web.Response:
        account = self._available(param(request, "did"))
        return _car(account.repo.proof(f"{param(request, 'collection')}/{param(request, 'rkey')}"))

    async def _get_repo_status(self, request: web.Request) -> web.Response:
        account = find(self._accounts, param(request, "did"))
        status = self._standing(account)
        if status == "deleted":
            raise XrpcError("RepoNotFound", f"Could not find repo for DID: {account.did}")
        rev = self.stale[account.did][0] if account.did in self.stale else account.repo.rev
        more = {"rev": rev} if status is None else {"status": status}
        return web.json_response({"did": account.did, "active": status is None} | more)

    async def _get_blob(self, request: web.Request) -> web.Response:
        account = self._available(param(request, "did"))
        found = account.blobs.get(param(request, "cid"))
        if found is None:
            raise XrpcError("BlobNotFound", "Blob not found")
        return web.Response(body=found[1], headers={"Content-Type": found[0]})

    async def _resolve_handle(self, request: web.Request) -> web.Response:
        handle = param(request, "handle").lower()
        for account in self._accounts.values():
            if account.handle == handle and account.status != "deleted":
                return web.json_response({"did": account.did})
        raise XrpcError("HandleNotFound", "Unable to resolve handle")


def _car(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/vnd.ipld.car")
