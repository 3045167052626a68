"""Labels from files: JSON lines or CSV, one label a line. Pure: each line becomes what is wanted, or a fault.

A line has `uri` and `val`, and may have `cid`, `exp` (a datetime) and `neg`. What a signed label has besides (`ver`,
`src`, `cts`, `sig`, `$type`) is passed over, so that what `export` wrote comes in again; it is signed anew.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from labeler.issue import LATEST, Vocabulary
from labeler.label import fault_of_subject, fault_of_value
from xrpc.syntax import is_cid, parse_datetime

MOST_LINE = 65_536
"""Characters of a line; none that is good has nearly as many."""
FIELDS = ("uri", "val", "cid", "exp", "neg")
_PASSED_OVER = frozenset(("ver", "src", "cts", "sig", "$type"))
_TRUTH = {"": False, "0": False, "false": False, "1": True, "true": True}


class Line(NamedTuple):
    """A good line. `exp`: milliseconds."""

    number: int
    uri: str
    val: str
    cid: str = ""
    exp: int | None = None
    neg: bool = False


class Fault(NamedTuple):
    """A line that is not applied, and why."""

    number: int
    why: str


def read_lines(lines: Iterable[str], vocabulary: Vocabulary, now: int) -> Iterator[Line | Fault]:
    """What each line says; empty ones are passed over. `now`: milliseconds. Whether it is CSV, the first line shows: it
    must name the columns.
    """
    header: list[str] | None = None
    begun = False
    for number, text in enumerate(lines, 1):
        text = text.strip().removeprefix("\ufeff")
        if not text:
            continue
        if len(text) > MOST_LINE:
            yield Fault(number, f"is longer than {MOST_LINE:,} characters")
            begun = True
            continue
        if not begun and not text.startswith("{"):
            header = _header(text)
            if fault := _fault_of_header(header):
                yield Fault(number, fault)
                return
            begun = True
            continue
        begun = True
        try:
            fields = _json(text) if header is None else _csv(text, header)
            yield _line(number, fields, vocabulary, now)
        except ValueError as error:
            yield Fault(number, str(error))


def _header(text: str) -> list[str]:
    """The names of the columns; none where the line is no CSV at all."""
    try:
        return [name.strip() for name in next(csv.reader([text]))]
    except csv.Error:  # a carriage return in it: something binary, or lines that end as on very old machines
        return []


def _fault_of_header(header: list[str]) -> str | None:
    if "uri" not in header or "val" not in header:
        return "is neither JSON nor the names of columns: a CSV file begins with uri,val (and cid,exp,neg)"
    unknown = [name for name in header if name not in FIELDS and name not in _PASSED_OVER]
    if unknown or len(set(header)) < len(header):
        return f"names a column twice, or one that is not known; there are {', '.join(FIELDS)}"
    return None


def _csv(text: str, header: list[str]) -> dict[str, Any]:
    try:
        values = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(f"is no CSV: {error}") from error
    if len(values) != len(header):
        raise ValueError(f"has {len(values)} columns, and not {len(header)}")
    fields: dict[str, Any] = {name: value.strip() for name, value in zip(header, values, strict=True) if value.strip()}
    if "neg" in fields:
        if fields["neg"].lower() not in _TRUTH:
            raise ValueError("neg must be true or false")
        fields["neg"] = _TRUTH[fields["neg"].lower()]
    return fields


def _json(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {str(error)[:100]}") from error
    if not isinstance(fields, dict):
        raise ValueError("is no JSON object")
    return fields


def _line(number: int, fields: dict[str, Any], vocabulary: Vocabulary, now: int) -> Line:
    """A line of its fields. Raises ValueError."""
    for name in fields:
        if name not in FIELDS and name not in _PASSED_OVER:
            raise ValueError(f"has {name[:50]!r}, which is not known; there are {', '.join(FIELDS)}")
    uri, val, cid, exp, neg = (
        fields.get(name, default) for name, default in zip(FIELDS, ("", "", "", "", False), strict=True)
    )
    if not all(isinstance(text, str) for text in (uri, val, cid, exp)) or not isinstance(neg, bool):
        raise ValueError("uri, val, cid and exp must be texts, and neg true or false")
    if not uri or not val:
        raise ValueError("has no uri" if not uri else "has no val")
    if fault := fault_of_subject(uri):
        raise ValueError(f"uri {uri[:300]!r}: {fault}")
    if fault := fault_of_value(val):
        raise ValueError(f"val {val[:100]!r}: {fault}")
    if cid and (uri.startswith("did:") or not is_cid(cid)):
        raise ValueError("cid: an account has no versions" if uri.startswith("did:") else f"cid {cid[:100]!r} is none")
    if not neg and val not in vocabulary.values:
        raise ValueError(f"val {val!r} is not declared by {vocabulary.did}")
    if not exp:
        return Line(number, uri, val, cid, None, neg)
    until = parse_datetime(exp)
    millis = None if until is None else until // 1000
    if millis is None or millis > LATEST:
        raise ValueError(f"exp {exp[:50]!r} is no datetime such as 2026-01-31T12:00:00Z")
    if not neg and millis <= now:
        raise ValueError(f"exp {exp[:50]!r} is past")
    return Line(number, uri, val, cid, None if neg else millis, neg)
