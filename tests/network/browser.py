"""A real browser, Chromium without a window, and pages in it: what people's browsers allow a page, CORS above all.

It is driven by its own protocol over a WebSocket (chromedevtools.github.io/devtools-protocol): one command at a time,
and whatever it tells meanwhile is kept.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.service_process import PATIENCE, Program, until

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
FIX = "apt-get install -y chromium (macOS: brew install --cask google-chrome)"
SWITCHES = (
    "--headless=new",
    "--remote-debugging-port=0",
    # Its sandbox takes rights that containers do not give; no page from elsewhere is ever opened.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--log-level=3",
    "--no-first-run",
    "--no-proxy-server",
    # Nothing but this machine: neither updates nor anything else that it asks of its maker.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Event = dict[str, Any]


def chromium() -> str | None:
    """The program, if it is on this machine."""
    return next(filter(None, map(shutil.which, (*NAMES, str(MAC)))), None)


def why_not() -> str | None:
    """One line: why there is no browser here and what to do about it. None when there is."""
    return None if chromium() else f"the page of a moderator needs Chromium: {FIX}, then `make test`"


class PageFailure(Exception):
    """What a page's function has thrown: `status` and `name` of the XRPC error that it is."""

    def __init__(self, function: str, status: int, name: str, message: str) -> None:
        super().__init__(f"{function}: {status} {name}: {message}")
        self.status = status
        self.name = name


class Browser(Program):
    """The running browser, with a profile of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        program = chromium()
        assert program is not None
        self.profile = folder / "profile"
        command = [program, *SWITCHES, f"--user-data-dir={self.profile}", "about:blank"]
        super().__init__("chromium", command, folder / "chromium.log", os.environ)
        self.wire: ClientConnection | None = None
        self.events: list[Event] = []
        self._connection = ExitStack()
        self._sent = 0

    def open(self) -> None:
        """Start it and connect."""
        self.start()
        # It writes port and path there once it listens.
        told = self.profile / "DevToolsActivePort"

        def place() -> list[str] | None:
            self.alive()
            lines = told.read_text(encoding="utf-8").split() if told.exists() else []
            return lines if len(lines) == 2 else None

        port, path = until("the browser", place, deadline=60)
        wire = connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None, ping_interval=None)
        self.wire = self._connection.enter_context(wire)

    def tell(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """The answer to a command, to the page of `session` or the browser itself; AssertionError for a refusal."""
        assert self.wire is not None, "the browser is not open"
        self._sent += 1
        sent = {"id": self._sent, "method": method, "params": params}
        self.wire.send(json.dumps(sent | ({"sessionId": session} if session else {})))
        while True:
            told = json.loads(self.wire.recv(timeout=60 * PATIENCE))
            if told.get("id") == self._sent:
                assert "error" not in told, f"{method}: {told['error']}"
                return dict(told["result"])
            self.events.append(told)

    def page(self, url: str) -> "Page":
        """A page in a window of its own, which shares neither cookies nor storage nor cache with any other."""
        context = self.tell("Target.createBrowserContext")["browserContextId"]
        target = self.tell("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.tell(f"{domain}.enable", session)
        page = Page(self, session)
        self.tell("Page.navigate", session, url=url)
        loaded = f"location.href === {json.dumps(url)} && document.readyState === 'complete'"
        until(f"the page {url}", lambda: page.value(loaded))
        return page

    def stop(self, deadline: float = 30.0) -> None:
        """Close it; anything but exit code 0 is a failure. Does nothing when it was ended before."""
        if self.process is None:
            return
        if self.wire is None:
            return super().stop(deadline)
        with suppress(ConnectionClosed):  # by this or before: the exit code says which
            self.tell("Browser.close")
        self.wire = None
        self._connection.close()
        code = self.wait_exit(deadline)
        assert code == 0, f"the browser ended with code {code}:\n{self.log_tail()}"


@dataclass
class Page:
    """A page that is open, and what the browser has told of it."""

    browser: Browser
    session: str

    def value(self, expression: str) -> Any:
        """What an expression is worth in the page, a promise once it is kept; AssertionError for what it throws."""
        evaluate = partial(self.browser.tell, "Runtime.evaluate", self.session)
        told = evaluate(expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def ask(self, function: str, *args: Any) -> Any:
        """Call one of the functions that the page offers. Raises PageFailure for an XRPC error."""
        words = ", ".join(map(json.dumps, args))
        told = self.value(f"settled(screens.{function}({words}))")
        if "failed" in told:
            raise PageFailure(function, *told["failed"])
        return told["done"]

    def told(self, *methods: str) -> list[Event]:
        """What the browser has told of this page by some names, in order: the parameters of each event."""
        mine = (one for one in self.browser.events if one.get("sessionId") == self.session)
        return [one["params"] for one in mine if one["method"] in methods]

    def requests(self) -> list[Event]:
        """Every request that the page has made, preflights included: url, method, headers and so on."""
        return [one["request"] for one in self.told("Network.requestWillBeSent")]

    def faults(self) -> list[tuple[str, str]]:
        """What the console shows in red, with the URL that it is about: failed requests, errors written or thrown."""
        logged = (one["entry"] for one in self.told("Log.entryAdded"))
        found = [(one["text"], one.get("url", "")) for one in logged if one["level"] == "error"]
        written = (one for one in self.told("Runtime.consoleAPICalled") if one["type"] == "error")
        found += [(json.dumps(one["args"]), "") for one in written]
        return found + [(one["exceptionDetails"]["text"], "") for one in self.told("Runtime.exceptionThrown")]


@contextmanager
def served(file: Path) -> Iterator[str]:
    """The URL of a file, on an origin that has nothing else."""
    content = file.read_bytes()

    class Only(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == f"/{file.name}" else 404)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(content if self.path == f"/{file.name}" else b"")

        def log_message(self, format: str, *args: Any) -> None:
            """The browser tells what it has loaded."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Only) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/{file.name}"
        finally:
            server.shutdown()
            thread.join()
