"""The reference page of our lexicons: `python -m lexicons.page > docs/LEXICONS.md` writes it anew."""

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from lexicons.catalog import OURS, documents
from lexicons.examples import METHODS, RECORDS

_HEAD = """# Lexicons

The records by which communities live in people's own repositories, the methods by which clients find and shape them,
and what both are made of. This page is written by `python -m lexicons.page > docs/LEXICONS.md` from the JSON in
`lexicons/`, which is what counts.

Limits: *bytes* are of UTF-8, *graphemes* are what people see as one character. Where *known values* are listed, others
may come later; of a record the text says what is made of one that is not known. Fields that are not listed here are
allowed and ignored. A record that breaks a limit is ignored as a whole (of a community the last good version goes
on), and its author is told (`listRecords`). A call that breaks one is refused with `InvalidRequest`.

Clients call the methods through their user's PDS, which authenticates them, with the header
`atproto-proxy: <DID of the service>#communities`; queries also without authentication, where the text does not ask for
it. Besides the errors that are listed, each method may answer with those that any XRPC method has: `InvalidRequest`,
`AuthMissing`, `RateLimitExceeded` and so on.
"""
_ORDER = ("record", "query", "procedure", None)
"""In which order the documents stand on the page, by the type of their `main`."""
_LIMITS = (
    ("Length", {"string": "bytes", "bytes": "bytes", "array": "entries"}),
    ("Graphemes", {"string": "graphemes"}),
)


def page() -> str:
    """The whole page, in Markdown."""
    ours = [document for document in documents() if document["id"].startswith(OURS)]
    ours.sort(key=lambda document: _ORDER.index(document["defs"].get("main", {}).get("type")))
    return "\n".join([_HEAD, *(line for document in ours for line in _document(document))]).rstrip() + "\n"


def _document(document: dict[str, Any]) -> Iterator[str]:
    nsid = document["id"]
    yield f"## {nsid}\n"
    if "description" in document:
        yield document["description"] + "\n"
    for name, definition in document["defs"].items():
        if definition["type"] == "record":
            yield f"{definition['description']}\n\nRecord key: `{definition['key']}`.\n"
            yield from _fields(definition["record"], nsid)
            yield from _code({"$type": nsid} | RECORDS[nsid.removeprefix(OURS)])
        elif definition["type"] in ("query", "procedure"):
            yield from _method(definition, nsid)
        else:
            yield f"### {nsid}#{name}\n\n{definition['description']}\n"
            yield from _fields(definition, nsid)


def _method(method: dict[str, Any], nsid: str) -> Iterator[str]:
    asked, answered = METHODS[nsid.removeprefix(OURS)]
    yield f"{method['description']}\n"
    if method["type"] == "query":
        yield f"Query (GET `/xrpc/{nsid}`). Parameters:\n"
        yield from _fields(method["parameters"], nsid)
        yield f"```\nGET /xrpc/{nsid}?{urlencode(asked, safe=':/')}\n```\n"
    else:
        yield f"Procedure (POST `/xrpc/{nsid}`). Input:\n"
        yield from _fields(method["input"]["schema"], nsid)
        yield from _code(asked)
    answer = method["output"]["schema"]
    if answer["type"] == "ref":
        yield f"Output: `{answer['ref']}`.\n"
    else:
        yield "Output:\n"
        yield from _fields(answer, nsid)
    yield from _code(answered)
    yield "| error | when |\n| --- | --- |"
    for error in method["errors"]:
        yield f"| `{error['name']}` | {error['description']} |"
    yield ""


def _code(example: dict[str, Any]) -> Iterator[str]:
    yield f"```json\n{json.dumps(example, indent=2)}\n```\n"


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
        return f"`{_absolute(field['ref'], nsid)}`"
    if kind == "union":
        return " or ".join(f"`{_absolute(ref, nsid)}`" for ref in field["refs"])
    said = [field.get("format", kind)]
    for what, units in _LIMITS:
        for side, words in (("min", "at least"), ("max", "at most")):
            if (side + what, field.get(side + what)) == ("minLength", 1):
                said.append("not empty")
            elif side + what in field:
                said.append(f"{words} {field[side + what]:,} {units[kind]}")
    if "minimum" in field:
        said.append(f"from {field['minimum']}" + (f" to {field['maximum']}" if "maximum" in field else ""))
    if "accept" in field:
        said.append(f"{' or '.join(field['accept'])} of at most {field['maxSize']:,} bytes")
    for values, words in (("knownValues", "known values"), ("enum", "one of")):
        if values in field:
            said.append(f"{words} " + ", ".join(f"`{value}`" for value in field[values]))
    if "default" in field:
        said.append(f"`{json.dumps(field['default'])}` if absent")
    return "; ".join(said) + (f"; each: {_holds(field['items'], nsid)}" if kind == "array" else "")


def _absolute(ref: str, nsid: str) -> str:
    return nsid + ref if ref.startswith("#") else ref


if __name__ == "__main__":
    sys.stdout.write(page())
