"""The documents of `social.communities.*`, and the official ones that they refer to, from the JSON files beside this.

They are only read here; `xrpc.lexicon.Catalog` checks them and judges with them.
"""

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

OURS = "social.communities."


def documents() -> tuple[dict[str, Any], ...]:
    """Every document, in the order of the NSIDs."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in _json_files(files("lexicons"))]
    return tuple(sorted(found, key=lambda document: str(document["id"])))


def _json_files(folder: Traversable) -> list[Traversable]:
    found = []
    for path in folder.iterdir():
        if path.is_dir():
            found += _json_files(path)
        elif path.name.endswith(".json"):
            found.append(path)
    return found
