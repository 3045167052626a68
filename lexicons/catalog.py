"""The documents of `social.communities.*` with the official ones that they refer to, and those of the moderation API
(`tools.ozone.*`, official and unchanged), from the JSON files beside this.

They are only read here; `xrpc.lexicon.Catalog` checks them and judges with them.
"""

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

OURS = "social.communities."
_SHARED = ("com/atproto/admin", "com/atproto/moderation", "com/atproto/repo")
"""Official documents to which both refer, cut down to what is of use here, and described."""


def documents() -> tuple[dict[str, Any], ...]:
    """Those of communities, in the order of the NSIDs."""
    return _read(*_SHARED, "social")


def moderation_documents() -> tuple[dict[str, Any], ...]:
    """Those of the moderation API, in the order of the NSIDs, with those of `com.atproto.*` to which they refer, and
    conversations as subjects. What else they refer to (profiles) is not here: a catalog of them is `partial`, and
    refuses an answer that has one where the lexicon names it.
    """
    return _read(*_SHARED, "chat", "com/atproto/label", "com/atproto/server", "tools")


def _read(*folders: str) -> tuple[dict[str, Any], ...]:
    paths = [path for folder in folders for path in _json_files(files("lexicons").joinpath(*folder.split("/")))]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return tuple(sorted(found, key=lambda document: str(document["id"])))


def _json_files(folder: Traversable) -> list[Traversable]:
    found = []
    for path in folder.iterdir():
        if path.is_dir():
            found += _json_files(path)
        elif path.name.endswith(".json"):
            found.append(path)
    return found
