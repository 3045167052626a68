"""The examples of a page of docs/: the calls of its shell blocks, and its blocks of JSON, TOML and Python."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Call:
    """A `curl` as it stands there, with `$NAME` for what the reader fills in. `host`: the part before /xrpc/."""

    host: str
    method: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: str | None

    def json(self, **filled: str) -> Any:
        """The body, with every name filled in."""
        return json.loads(fill(self.body or "{}", filled))


def fill(text: str, filled: Mapping[str, str]) -> str:
    """`text` with each `$NAME` filled in; `$type` and the like stay."""
    return re.sub(r"\$([A-Z]+)\b", lambda found: filled[found[1]], text)


def blocks(page: str, language: str, heading: str | None = None) -> list[str]:
    """The blocks of a language on a page, or in the section of it with that heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if heading is not None:
        text = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def calls(page: str, heading: str | None = None, **files: str) -> list[Call]:
    """The calls of a page's shell blocks, in their order; `files` holds what `cat` gives, by name without a dot."""
    found = []
    for block in blocks(page, "sh", heading):
        text = block.replace("\\\n", " ")
        for name, content in files.items():
            text = text.replace(f'"$(cat {name.replace("_", ".")})"', shlex.quote(content))
        words = shlex.split(text, comments=True)
        starts = [at for at, word in enumerate(words) if word.endswith("curl")]
        for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
            found.append(_call(words[start + 1 : end]))
    return found


def _call(words: list[str]) -> Call:
    url, body = "", None
    headers: dict[str, str] = {}
    params: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            # Behind the body of a call whose answer is kept stands the bracket of $(...).
            body = next(rest).removesuffix(")")
            break
        elif word == "--data-urlencode":
            name, _, value = next(rest).partition("=")
            params[name] = value
        elif "/xrpc/" in word and not url:
            url = word
        elif word not in ("-s", "-G"):
            break
    host, _, asked = url.partition("/xrpc/")
    parts = urlsplit(asked)
    return Call(host, parts.path, dict(parse_qsl(parts.query)) | params, headers, body)
