"""Packed messages: bounded before they are unpacked (S94, J4, J14)."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from firehose.compression import MAX_UNPACKED, CompressionError, Unpacker, dictionary_id
from tests.source_site import make_dictionary

ROOT = Path(__file__).parents[1]
DICTIONARY = make_dictionary()
MESSAGE = b'{"did":"did:plc:aaa","time_us":5,"kind":"commit","commit":{"rev":"3l","operation":"create"}}'


def packer(*, dictionary: bytes | None = DICTIONARY, **options: bool) -> zstandard.ZstdCompressor:
    data = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    return zstandard.ZstdCompressor(dict_data=data, **options)


def streamed(message: bytes, **options: bool) -> bytes:
    """Packed without saying how large it is."""
    compressor = packer(write_content_size=False, **options).compressobj()
    return compressor.compress(message) + compressor.flush()


def test_what_is_packed_comes_out() -> None:
    unpacker = Unpacker(DICTIONARY)
    assert unpacker.id == dictionary_id(DICTIONARY) == zstandard.ZstdCompressionDict(DICTIONARY).dict_id()
    for message in (MESSAGE, b"", MESSAGE * 5000, random.Random(1).randbytes(300_000), b" " * MAX_UNPACKED):
        for packed in (packer().compress(message), streamed(message), streamed(message, write_checksum=True),
                       packer(write_dict_id=False).compress(message)):  # fmt: skip
            assert unpacker.unpack(packed) == message


GOOD = packer().compress(MESSAGE)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (GOOD + GOOD, "not one whole frame"),
        (GOOD + b"x", "not one whole frame"),
        (GOOD[:-1], "not one whole frame"),
        (GOOD[:5], "no zstd frame"),
        (b"", "no zstd frame"),
        (b"{}", "no zstd frame"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + GOOD, "no zstd frame"),
        (packer(dictionary=make_dictionary(7)).compress(MESSAGE), "another dictionary"),
        (packer().compress(bytes(MAX_UNPACKED + 1)), "larger than it may be"),
        (streamed(bytes(MAX_UNPACKED + 1)), "larger than it may be"),
        (b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + GOOD, "larger than it may be"),
        (GOOD[:9] + bytes([GOOD[9] | 6]) + GOOD[10:], "."),
    ],
)
def test_s94_what_is_not_one_good_frame_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(CompressionError, match=why):
        Unpacker(DICTIONARY).unpack(data)


def test_s94_damage_is_refused_or_comes_out_small() -> None:
    rng = random.Random(3)
    unpacker = Unpacker(DICTIONARY)
    refused = 0
    for _ in range(5000):
        data = bytearray(rng.choice((GOOD, streamed(MESSAGE * 50))))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            assert len(unpacker.unpack(bytes(data))) <= MAX_UNPACKED
        except CompressionError:
            refused += 1
    assert refused > 1000


BOMBS = """
import resource, sys, zstandard
from firehose.compression import CompressionError, Unpacker
unpacker = Unpacker(open(sys.argv[1], "rb").read())
names = sys.argv[2:]
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()  # on Linux, that of the process which started this one counts too
for name in names * 5:
    try:
        unpacker.unpack(open(name, "rb").read())
    except CompressionError as error:
        print(error)
print(peak() - before)
"""


def test_s94_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "dictionary").write_bytes(DICTIONARY)
    one = packer().compress(bytes(1 << 29))
    endless = zstandard.ZstdCompressor(write_content_size=False, level=19).compressobj()
    other = b"".join(endless.compress(bytes(1 << 20)) for _ in range(512)) + endless.flush()
    for name, data in (("declared", one), ("undeclared", other)):
        assert len(data) < 100_000
        (tmp_path / name).write_bytes(data)
    files = [str(tmp_path / name) for name in ("dictionary", "declared", "undeclared")]
    ran = subprocess.run([sys.executable, "-c", BOMBS, *files], cwd=ROOT, capture_output=True, text=True, timeout=120,
                         check=True, env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    *said, more = ran.stdout.splitlines()
    assert said == ["the message is larger than it may be"] * 10
    assert int(more) < 50 * 1024  # KiB


@pytest.mark.parametrize("data", [b"", b"x" * 100, DICTIONARY[:8], DICTIONARY[:100], DICTIONARY + bytes(1 << 20)])
def test_what_is_no_dictionary_is_refused(data: bytes) -> None:
    with pytest.raises(CompressionError):
        Unpacker(data)
