"""A reverse proxy before the service that keeps every exchange: here is read what upstream really sends."""

import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PASSED_ON = ("authorization", "accept", "accept-language", "content-type", "user-agent", "x-bsky-topics")


@dataclass(frozen=True)
class Exchange:
    """One request as it arrived and the answer that the service gave. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes

    @property
    def token(self) -> str | None:
        """The bearer token of the request."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else None


class Door:
    """Listens on a free port of 127.0.0.1 and passes everything on to `target`, a port of 127.0.0.1."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.exchanges: list[Exchange] = []
        door = self

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                door.exchanges.append(exchange := door.forward(self))
                self.send_response(exchange.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(exchange.answer)))
                self.end_headers()
                self.wfile.write(exchange.answer)

            do_GET = do_POST = pass_on

            def log_message(self, format: str, *args: Any) -> None:
                """The exchanges are kept; a log besides them says nothing more."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def forward(self, request: BaseHTTPRequestHandler) -> Exchange:
        """Ask the service what `request` asks."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.rfile.read(int(headers.get("content-length", "0")))
        upstream = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        try:
            passed = {name: headers[name] for name in PASSED_ON if name in headers}
            upstream.request(request.command, request.path, body or None, passed)
            answer = upstream.getresponse()
            return Exchange(request.command, request.path, headers, body, answer.status, answer.read())
        finally:
            upstream.close()

    def last(self, nsid: str) -> Exchange:
        """The newest exchange of an XRPC method; raises LookupError when there was none."""
        for exchange in reversed(self.exchanges):
            if exchange.path.split("?")[0] == f"/xrpc/{nsid}":
                return exchange
        raise LookupError(f"no {nsid} has arrived")
