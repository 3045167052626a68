"""Lexicon documents, judged: language version 1 of https://atproto.com/specs/lexicon.

Stricter than the language asks for in one point: a field that it does not know is refused, because a misspelt limit
(`maxGrapheme`) would otherwise limit nothing, unseen.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from xrpc.syntax import (  # fmt: skip
    is_at_identifier,
    is_at_uri,
    is_cid,
    is_datetime,
    is_did,
    is_handle,
    is_language,
    is_nsid,
    is_rkey,
    is_tid,
    is_uri,
)

MAX_NESTING = 32

FORMATS: dict[str, Callable[[str], bool]] = {
    "at-identifier": is_at_identifier,
    "at-uri": is_at_uri,
    "cid": is_cid,
    "datetime": is_datetime,
    "did": is_did,
    "handle": is_handle,
    "language": is_language,
    "nsid": is_nsid,
    "record-key": is_rkey,
    "tid": is_tid,
    "uri": is_uri,
}
METHODS = ("query", "procedure", "subscription")
_PRIMARY = ("record", *METHODS, "permission-set")
_DEFINED = ("array", "blob", "boolean", "bytes", "cid-link", "integer", "object", "string", "token")
"""What may stand under a name beside the primary types; a ref never, so that each leads to a definition in one step."""
_FIELD = ("array", "blob", "boolean", "bytes", "cid-link", "integer", "object", "ref", "string", "union", "unknown")
_PARAM = ("array", "boolean", "integer", "string", "unknown")
_BODY = ("object", "ref", "union")

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,255}")
_ERROR = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,255}")
_MIME = re.compile(r"\*/\*|[a-z0-9.+-]+/(?:\*|[a-zA-Z0-9.+-]+)")


class LexiconError(Exception):
    """A document or a value breaks a rule; the message names the document, the path in it, and the rule."""


class Broken(Exception):
    """As LexiconError, while the document's name is not known yet."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}" if path else rule)


Schema = dict[str, Any]
_Rule = tuple[Callable[[Any], bool], str]


def _whole(value: Any) -> bool:
    return type(value) is int


def _texts(value: Any) -> bool:
    return type(value) is list and all(type(entry) is str for entry in value)


_TEXT: _Rule = (lambda value: type(value) is str, "must be a text")
_TEXTS: _Rule = (_texts, "must be a list of texts")
_SWITCH: _Rule = (lambda value: type(value) is bool, "must be true or false")
_WHOLE: _Rule = (_whole, "must be a whole number")
_WHOLES: _Rule = (lambda value: type(value) is list and all(map(_whole, value)), "must be a list of whole numbers")
_SIZE: _Rule = (lambda value: _whole(value) and value >= 0, "must be a whole number from 0")
_ANY: _Rule = (lambda _: True, "")
_FORMAT: _Rule = (lambda value: type(value) is str and value in FORMATS, f"must be one of {', '.join(FORMATS)}")
_TYPES: _Rule = (lambda value: _texts(value) and all(map(_MIME.fullmatch, value)), "must be a list of media types")
_BY_LANG: _Rule = (
    lambda value: type(value) is dict and all(map(is_language, value)) and _texts([*value.values()]),
    "must be texts by language",
)

_FIELDS: dict[str, dict[str, _Rule]] = {
    "boolean": {"default": _SWITCH, "const": _SWITCH},
    "integer": {"minimum": _WHOLE, "maximum": _WHOLE, "enum": _WHOLES, "default": _WHOLE, "const": _WHOLE},
    "string": {
        "format": _FORMAT, "minLength": _SIZE, "maxLength": _SIZE, "minGraphemes": _SIZE, "maxGraphemes": _SIZE,
        "knownValues": _TEXTS, "enum": _TEXTS, "default": _TEXT, "const": _TEXT,
    },
    "bytes": {"minLength": _SIZE, "maxLength": _SIZE},
    "cid-link": {},
    "blob": {"accept": _TYPES, "maxSize": _SIZE},
    "array": {"items": _ANY, "minLength": _SIZE, "maxLength": _SIZE},
    "object": {"properties": _ANY, "required": _TEXTS, "nullable": _TEXTS},
    "params": {"properties": _ANY, "required": _TEXTS},
    "ref": {"ref": _TEXT},
    "union": {"refs": _TEXTS, "closed": _SWITCH},
    "unknown": {},
    "token": {},
    "record": {"key": _TEXT, "record": _ANY},
    "query": {"parameters": _ANY, "output": _ANY, "errors": _ANY},
    "procedure": {"parameters": _ANY, "input": _ANY, "output": _ANY, "errors": _ANY},
    "subscription": {"parameters": _ANY, "message": _ANY, "errors": _ANY},
    "permission-set": {
        "title": _TEXT, "title:lang": _BY_LANG, "detail": _TEXT, "detail:lang": _BY_LANG, "permissions": _ANY,
    },
}  # fmt: skip
_NEEDED = {
    "array": ("items",),
    "object": ("properties",),
    "params": ("properties",),
    "ref": ("ref",),
    "union": ("refs",),
    "record": ("key", "record"),
    "permission-set": ("permissions",),
}
_RANGES = (("minimum", "maximum"), ("minLength", "maxLength"), ("minGraphemes", "maxGraphemes"))


def check_document(document: Any) -> str:
    """The document's NSID. Raises LexiconError unless it is good, apart from what its refs lead to."""
    nsid = document.get("id") if type(document) is dict else None
    if type(nsid) is not str or not is_nsid(nsid):
        raise LexiconError("lexicon document: id: must be an NSID")
    try:
        if document.get("lexicon") != 1 or type(document["lexicon"]) is not int:
            raise Broken("lexicon", "must be 1")
        _known(document, {"lexicon", "id", "defs", "description", "revision", "$type"}, "")
        if type(document.get("description", "")) is not str:
            raise Broken("description", "must be a text")
        for name, definition in _map(document.get("defs"), "defs").items():
            path = f"defs.{name}"
            if not _NAME.fullmatch(name):
                raise Broken(path, "must be named with letters and digits")
            _schema(definition, path, (*_PRIMARY, *_DEFINED) if name == "main" else _DEFINED, MAX_NESTING)
    except Broken as fault:
        raise LexiconError(f"{nsid}: {fault}") from None
    return nsid


def refs(value: Any, path: str = "defs") -> Iterator[tuple[str, str, bool]]:
    """Every ref below a part of a good document: where it stands, what it says, whether it is in a union."""
    if type(value) is list:
        for index, entry in enumerate(value):
            yield from refs(entry, f"{path}[{index}]")
    elif type(value) is dict:
        if value.get("type") == "ref" and type(value.get("ref")) is str:
            yield path, value["ref"], False
        elif value.get("type") == "union" and type(value.get("refs")) is list:
            yield from ((path, ref, True) for ref in value["refs"])
        else:
            for key, entry in value.items():
                yield from refs(entry, f"{path}.{key}")


def absolute(ref: str, nsid: str) -> str:
    """What `ref` means in the document `nsid`, written as in `$type`: the NSID, with `#name` unless it is `main`."""
    return (nsid + ref if ref.startswith("#") else ref).removesuffix("#main")


def _known(value: Schema, keys: set[str], path: str) -> None:
    for key in value:
        if key not in keys:
            raise Broken(path, f"{key!r} is no field here" if len(key) < 100 else "has a field that is none")


def _map(value: Any, path: str) -> Schema:
    if type(value) is not dict:
        raise Broken(path, "must be an object")
    return value


def _schema(value: Any, path: str, kinds: tuple[str, ...], depth: int) -> None:
    if not depth:
        raise Broken(path, f"must be nested at most {MAX_NESTING} deep")
    kind = _map(value, path).get("type")
    if type(kind) is not str or kind not in kinds:
        raise Broken(f"{path}.type", f"must be one of {', '.join(kinds)}")
    rules = _FIELDS[kind]
    _known(value, {"type", "description", *rules}, path)
    if type(value.get("description", "")) is not str:
        raise Broken(f"{path}.description", "must be a text")
    for key in _NEEDED.get(kind, ()):
        if key not in value:
            raise Broken(f"{path}.{key}", "is required")
    for key, (good, rule) in rules.items():
        if key in value and not good(value[key]):
            raise Broken(f"{path}.{key}", rule)
    for low, high in _RANGES:
        if low in value and high in value and value[low] > value[high]:
            raise Broken(f"{path}.{low}", f"must not exceed {high}")
    if kind in ("object", "params"):
        _properties(value, path, _FIELD if kind == "object" else _PARAM, depth - 1)
    elif kind == "array":
        in_params = kinds is _PARAM
        _schema(value["items"], f"{path}.items", _PARAM[1:] if in_params else _FIELD, depth - 1)
    elif kind in ("ref", "union"):
        for ref in value["refs"] if kind == "union" else [value["ref"]]:
            nsid, mark, name = ref.partition("#")
            if (nsid and not is_nsid(nsid)) or (mark and not _NAME.fullmatch(name)) or not ref:
                raise Broken(path, "must refer to #name, an NSID or NSID#name")
        if value.get("closed") and not value["refs"]:
            raise Broken(f"{path}.refs", "must not be empty in a closed union")
    elif kind == "record":
        _key(value["key"], f"{path}.key")
        _schema(value["record"], f"{path}.record", ("object",), depth - 1)
    elif kind in METHODS:
        _method(value, path, depth - 1)
    elif kind == "permission-set":
        _permissions(value["permissions"], f"{path}.permissions")


def _properties(value: Schema, path: str, kinds: tuple[str, ...], depth: int) -> None:
    properties = _map(value["properties"], f"{path}.properties")
    for name, schema in properties.items():
        _schema(schema, f"{path}.properties.{name}", kinds, depth)
    for key in ("required", "nullable"):
        if any(name not in properties for name in value.get(key, ())):
            raise Broken(f"{path}.{key}", "must name properties of the object")


def _key(key: str, path: str) -> None:
    kind, mark, rkey = key.partition(":")
    if not (key in ("any", "nsid", "tid") or (kind == "literal" and mark and is_rkey(rkey))):
        raise Broken(path, "must be any, nsid, tid or literal:<record key>")


def _method(value: Schema, path: str, depth: int) -> None:
    if "parameters" in value:
        _schema(value["parameters"], f"{path}.parameters", ("params",), depth)
    for key in ("input", "output", "message"):
        if key not in value:
            continue
        where = f"{path}.{key}"
        body = _map(value[key], where)
        _known(body, {"description", "schema"} if key == "message" else {"description", "encoding", "schema"}, where)
        if key != "message" and type(body.get("encoding")) is not str:
            raise Broken(f"{where}.encoding", "must be a media type")
        if "schema" in body:
            _schema(body["schema"], f"{where}.schema", ("union",) if key == "message" else _BODY, depth)
    errors = value.get("errors", [])
    if type(errors) is not list:
        raise Broken(f"{path}.errors", "must be a list")
    for index, error in enumerate(errors):
        where = f"{path}.errors[{index}]"
        _known(_map(error, where), {"name", "description"}, where)
        if type(error.get("name")) is not str or not _ERROR.fullmatch(error["name"]):
            raise Broken(f"{where}.name", "must be a word")


def _permissions(value: Any, path: str) -> None:
    if type(value) is not list:
        raise Broken(path, "must be a list")
    for index, permission in enumerate(value):
        where = f"{path}[{index}]"
        if _map(permission, where).get("type") != "permission" or type(permission.get("resource")) is not str:
            raise Broken(where, "must be of type permission and name a resource")
        for key, entry in permission.items():
            if type(entry) not in (str, bool, int) and not _texts(entry):
                raise Broken(f"{where}.{key}", "must be a text, a switch or a list of texts")
