"""A service that is a labeler on the real network: its account is set up by what operators type."""

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running
from tests.network.conftest import declaration, settings
from tests.network.netbox import Netbox
from tests.network.person import Person
from tests.service_process import PATIENCE, Service, free_port, until

PASSPHRASE = "only for this network"
HEAD = '[[labeler]]\ndid = "{did}"\nendpoint = "{endpoint}"\n'
LABEL = """
[[labeler.label]]
value = "{value}"
severity = "inform"
blurs = "none"
[labeler.label.locales.en]
name = "{value}"
description = "Said of posts in tests."
"""


@dataclass
class LabelTown:
    """The service and the labeler's account, whose name on the network is `name`."""

    box: Netbox
    service: Service
    labeler: Person
    name: str
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """Where the service is reached as the labeler."""
        return f"http://localhost:{self.service.settings['listen_port']}"

    @property
    def service_did(self) -> str:
        """The DID of the service itself."""
        return f"did:web:localhost%3A{self.service.settings['listen_port']}"

    @property
    def appview(self) -> str:
        """URL of the AppView."""
        return str(self.box.info["appview"]["url"])

    def person(self, name: str) -> Person:
        """An account of the PDS, made at its first use."""
        if name not in self.people:
            account = self.box.info["accounts"].get(name) or self.box.ask("account", name=name)
            self.people[name] = Person.of(account, self.box.info["pds"]["url"])
        return self.people[name]

    def written(self, text: str) -> dict[str, str]:
        """A post of alice that the AppView has."""
        post = self.person("alice").post(text)
        self.settle()
        return post

    def declare(self, *values: str) -> None:
        """Write the file of labels."""
        text = HEAD.format(did=self.labeler.did, endpoint=self.endpoint)
        text += "".join(LABEL.format(value=value) for value in values)
        (self.service.folder / "labels.toml").write_text(text, encoding="utf-8")

    def command(self, *words: str, code: int = 0) -> Any:
        """What a command prints as JSON. Asked for a password, it gets that of the labeler's account."""
        done = self.service.command_line(*words, "--json", typed=self.labeler.password + "\n", deadline=120)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        """What a command that fails says."""
        done = self.service.command_line(*words, typed=self.labeler.password + "\n", deadline=120)
        assert done.returncode == 1, (words, done.stdout, done.stderr)
        return done.stderr

    def as_labeler(self, *words: str, code: int = 0) -> Any:
        """A command of the group `labeler` that signs in as the labeler."""
        return self.command("labeler", *words, "--handle", self.labeler.handle, code=code)

    def mailed_code(self) -> str:
        """The code in the newest mail to the labeler's account."""
        mail = self.box.ask("mails", name=self.name)[-1]
        return re.findall(r"\b[A-Z0-9]{5}-[A-Z0-9]{5}\b", mail["text"])[0]

    def doctor(self) -> dict[str, tuple[str, str, str]]:
        """What the doctor finds: for each check its status, what it saw, and the fix."""
        done = self.service.command_line("labeler", "doctor", "--json", deadline=120)
        found = {one["check"]: (one["status"], one["seen"], one["fix"]) for one in json.loads(done.stdout)}
        assert done.returncode == any(status == "fail" for status, *_ in found.values()), done.stderr
        return found

    def failing(self) -> dict[str, str]:
        """Of the doctor's findings those that are not good, and what was seen."""
        return {name: seen for name, (status, seen, _) in self.doctor().items() if status in ("fail", "warn")}

    def set_up(self) -> None:
        """From an account to a record that clients read."""
        self.as_labeler("init")
        assert self.as_labeler("init", "--token", self.mailed_code())["done"]
        self.start()
        self.as_labeler("publish")
        self.settle()

    def start(self) -> None:
        """Start the service."""
        self.service.start()
        self.service.wait_health(deadline=60)

    def settle(self) -> None:
        """Wait until the AppView has worked off what happened on the PDS."""
        self.box.ask("settle")

    def pump(self, cursor: int = 0) -> None:
        """Let the AppView subscribe to the labels (anew), with upstream's client, from `cursor` on."""
        self.box.ask("pumpLabels", did=self.labeler.did, cursor=cursor)

    def pumped(self) -> dict[str, Any]:
        """How far the AppView has read the labels when it has read all that is published."""

        def status() -> dict[str, Any] | None:
            (published,) = self.command("labeler", "status")
            told: dict[str, Any] = self.box.ask("pumpStatus", did=self.labeler.did)
            settled = not published["waiting"] and told["cursor"] >= published["seq"]
            return told if settled else None

        return until("the labels in the AppView", status)

    def view(self, uri: str, accept: str) -> tuple[list[dict[str, Any]], str]:
        """The labels of a post that the AppView shows to those who accept the labels of `accept`, and whose labels it
        says it has taken into account.
        """
        url = f"{self.appview}/xrpc/app.bsky.feed.getPosts?{urllib.parse.urlencode({'uris': uri})}"
        request = urllib.request.Request(url, headers={"atproto-accept-labelers": accept} if accept else {})
        with urllib.request.urlopen(request, timeout=30 * PATIENCE) as answer:
            (post,) = json.load(answer)["posts"]
            return post["labels"], answer.headers["atproto-content-labelers"] or ""

    def shown(self, uri: str) -> set[tuple[str, str]]:
        """The labels of a post as (value, cid) for a viewer who asks for the labeler."""
        labels, _ = self.view(uri, self.labeler.did)
        return {(one["val"], one.get("cid", "")) for one in labels if not one.get("neg")}

    def label(self, what: str, uri: str, *words: str) -> dict[str, Any]:
        """`communities label add` or `remove`."""
        told: dict[str, Any] = self.command("label", what, uri, *words)
        return told


@contextmanager
def label_town(
    box: Netbox, folder: Path, config: pytest.Config, name: str, passphrase: str = PASSPHRASE, **more: str
) -> Iterator[LabelTown]:
    """A town before anything was done: an account for the labeler, and a service that was not started. Without a
    `passphrase` it is left to the file with settings. `more`: other settings.
    """
    publisher = Person.of(box.ask("account", name=f"{name}-feeds"), box.info["pds"]["url"])
    labeler = Person.of(box.ask("account", name=name), box.info["pds"]["url"])
    port = free_port()
    service = Service(
        folder,
        declaration(name),
        listen_port=str(port),
        hostname=f"localhost:{port}",
        **({"labeler_passphrase": passphrase} if passphrase else {}),
        **settings(box, publisher),
        **more,
    )
    with running(config, service):
        yield LabelTown(box, service, labeler, name)
