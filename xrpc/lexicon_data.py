"""Values, held against the schemas of lexicons (https://atproto.com/specs/lexicon, /data-model).

A value comes from anybody and may be anything that JSON or DAG-CBOR can say. Links and bytes are known in both forms:
as JSON writes them (`{"$link": ...}`, `{"$bytes": ...}`) and as DAG-CBOR is decoded here (cbrrr's CID, `bytes`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from cbrrr import CID

from xrpc.graphemes import graphemes
from xrpc.lexicon_schema import FORMATS, Broken, Schema
from xrpc.syntax import is_cid

MAX_DEPTH = 64  # as in strict_json; below it no value goes to the end of Python's stack
_INT64 = 1 << 63
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_MIME = re.compile(r"[^\s/;]{1,127}/[^\s/;]{1,127}")


def check_value(
    definitions: Mapping[str, Schema], schema: Schema, value: Any, path: str, depth: int = MAX_DEPTH
) -> None:
    """Raise Broken unless `value` fits `schema`, whose refs are names of `definitions`. `path`: where it stands."""
    if not depth:
        raise Broken(path, f"must be nested at most {MAX_DEPTH} deep")
    kind = schema["type"]
    if kind in _LEAVES:
        _LEAVES[kind](schema, value, path)
    elif kind == "array":
        if type(value) is not list:
            raise Broken(path, "must be an array")
        _between(schema, "Length", len(value), path, "entries")
        for index, entry in enumerate(value):
            check_value(definitions, schema["items"], entry, f"{path}[{index}]", depth - 1)
    elif kind == "ref":
        _check_named(definitions, schema["ref"], value, path, depth)
    elif kind == "union":
        if not _is_map(value) or type(value.get("$type")) is not str or not value["$type"]:
            raise Broken(path, "must be an object with a $type")
        if value["$type"] in schema["refs"]:
            _check_named(definitions, value["$type"], value, path, depth)
        elif schema.get("closed"):
            raise Broken(f"{path}.$type" if path else "$type", f"must be one of {', '.join(schema['refs'])}")
    else:
        _check_object(definitions, schema, value, path, depth)


def _check_named(definitions: Mapping[str, Schema], name: str, value: Any, path: str, depth: int) -> None:
    found = definitions.get(name)
    if found is None:
        raise Broken(path, f"cannot be checked: {name} is not in the catalog")
    if found["type"] == "token":
        if type(value) is not str or value != name:
            raise Broken(path, f"must be {name}")
        return
    if found["type"] == "record":
        if not _is_map(value) or value.get("$type") != name:
            raise Broken(f"{path}.$type" if path else "$type", f"must be {name}")
        found = found["record"]
    check_value(definitions, found, value, path, depth)


def _check_object(definitions: Mapping[str, Schema], schema: Schema, value: Any, path: str, depth: int) -> None:
    """An object, or the parameters of a method. Fields that the schema does not name are nobody's business."""
    if not _is_map(value):
        raise Broken(path, "must be an object")
    prefix = f"{path}." if path else ""
    for name in schema.get("required", ()):
        if name not in value:
            raise Broken(f"{prefix}{name}", "is required")
    for name, inner in schema["properties"].items():
        if name not in value:
            continue
        if value[name] is not None:
            check_value(definitions, inner, value[name], f"{prefix}{name}", depth - 1)
        elif name not in schema.get("nullable", ()):
            raise Broken(f"{prefix}{name}", "must not be null")


def _is_map(value: Any) -> bool:
    """Whether it is an object of the data model, which links and bytes in JSON are not."""
    return type(value) is dict and "$link" not in value and "$bytes" not in value


def _is_link(value: Any) -> bool:
    if type(value) is dict:
        return value.keys() == {"$link"} and type(value["$link"]) is str and is_cid(value["$link"])
    return isinstance(value, CID)


def _between(schema: Schema, what: str, count: int, path: str, unit: str) -> None:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if low is not None and count < low:
        raise Broken(path, f"must have at least {low} {unit}")
    if high is not None and count > high:
        raise Broken(path, f"must have at most {high} {unit}")


def _one_of(schema: Schema, value: Any, path: str) -> None:
    if "const" in schema and value != schema["const"]:
        said = str(schema["const"])
        raise Broken(path, f"must be {said.lower() if type(value) is bool else said}")
    if "enum" in schema and value not in schema["enum"]:
        raise Broken(path, f"must be one of {', '.join(map(str, schema['enum']))}")


def _boolean(schema: Schema, value: Any, path: str) -> None:
    if type(value) is not bool:
        raise Broken(path, "must be true or false")
    _one_of(schema, value, path)


def _integer(schema: Schema, value: Any, path: str) -> None:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise Broken(path, "must be an integer of 64 bits")
    if value < schema.get("minimum", value):
        raise Broken(path, f"must be at least {schema['minimum']}")
    if value > schema.get("maximum", value):
        raise Broken(path, f"must be at most {schema['maximum']}")
    _one_of(schema, value, path)


def _string(schema: Schema, value: Any, path: str) -> None:
    if type(value) is not str:
        raise Broken(path, "must be a string")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
        raise Broken(path, "must be valid Unicode") from None
    _between(schema, "Length", size, path, "bytes")
    # A text never has more graphemes than characters: most need not be counted.
    if "minGraphemes" in schema or len(value) > schema.get("maxGraphemes", len(value)):
        _between(schema, "Graphemes", graphemes(value), path, "graphemes")
    _one_of(schema, value, path)
    name = schema.get("format")
    if name is not None and not FORMATS[name](value):
        raise Broken(path, f"must have the format {name}")


def _bytes(schema: Schema, value: Any, path: str) -> None:
    if type(value) is bytes:
        size = len(value)
    else:
        text = value["$bytes"] if type(value) is dict and value.keys() == {"$bytes"} else None
        if type(text) is not str or not _BASE64.fullmatch(text) or (digits := len(text.rstrip("="))) % 4 == 1:
            raise Broken(path, "must be bytes")
        size = digits * 3 // 4
    _between(schema, "Length", size, path, "bytes")


def _cid_link(_: Schema, value: Any, path: str) -> None:
    if not _is_link(value):
        raise Broken(path, "must be a link (a CID)")


def _blob(schema: Schema, value: Any, path: str) -> None:
    """A blob as uploadBlob gives it; the form without `$type` that blobs had before 2023 is refused."""
    if type(value) is not dict or value.get("$type") != "blob" or not _is_link(value.get("ref")):
        raise Broken(path, "must be a blob")
    mime, size = value.get("mimeType"), value.get("size")
    if type(mime) is not str or not _MIME.match(mime):
        raise Broken(f"{path}.mimeType", "must be a media type")
    if type(size) is not int or not 0 <= size < _INT64:
        raise Broken(f"{path}.size", "must be a whole number from 0")
    if size > schema.get("maxSize", size):
        raise Broken(f"{path}.size", f"must be at most {schema['maxSize']} bytes")
    accept = schema.get("accept", ["*/*"])
    if not any(_fits(mime.partition(";")[0].strip().lower(), pattern) for pattern in accept):
        raise Broken(f"{path}.mimeType", f"must be one of {', '.join(accept)}")


def _fits(mime: str, pattern: str) -> bool:
    """Whether a media type is `type/subtype`, or of `type/*`, or of anything."""
    return pattern in ("*/*", mime) or (pattern.endswith("/*") and mime.startswith(pattern[:-1]))


def _unknown(_: Schema, value: Any, path: str) -> None:
    if not _is_map(value) or value.get("$type") == "blob":
        raise Broken(path, "must be an object")


_LEAVES: dict[str, Callable[[Schema, Any, str], None]] = {
    "blob": _blob,
    "boolean": _boolean,
    "bytes": _bytes,
    "cid-link": _cid_link,
    "integer": _integer,
    "string": _string,
    "unknown": _unknown,
}
