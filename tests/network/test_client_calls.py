"""The calls of docs/CLIENTS.md and docs/MODERATING.md, sent as they stand there, through the real PDS."""

import json
import re
import shlex
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.network.conftest import Site
from tests.network.netbox import FOLDER, node
from tests.network.person import xrpc
from tests.network.town import found
from tests.service_process import PATIENCE

pytestmark = pytest.mark.network

DOCS = Path(__file__).parents[2] / "docs"
SIGNED_IN = """
import { AtpAgent } from '@atproto/api'
import fs from 'node:fs'
const [service, identifier, password, folder] = process.argv.slice(1)
const lexicons = fs.readdirSync(folder).map((name) => JSON.parse(fs.readFileSync(`${folder}/${name}`, 'utf8')))
const agent = new AtpAgent({ service })
await agent.login({ identifier, password })
"""


@dataclass
class Curl:
    """One call as curl would send it, in which names of shell variables still stand."""

    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def method(self) -> str:
        """The last part of the method's name."""
        return urllib.parse.urlsplit(self.url).path.rpartition(".")[2]

    def send(self, **variables: str) -> Any:
        """The answer; raises XrpcFailure when it is not 200."""

        def put_in(text: str) -> str:
            for name, value in variables.items():
                text = text.replace(f"${name}", value)
            return text

        server, _, rest = put_in(self.url).partition("/xrpc/")
        nsid, _, query = rest.partition("?")
        params = dict(urllib.parse.parse_qsl(query)) | {name: put_in(value) for name, value in self.params.items()}
        headers = {name: put_in(value) for name, value in self.headers.items()}
        return xrpc(server, nsid, params, json.loads(put_in(self.body)) if self.body else None, headers)


def read_calls(page: str, values: dict[str, str]) -> Iterator[Curl]:
    """The calls of a page in their order, with `values` in the place of what a reader has to replace."""
    lines, fenced = [], False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = line == "```sh"
        elif fenced or line.startswith("    "):
            lines.append(line.removesuffix("\\"))
    text = "\n".join(lines)
    for example, value in values.items():
        assert example in text
        text = text.replace(example, value)
    call = Curl()
    words = iter(shlex.split(text, comments=True))
    for word in words:
        if word.endswith("curl"):
            if call.url:
                yield call
            call = Curl()
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            call.headers[name.lower()] = value
        elif word == "-d":
            call.body = next(words)
        elif word == "--data-urlencode":
            name, _, value = next(words).partition("=")
            call.params[name] = value
        elif "/xrpc/" in word:
            call.url = word
    yield call


def test_the_calls_of_clients(site: Site) -> None:
    python = found(site, "python", posting="anyone")
    you, member, bob = (site.person(name) for name in ("rudi", "sibyl", "bob"))
    python.join(member)
    values = {
        "https://bsky.social": you.pds,
        "https://feeds.example.com": site.service.url,
        "did:web:feeds.example.com": site.did,
        "you.example.org": you.handle,
        "xxxx-xxxx-xxxx-xxxx": you.with_app_password().password,
        "did:plc:aaaaaaaaaaaaaaaaaaaaaaab": bob.did,
        "did:plc:aaaaaaaaaaaaaaaaaaaaaaac": member.did,
    }
    access, answers = "", {}
    for call in read_calls("CLIENTS.md", values):
        # The last two are decisions of somebody who looks after the community.
        founders = call.method in ("decide", "setRole")
        answers[call.method] = call.send(ACCESS=python.founder.access if founders else access)
        if call.method == "createSession":
            access = answers[call.method]["accessJwt"]
    assert [one["slug"] for one in answers["listCommunities"]["communities"]] == ["python"]
    assert answers["getCommunity"]["uri"] == python.uri
    assert answers["listMembers"]["members"] and answers["getViewer"]["post"] == "admitted"
    assert answers["join"]["viewer"]["volume"] == 4
    assert answers["getMembership"]["membership"]["did"] == you.did
    assert "membership" not in answers["leave"]["viewer"]
    assert answers["decide"]["member"]["status"] == "invited"
    assert answers["setRole"]["member"]["scope"] == ["posts", "pins"]


def test_the_call_with_the_official_library(site: Site) -> None:
    crows = found(site, "crows", posting="anyone")
    ulla = site.person("ulla").with_app_password()
    text = (DOCS / "CLIENTS.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```js\n(.*?)```", text, re.S)
    for there, here in {"did:web:feeds.example.com": site.did, "'python'": f"'{crows.slug}'"}.items():
        assert there in example
        example = example.replace(there, here)
    program = SIGNED_IN + example + "console.log(JSON.stringify(answer.data))\n"
    lexicons = DOCS.parent / "lexicons" / "social" / "communities"
    words = [str(node()), "--input-type=module", "-e", program, ulla.pds, ulla.handle, ulla.password, str(lexicons)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["viewer"] == crows.ask(ulla, "getViewer")
    assert crows.ask(ulla, "getViewer")["volume"] == 4


def test_the_calls_of_moderating(site: Site) -> None:
    birds = found(site, "birds", posting="anyone", rules=[{"name": "Birds only"}])
    moderator = site.person("tilda")
    birds.moderator(moderator)
    alice = site.person("alice")
    post = alice.post("a plane", "birds")
    site.caught_up()
    values = {
        "https://public.api.bsky.app": site.appview,
        "you.example.com": moderator.handle,
        "xxxx-xxxx-xxxx-xxxx": moderator.with_app_password().password,
        "bafyrei...": "$CID",
    }
    variables = {"PDS": moderator.pds, "SERVICE": f"{site.did}#communities", "POST": post["uri"]}
    calls = list(read_calls("MODERATING.md", values))
    (start,) = (at for at, call in enumerate(calls) if call.method == "createSession")
    answers = {}
    # The page says how to sign in behind what one may do then.
    for call in (*calls[start:], *calls[:start]):
        if call.method == "resolveAppeal":
            # The author asks for another decision, and somebody else decides.
            subject = {"$type": "com.atproto.repo.strongRef", **post}
            reason = "com.atproto.moderation.defs#reasonAppeal"
            asked = {"reasonType": reason, "subject": subject, "reason": "There is a bird."}
            alice.do("com.atproto.moderation.createReport", variables["SERVICE"], **asked)
        other = {"TOKEN": birds.founder.access} if call.method == "resolveAppeal" else {}
        answers[call.method] = answer = call.send(**(variables | other))
        if call.method == "createSession":
            variables["TOKEN"] = answer["accessJwt"]
        elif call.method == "getPosts":
            variables["CID"] = answer["posts"][0]["cid"]
    assert variables["CID"] == post["cid"]
    assert answers["decide"]["decision"]["subject"] == post["uri"]
    assert answers["explain"]["decision"] == answers["decide"]["decision"]
    assert answers["getDecisions"]["decisions"] == [answers["decide"]["decision"]]
    assert [one["state"] for one in answers["resolveAppeal"]["appeals"]] == ["granted"]
    assert answers["getEvidence"]["decisions"] == [answers["decide"]["decision"]]
    assert answers["listCommands"]["commands"] == answers["undo"]["events"] == []
