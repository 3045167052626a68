"""What Ozone asks others, answered on loopback by a process of its own: the PLC directory, and the AppView.

Answers have the fields that those of the real AppView have, and come at once, where its take as long as the Internet
does. Everything is known: each account has a handle and a profile, and has posted nothing of late; each post is there,
in English.
"""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any

import uvloop
from aiohttp import web

from bench.cores import Cores, pin
from bench.ozone_rows import timestamp

APPVIEW = "did:web:appview.example.org"
_SINCE = timestamp(1_700_000_000_000)
_PROFILE = {
    "$type": "app.bsky.actor.profile",
    "displayName": "Somebody",
    "description": "Whoever that is.",
    "createdAt": _SINCE,
}


@contextmanager
def answering(documents: Mapping[str, Any], cores: Cores) -> Iterator[str]:
    """Serve the DID documents and the AppView; yields the URL of both."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs, dict(documents), cores), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is noticed
    try:
        if not ours.poll(60):
            raise RuntimeError("the directory and the AppView do not come up")
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _main(pipe: Pipe, documents: dict[str, Any], cores: Cores) -> None:
    pin(cores)
    uvloop.run(_serve(pipe, documents))


async def _serve(pipe: Pipe, documents: dict[str, Any]) -> None:
    runner = web.AppRunner(_app(documents), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send(runner.addresses[0][1])
    await asyncio.sleep(1e9)


def _app(documents: dict[str, Any]) -> web.Application:
    asked: Counter[str] = Counter()

    async def document(request: web.Request) -> web.Response:
        asked["did"] += 1
        found = documents.get(request.match_info["did"])
        return web.json_response(found) if found else web.Response(status=404)

    async def xrpc(request: web.Request) -> web.Response:
        method = request.match_info["method"]
        asked[method] += 1
        answer = _ANSWERS.get(method)
        if answer is None:
            return web.json_response({"error": "MethodNotImplemented", "message": method}, status=501)
        return web.json_response(answer(request))

    async def counted(request: web.Request) -> web.Response:
        return web.json_response(asked)

    app = web.Application()
    app.router.add_get("/asked", counted)
    app.router.add_get("/xrpc/{method}", xrpc)
    app.router.add_get("/{did}", document)
    return app


def _infos(request: web.Request) -> Any:
    dids = request.query.getall("dids", [])
    return {
        "infos": [
            {"did": did, "handle": f"{did[8:]}.example.org", "relatedRecords": [_PROFILE], "indexedAt": _SINCE}
            for did in dids
        ]
    }


def _record(request: web.Request) -> Any:
    asked = request.query
    value = {"$type": "app.bsky.feed.post", "text": "What was said.", "langs": ["en"], "createdAt": _SINCE}
    uri = f"at://{asked['repo']}/{asked['collection']}/{asked['rkey']}"
    return {"uri": uri, "cid": asked.get("cid", ""), "value": value}


def _labeler(request: web.Request) -> Any:
    did = request.query["dids"]
    view = {
        "$type": "app.bsky.labeler.defs#labelerViewDetailed",
        "uri": f"at://{did}/app.bsky.labeler.service/self",
        "cid": "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "creator": {"did": did, "handle": "labeler.example.org"},
        "policies": {"labelValues": []},
        "indexedAt": _SINCE,
    }
    return {"views": [view]}


_ANSWERS = {
    "com.atproto.admin.getAccountInfos": _infos,
    "com.atproto.repo.getRecord": _record,
    "app.bsky.feed.getAuthorFeed": lambda _: {"feed": []},
    "app.bsky.labeler.getServices": _labeler,
}
