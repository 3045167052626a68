"""docs/LABELER.md, followed by a new operator on the real PDS, from nothing to a label that is shown and a new key; and
what the PDS refuses on the way.
"""

import base64
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doc_calls import blocks
from tests.network.label_town import LabelTown, label_town
from tests.network.netbox import Netbox
from tests.service_process import get_json

pytestmark = pytest.mark.network

EXAMPLE = Path(__file__).parents[2] / "service" / "labels.example.toml"
POST = "at://did:plc:.../app.bsky.feed.post/..."
HANDLE, CODE = "labels.example.org", "CODE"


def commands() -> Iterator[list[str]]:
    """What the page tells people to type, in its order."""
    for block in blocks("LABELER.md", "sh"):
        for line in block.splitlines():
            program, *words = shlex.split(line)
            assert program == "communities"
            yield words


class Operator:
    """Types what the page says, with what is meant in the place of its examples."""

    def __init__(self, town: LabelTown, post: str) -> None:
        self.town, self.post = town, post
        self.left = commands()
        self.said = ""

    def types(self, *expected: str) -> str:
        """The next command of the page, which begins with these words, and what it printed."""
        words = next(self.left)
        assert tuple(words[: len(expected)]) == expected
        filled = {HANDLE: self.town.labeler.handle, POST: self.post}
        if CODE in words:
            filled[CODE] = self.town.mailed_code()
        typed = self.town.labeler.password + "\n" if "--handle" in words else ""
        said = [filled.get(word, word) for word in words]
        done: subprocess.CompletedProcess[str] = self.town.service.command_line(*said, typed=typed, deadline=120)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


def test_from_nothing_to_a_label_that_is_shown(box: Netbox, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    with label_town(box, tmp_path / "site", pytestconfig, "guided", passphrase="") as town:
        # 2. and 3.: the file, and the passphrase in .env
        text = EXAMPLE.read_text(encoding="utf-8")
        for example, own in {
            "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa": town.labeler.did,
            "https://labels.example.org": town.endpoint,
        }.items():
            assert example in text
            text = text.replace(example, own)
        (town.service.folder / "labels.toml").write_text(text, encoding="utf-8")
        secret = base64.b64encode(os.urandom(24)).decode()
        settings = town.service.folder / ".env"
        settings.write_text(f"COMMUNITIES_LABELER_PASSPHRASE={secret}\n", encoding="utf-8")
        settings.chmod(0o600)
        post = town.person("alice").post("the gardener, not the butler")["uri"]
        operator = Operator(town, post)

        # 4.
        sent = operator.types("labeler", "init", "--handle")
        assert "A signing key was made" in sent and "--token CODE" in sent
        assert "in its DID document" in operator.types("labeler", "init", "--handle")
        # 5.
        town.start()
        written = operator.types("labeler", "publish")
        assert "+ label spoiler" in written and "app.bsky.labeler.service/self: created" in written
        # 6.
        town.settle()
        town.pump()
        assert "fail" not in operator.types("labeler", "doctor")
        seen = operator.types("labeler", "canary")
        assert "shown by the AppView" in seen and "not seen" not in seen
        assert town.labeler.did in operator.types("labeler", "status")
        # 7.
        operator.types("label", "add")
        town.pumped()
        assert town.shown(post) == {("spoiler", "")}
        assert "spoiler" in operator.types("label", "list")
        operator.types("label", "remove")
        town.pumped()
        assert town.shown(post) == set()
        # A new key
        assert "--token CODE" in operator.types("labeler", "rotate-key")
        assert f"{town.labeler.did} signs with did:key:" in operator.types("labeler", "rotate-key")
        assert next(operator.left, None) is None
        assert town.failing() == {}


def test_what_is_refused_on_the_way_says_what_to_do(box: Netbox, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    with label_town(box, tmp_path / "site", pytestconfig, "stumbling") as town:
        assert "docs/LABELER.md" in said(town, 2, "labeler", "init")
        town.declare("spoiler")
        app = town.labeler.do("com.atproto.server.createAppPassword", name="labels")["password"]
        # Without --handle the account of the settings signs in, which is another one.
        assert "sign in as that account" in said(town, 2, "labeler", "init")
        handle = ("--handle", town.labeler.handle)
        assert "the main password" in said(town, 1, "labeler", "init", *handle, typed=app)
        assert said(town, 2, "labeler", "init", *handle, typed="wrong")
        assert town.as_labeler("init")["done"] is False
        wrong = said(town, 1, "labeler", "init", *handle, "--token", "AAAAA-BBBBB", typed=town.labeler.password)
        assert "leave --token out to have a new code sent" in wrong
        state = get_json(f"{box.info['plc']['url']}/{town.labeler.did}/data")
        assert state is not None and state["verificationMethods"].keys() == {"atproto"}
        assert state["services"].keys() == {"atproto_pds"}

        # The key is not there, nor the server: no record is written.
        told = said(town, 1, "labeler", "publish", *handle, typed=app)
        assert "the labeler's server is not ready" in told and "has no key #atproto_label" in told
        assert town.as_labeler("init", "--token", town.mailed_code())["done"]
        told = said(town, 1, "labeler", "publish", *handle, typed=app)
        assert "the labeler's server is not ready" in told and "has no key" not in told
        town.start()
        done = town.service.command_line("labeler", "publish", *handle, "--json", typed=f"{app}\n", deadline=120)
        assert done.returncode == 0, done.stderr  # here an app password is enough
        # Once more changes nothing, and needs no code.
        head = box.ask("head")
        assert town.as_labeler("init")["done"] and town.as_labeler("publish")["status"] == "unchanged"
        assert box.ask("head") == head


def said(town: LabelTown, code: int, *words: str, typed: str = "") -> str:
    """What a command that fails with `code` says."""
    done = town.service.command_line(*words, typed=f"{typed}\n", deadline=120)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stderr
