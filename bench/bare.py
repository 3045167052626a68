"""The baseline of the ingest benchmark: a loop that only receives and decodes every record.

It receives through the same `websockets` client with the same settings, in the loop that its documentation shows. Two
forms of decoding: the strongest that we know, which takes nothing but each operation's block out of the CAR and does
not even hash it, and the usual one, which decodes the whole CAR.
"""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import libipld
import uvloop
from websockets.asyncio.client import connect

from firehose.websocket import SOCKET

LEAN, WHOLE_CAR = "bare loop, block scan", "bare loop, whole CAR"


class Result(NamedTuple):
    """What the loop did: from the first frame to the last, in seconds of time and of processor."""

    frames: int
    records: int
    seconds: float
    cpu: float


def run(url: str, form: str, last: int, tell: Connection) -> None:
    """Read the stream at `url` up to the seq `last`, then send a Result."""
    decode = {LEAN: _record, WHOLE_CAR: _record_of_car}[form]
    tell.send(uvloop.run(_receive(url, decode, last)))


async def _receive(url: str, decode: Callable[[bytes, bytes], Any], last: int) -> Result:
    frames = records = 0
    began = cpu = 0.0
    async with connect(url, **SOCKET) as socket:
        async for message in socket:
            assert isinstance(message, bytes)
            if not frames:
                began, cpu = time.perf_counter(), time.process_time()
            frames += 1
            _, payload = libipld.decode_dag_cbor_multi(message)
            for op in payload["ops"]:
                if op["cid"] is not None and decode(payload["blocks"], op["cid"]) is not None:
                    records += 1
            if payload["seq"] >= last:
                return Result(frames, records, time.perf_counter() - began, time.process_time() - cpu)
    raise RuntimeError(f"the stream ended after {frames} frames")


def _record(car: bytes, wanted: bytes) -> Any:
    size, at = _varint(car, 0)
    at += size
    while True:
        size = car[at]
        at += 1
        if size >= 0x80:
            size, at = _varint(car, at - 1)
        if car.startswith(wanted, at):
            return libipld.decode_dag_cbor(car[at + 36 : at + size])
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _record_of_car(car: bytes, wanted: bytes) -> Any:
    return libipld.decode_car(car)[1][wanted]
