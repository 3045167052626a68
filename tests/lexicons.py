"""The part of the lexicon language that answers of feed generators need, strictly: what is not declared is a fault.

Sources: atproto.com/specs/lexicon and the official JSON files. Shares no code with the service.
"""

import json
import re
from pathlib import Path
from typing import Any

_DID = r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"
_NSID = r"[a-zA-Z](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)+"
FORMATS = {
    "did": re.compile(_DID),
    "at-uri": re.compile(rf"at://{_DID}(?:/{_NSID}(?:/(?!\.\.?$)[a-zA-Z0-9._~:-]{{1,512}})?)?"),
}


class Lexicons:
    """The files below `folder`, which is laid out by NSID."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def output(self, nsid: str, value: Any) -> None:
        """Raise AssertionError unless `value` is a good output of the method."""
        schema = self._definition(nsid, "main")["output"]
        assert schema["encoding"] == "application/json"
        self._check(schema["schema"], value, nsid, "$")

    def errors(self, nsid: str) -> set[str]:
        """The errors that the method declares."""
        return {error["name"] for error in self._definition(nsid, "main").get("errors", [])}

    def _definition(self, nsid: str, name: str) -> Any:
        path = self._folder.joinpath(*nsid.split(".")).with_suffix(".json")
        return json.loads(path.read_text(encoding="utf-8"))["defs"][name]

    def _ref(self, ref: str, nsid: str) -> tuple[Any, str]:
        target, _, name = ref.partition("#")
        return self._definition(target or nsid, name or "main"), target or nsid

    def _check(self, schema: dict[str, Any], value: Any, nsid: str, where: str) -> None:
        kind = schema["type"]
        if kind == "ref":
            found, home = self._ref(schema["ref"], nsid)
            self._check(found, value, home, where)
        elif kind == "union":
            assert isinstance(value, dict), where
            names = {ref if not ref.startswith("#") else nsid + ref for ref in schema["refs"]}
            assert value.get("$type") in names, f"{where}: {value.get('$type')!r} is none of {sorted(names)}"
            found, home = self._ref(value["$type"], nsid)
            self._check(found, {k: v for k, v in value.items() if k != "$type"}, home, where)
        elif kind == "object":
            assert isinstance(value, dict), where
            missing = set(schema.get("required", [])) - value.keys()
            unknown = value.keys() - schema["properties"].keys()
            assert not missing and not unknown, f"{where}: missing {missing}, not declared {unknown}"
            for key, inner in value.items():
                self._check(schema["properties"][key], inner, nsid, f"{where}.{key}")
        elif kind == "array":
            assert isinstance(value, list), where
            for index, inner in enumerate(value):
                self._check(schema["items"], inner, nsid, f"{where}[{index}]")
        elif kind == "string":
            assert isinstance(value, str), where
            assert len(value.encode()) <= schema.get("maxLength", 1 << 30), where
            if "format" in schema:
                assert FORMATS[schema["format"]].fullmatch(value), f"{where}: {value!r} is no {schema['format']}"
        else:
            raise AssertionError(f"{where}: this checker does not know the type {kind}")
