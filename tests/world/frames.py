"""Event stream frames: two DAG-CBOR objects, header and payload (atproto.com/specs/event-stream)."""

from collections.abc import Mapping
from typing import Any

from cbrrr import encode_dag_cbor


def message(kind: str, payload: Mapping[str, Any]) -> bytes:
    """A message frame; `kind` such as `#commit`."""
    return encode_dag_cbor({"op": 1, "t": kind}) + encode_dag_cbor(dict(payload))


def error(name: str, text: str = "") -> bytes:
    """An error frame, after which a server closes the connection."""
    body: dict[str, Any] = {"error": name}
    if text:
        body["message"] = text
    return encode_dag_cbor({"op": -1}) + encode_dag_cbor(body)
