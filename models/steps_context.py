"""The step that brings the short code of an item (`feedContext`) beside its evidences. Stored items get theirs."""

import re

_KINDS = {"hashtag": "h", "keyword": "k", "mention": "m", "member": "a", "list": "l"}
_WORDS = {"joined": "j", "submission": "s", "approved": "y"}

# `context`: the evidences in at most 200 bytes (communities/short_code.py), which stand between the quotes of a JSON
# string as they are: pages are put together by the database.
CONTEXT = """
ALTER TABLE feed_item ADD COLUMN context TEXT NOT NULL DEFAULT ''
    CHECK (length(context) <= 200 AND NOT context GLOB '*["\\]*');
UPDATE feed_item SET context = context_of_evidence(evidence);
"""


def context_of_evidence(*evidence: object) -> str:
    """The SQL function of that name, for this step alone: it stays as it is, whatever becomes of short codes."""
    known = list(dict.fromkeys(filter(None, str(evidence[0]).split("\n"))))
    told = [part for part in map(_part, known) if part]
    if len(told) == len(known) and len(";".join(told).encode()) <= 200:
        return ";".join(told)
    kept: list[str] = []
    for part in told:
        if len(";".join((*kept, part, "+")).encode()) <= 200:
            kept.append(part)
    return ";".join((*kept, "+"))


def _part(evidence: str) -> str:
    kind, colon, value = evidence.partition(":")
    if colon and kind in _KINDS:
        return f"{_KINDS[kind]}:" + re.sub(r'[%;"\\\x00-\x1f]', lambda found: f"%{ord(found[0]):02X}", value)
    return _WORDS.get(evidence, "")
