"""The reference page of our lexicons: `python -m lexicons.page > docs/LEXICONS.md` writes it anew."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from lexicons.catalog import OURS, documents

_HEAD = """# Lexicons

The records by which communities live in people's own repositories. This page is written by
`python -m lexicons.page > docs/LEXICONS.md` from the JSON in `lexicons/`, which is what counts.

Limits: *bytes* are of UTF-8, *graphemes* are what people see as one character. Where *known values* are listed, others
may come later; the text says what is made of one that is not known. Fields that are not listed here are allowed and
ignored. A record that breaks a limit is ignored as a whole.
"""
_FIRST, _OWNER, _POST = "2026-01-31T12:00:00.000Z", "did:plc:u67flkjuxwlzuwprxwie4kdl", "3kznmn7xqxl22"
_BIRDS = f"at://{_OWNER}/{OURS}community/birds"
EXAMPLES: dict[str, dict[str, Any]] = {
    "community": {
        "type": "open",
        "name": "Birds",
        "description": "Birds and the people who watch them.",
        "rules": [{"name": "No baiting", "text": "No pictures of birds that were lured with live bait."}],
        "posting": "anyone",
        "joinBy": ["record", "follow"],
        "include": {"hashtags": ["birds", "birding"]},
        "exclude": {"hashtagsOver": 8},
        "ranking": {"halfLifeHours": 24, "weights": {"like": 1, "reply": 3}, "authorCap": 3},
        "log": {"who": "role", "showSubject": False},
        "createdAt": _FIRST,
    },
    "role": {
        "community": _BIRDS,
        "subject": "did:plc:v5pyzk3xbxzqo2ucmx4tbzfm",
        "role": "moderator",
        "scope": ["posts", "pins"],
        "createdAt": _FIRST,
    },
    "membership": {"community": _BIRDS, "volume": 4, "createdAt": _FIRST},
    "submission": {
        "community": _BIRDS,
        "post": {
            "uri": f"at://did:plc:v5pyzk3xbxzqo2ucmx4tbzfm/app.bsky.feed.post/{_POST}",
            "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq",
        },
        "createdAt": _FIRST,
    },
}
_LIMITS = (
    ("Length", {"string": "bytes", "bytes": "bytes", "array": "entries"}),
    ("Graphemes", {"string": "graphemes"}),
)


def page() -> str:
    """The whole page, in Markdown."""
    ours = [document for document in documents() if document["id"].startswith(OURS)]
    records = [document for document in ours if "main" in document["defs"]]
    others = [document for document in ours if "main" not in document["defs"]]
    return "\n".join([_HEAD, *(line for document in records + others for line in _document(document))]).rstrip() + "\n"


def _document(document: dict[str, Any]) -> Iterator[str]:
    nsid = document["id"]
    yield f"## {nsid}\n"
    if "description" in document:
        yield document["description"] + "\n"
    for name, definition in document["defs"].items():
        if definition["type"] == "record":
            yield f"{definition['description']}\n\nRecord key: `{definition['key']}`.\n"
            yield from _fields(definition["record"], nsid)
            example = {"$type": nsid} | EXAMPLES[nsid.removeprefix(OURS)]
            yield f"```json\n{json.dumps(example, indent=2)}\n```\n"
        else:
            yield f"### {nsid}#{name}\n\n{definition['description']}\n"
            yield from _fields(definition, nsid)


def _fields(schema: dict[str, Any], nsid: str) -> Iterator[str]:
    yield "| field | what it holds | meaning |\n| --- | --- | --- |"
    for name, field in schema["properties"].items():
        needed = ", **required**" if name in schema.get("required", ()) else ""
        cells = (f"`{name}`{needed}", _holds(field, nsid), field["description"])
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _holds(field: dict[str, Any], nsid: str) -> str:
    """The type of a field with its limits, in a few words."""
    kind = field["type"]
    if kind == "ref":
        return f"`{nsid + field['ref'] if field['ref'].startswith('#') else field['ref']}`"
    said = [field.get("format", kind)]
    for what, units in _LIMITS:
        for side, words in (("min", "at least"), ("max", "at most")):
            if (side + what, field.get(side + what)) == ("minLength", 1):
                said.append("not empty")
            elif side + what in field:
                said.append(f"{words} {field[side + what]:,} {units[kind]}")
    if "minimum" in field:
        said.append(f"from {field['minimum']} to {field['maximum']}")
    if "accept" in field:
        said.append(f"{' or '.join(field['accept'])} of at most {field['maxSize']:,} bytes")
    if "knownValues" in field:
        said.append("known values " + ", ".join(f"`{value}`" for value in field["knownValues"]))
    if "default" in field:
        said.append(f"`{json.dumps(field['default'])}` if absent")
    return "; ".join(said) + (f"; each: {_holds(field['items'], nsid)}" if kind == "array" else "")


if __name__ == "__main__":
    sys.stdout.write(page())
