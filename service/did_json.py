"""`/.well-known/did.json`: the document of this service where its DID is a did:web, and of its labelers."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from service.config import Config
from service.labelling import Labelling

COMMUNITIES = "#communities"
"""Our service entry to which clients send the methods of communities."""


def _own(config: Config) -> dict[str, Any] | None:
    """The document of our did:web; None when our DID is another one, whose document stands elsewhere."""
    if config.did != "did:web:" + config.hostname.replace(":", "%3A"):
        return None
    services = [
        {"id": "#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": config.endpoint},
        {"id": COMMUNITIES, "type": "CommunitiesService", "serviceEndpoint": config.endpoint},
    ]
    return {"@context": ["https://www.w3.org/ns/did/v1"], "id": config.did, "service": services}


def did_document(config: Config, labels: Labelling | None) -> Callable[[web.Request], Awaitable[web.Response]]:
    """What answers with the document of the host that was asked for."""
    own = _own(config)

    async def answer(request: web.Request) -> web.Response:
        document = labels.doors.document(request.host, own) if labels else own
        if document is None:
            return web.json_response({"error": "NotFound", "message": f"This service is {config.did}"}, status=404)
        return web.json_response(document, headers={"Access-Control-Allow-Origin": "*"})

    return answer
