"""Lexicons: what records and the bodies of methods must look like (https://atproto.com/specs/lexicon).

    catalog = Catalog(documents)                      # every document is checked, and every ref leads somewhere
    catalog.check_record("social.communities.community", record, rkey="birds")
    catalog.check_input("com.atproto.moderation.createReport", body)

The first rule that is broken is said: `social.communities.community: include.hashtags[3]: must have at most 64
graphemes`. Values stay as they are: defaults are not filled in, and fields that no schema names are allowed.
"""

from collections.abc import Iterable
from typing import Any

from xrpc.lexicon_data import check_value
from xrpc.lexicon_schema import METHODS, Broken, LexiconError, Schema, absolute, check_document, refs
from xrpc.syntax import is_nsid, is_rkey, is_tid

__all__ = ["Catalog", "LexiconError"]

_KEYS = {"any": (is_rkey, "a record key"), "nsid": (is_nsid, "an NSID"), "tid": (is_tid, "a TID")}
_NOT_DATA = (*METHODS, "permission-set")


class Catalog:
    """Checked documents, by NSID. `partial`: refs may lead to documents that are not here; they stand in `missing`.

    What such a ref should describe is refused, not believed. Raises LexiconError.
    """

    def __init__(self, documents: Iterable[Any], *, partial: bool = False) -> None:
        self._definitions: dict[str, Schema] = {}
        self.missing: frozenset[str] = frozenset()
        checked: dict[str, Any] = {}
        for document in documents:
            nsid = check_document(document)
            if nsid in checked:
                raise LexiconError(f"{nsid}: is there twice")
            checked[nsid] = document
            for name, definition in document["defs"].items():
                self._definitions[absolute(f"#{name}", nsid)] = _with_absolute_refs(definition, nsid)
        missing = set()
        for nsid, document in checked.items():
            for path, ref, in_union in refs(document["defs"]):
                target = absolute(ref, nsid)
                found = self._definitions.get(target)
                if found is None and partial and target.partition("#")[0] not in checked:
                    missing.add(target)
                elif found is None:
                    raise LexiconError(f"{nsid}: {path}: refers to {target}, which is not in the catalog")
                elif found["type"] in _NOT_DATA or (in_union and found["type"] not in ("object", "record")):
                    raise LexiconError(f"{nsid}: {path}: cannot refer to {target}, which is a {found['type']}")
        self.missing = frozenset(missing)

    def check_record(self, nsid: str, record: Any, rkey: str | None = None) -> None:
        """Raise LexiconError unless `record` is a good record of the collection, and `rkey` a key it may have."""
        schema = self._definition(nsid, "record")
        if rkey is not None:
            _check_key(nsid, schema["key"], rkey)
        self._check(nsid, {"type": "ref", "ref": nsid}, record)

    def check_params(self, nsid: str, params: Any) -> None:
        """Raise LexiconError unless the decoded parameters of a request are good; repeated ones are lists."""
        schema = self._definition(nsid, *METHODS).get("parameters")
        self._check(nsid, schema or {"type": "params", "properties": {}}, params)

    def check_input(self, nsid: str, body: Any) -> None:
        """Raise LexiconError unless the decoded body of a request is good; without a schema, any is."""
        self._check_body(nsid, self._definition(nsid, "procedure").get("input"), body, "input")

    def check_output(self, nsid: str, body: Any) -> None:
        """Raise LexiconError unless the decoded body of an answer is good; without a schema, any is."""
        self._check_body(nsid, self._definition(nsid, "query", "procedure").get("output"), body, "output")

    def _check_body(self, nsid: str, described: Schema | None, body: Any, what: str) -> None:
        if described is None:
            raise LexiconError(f"{nsid}: has no {what}")
        if "schema" in described:
            self._check(nsid, described["schema"], body)

    def _definition(self, nsid: str, *kinds: str) -> Schema:
        found = self._definitions.get(nsid)
        if found is None or found["type"] not in kinds:
            raise LexiconError(f"{nsid}: is no {' or '.join(kinds)} of the catalog")
        return found

    def _check(self, nsid: str, schema: Schema, value: Any) -> None:
        try:
            check_value(self._definitions, schema, value, "")
        except Broken as fault:
            raise LexiconError(f"{nsid}: {fault}") from None


def _with_absolute_refs(value: Any, nsid: str) -> Any:
    """A copy of a part of a document, in which each ref is written as `$type` writes it."""
    if type(value) is list:
        return [_with_absolute_refs(entry, nsid) for entry in value]
    if type(value) is not dict:
        return value
    if value.get("type") == "ref" and type(value.get("ref")) is str:
        return value | {"ref": absolute(value["ref"], nsid)}
    if value.get("type") == "union" and type(value.get("refs")) is list:
        return value | {"refs": [absolute(ref, nsid) for ref in value["refs"]]}
    return {key: _with_absolute_refs(entry, nsid) for key, entry in value.items()}


def _check_key(nsid: str, kind: str, rkey: str) -> None:
    if kind in _KEYS:
        good, what = _KEYS[kind]
        if not good(rkey):
            raise LexiconError(f"{nsid}: record key: must be {what}")
    elif rkey != kind.removeprefix("literal:"):
        raise LexiconError(f"{nsid}: record key: must be {kind.removeprefix('literal:')}")
