"""Query parameters, judged from the raw query string.

Frameworks decode leniently: `%FF` becomes U+FFFD, `int()` takes full-width digits, `1_000`, ` 5 ` and `+5`, a
repeated parameter silently wins or loses. Here each of these is an InvalidRequest (S48, S49, S53). Parameters
that the method does not know are ignored, as the protocol asks for; a repeated one that it knows is refused.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from xrpc.errors import InvalidRequest
from xrpc.syntax import is_did, parse_at_uri

MAX_QUERY = 8190
LONG_QUERY = 16_000
"""For methods that take a hundred at-uris at once, each of some 90 characters once it is encoded."""
_MEMO_QUERY = 1024
_MEMO_SIZE = 2048

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WHOLE = re.compile(r"[0-9]{1,18}")
_BELOW_ZERO = re.compile(r"-[1-9][0-9]{0,17}")


class Param(Protocol):
    """One parameter: whether it must be there, its value when it is not, and how its decoded text is read."""

    @property
    def required(self) -> bool:
        """Whether a request without it is refused."""

    @property
    def default(self) -> Any:
        """The value when it is absent."""

    def read(self, text: str) -> Any:
        """The value of the text. Raises ValueError, whose message completes `"<name>" must ...`."""


@dataclass(frozen=True, slots=True)
class IntParam:
    """A whole number from `low` to `high` in ASCII digits."""

    low: int
    high: int
    default: int | None = None
    required: bool = False

    def read(self, text: str) -> int:
        """The number. Raises ValueError."""
        digits = _WHOLE.fullmatch(text) or (self.low < 0 and _BELOW_ZERO.fullmatch(text))
        if not digits or not self.low <= (value := int(text)) <= self.high:
            raise ValueError(f"be a whole number from {self.low} to {self.high}")
        return value


@dataclass(frozen=True, slots=True)
class BoolParam:
    """`true` or `false`."""

    default: bool | None = None
    required: bool = False

    def read(self, text: str) -> bool:
        """The truth value. Raises ValueError."""
        if text not in ("true", "false"):
            raise ValueError("be true or false")
        return text == "true"


@dataclass(frozen=True, slots=True)
class StringParam:
    """Text of at most `max_length` bytes of UTF-8."""

    max_length: int = 1024
    default: str | None = None
    required: bool = False

    def read(self, text: str) -> str:
        """The text. Raises ValueError."""
        if len(text.encode()) > self.max_length:
            raise ValueError(f"be at most {self.max_length} bytes long")
        return text


@dataclass(frozen=True, slots=True)
class DidParam:
    """A DID."""

    default: str | None = None
    required: bool = False

    def read(self, text: str) -> str:
        """The DID. Raises ValueError."""
        if not is_did(text):
            raise ValueError("be a DID")
        return text


@dataclass(frozen=True, slots=True)
class AtUriParam:
    """An AT-URI, kept as text; with `collection` it must be a record of that collection under a DID."""

    collection: str = ""
    default: str | None = None
    required: bool = False

    def read(self, text: str) -> str:
        """The URI. Raises ValueError."""
        uri = parse_at_uri(text)
        if uri is None:
            raise ValueError("be an at-uri")
        if self.collection and not (
            uri.authority.startswith("did:") and uri.collection == self.collection and uri.rkey
        ):
            raise ValueError(f"be an at-uri of the form at://<did>/{self.collection}/<rkey>")
        return text


@dataclass(frozen=True, slots=True)
class ListParam:
    """A parameter that may be repeated, `max_items` times at most; its value is a tuple, empty by default."""

    item: Param
    max_items: int
    default: tuple[Any, ...] = ()
    required: bool = False

    def read(self, text: str) -> Any:
        """The value of one occurrence. Raises ValueError."""
        return self.item.read(text)


def _decode(text: str) -> str:
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise InvalidRequest("The query string has an invalid percent escape")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not valid UTF-8") from None
    if "\0" in decoded:
        raise InvalidRequest("The query string has a NUL character")
    return decoded


class Params:
    """The parameters of one method. `Params({"limit": IntParam(1, 100, default=50)}).parse("limit=10")`."""

    def __init__(self, spec: Mapping[str, Param] | None = None, *, longest: int = MAX_QUERY) -> None:
        """`longest`: characters that a query string may have."""
        self._spec = dict(spec or {})
        self._longest = longest
        # Readers ask for the same pages again and again, and a result is immutable: a repeated query costs one look-up.
        # Of a page further on, only the cursor is new: free text at the end is read apart from what stands before it.
        self._memo = lru_cache(maxsize=_MEMO_SIZE)(self._read)
        self._free = tuple(f"{name}=" for name, param in self._spec.items() if isinstance(param, StringParam))

    def parse(self, raw_query: str) -> Mapping[str, Any]:
        """Every parameter of the method, by name, from the undecoded query string. Raises InvalidRequest."""
        if len(raw_query) > self._longest:
            raise InvalidRequest("The query string is too long")
        if not raw_query.isascii():
            raise InvalidRequest("The query string has characters that must be percent-encoded")
        before, _, last = raw_query.rpartition("&")
        if not last.startswith(self._free):
            before, last = raw_query, ""
        # Long queries stay out, so that the memo cannot be made to hold megabytes.
        values, missing, counts = self._memo(before) if len(before) <= _MEMO_QUERY else self._read(before)
        if last:
            name, value = self._read_pair(last)
            if name in counts:
                raise InvalidRequest(f'"{name}" is repeated')
            values = MappingProxyType({**values, name: value})
            missing = missing - {name}
        if missing:
            raise InvalidRequest(f'"{min(missing)}" is required')
        return values

    def _read(self, raw_query: str) -> tuple[Mapping[str, Any], Set[str], Mapping[str, int]]:
        """The values, the names of what is required and not there, and how often each parameter is given."""
        values = {name: param.default for name, param in self._spec.items()}
        counts: dict[str, int] = {}
        for pair in raw_query.split("&"):
            name, value = self._read_pair(pair)
            if name not in self._spec:
                continue
            param = self._spec[name]
            counts[name] = count = counts.get(name, 0) + 1
            most = param.max_items if isinstance(param, ListParam) else 1
            if count > most:
                raise InvalidRequest(f'"{name}" may be given {most} times' if most > 1 else f'"{name}" is repeated')
            values[name] = (*(values[name] if count > 1 else ()), value) if isinstance(param, ListParam) else value
        missing = frozenset(name for name, param in self._spec.items() if param.required and name not in counts)
        return MappingProxyType(values), missing, counts

    def _read_pair(self, pair: str) -> tuple[str, Any]:
        """Name and value of one parameter; one that is not of this method is only decoded."""
        raw_name, _, raw_value = pair.partition("=")
        name, text = _decode(raw_name), _decode(raw_value)
        param = self._spec.get(name)
        if param is None:
            return name, text
        try:
            return name, param.read(text)
        except ValueError as fault:
            raise InvalidRequest(f'"{name}" must {fault}') from None
