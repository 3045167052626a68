"""Messages compressed with zstd (RFC 8878) and a dictionary, one frame a message.

Everything that a frame says of its size is read and bounded before a byte is unpacked (S94): a few bytes may claim, or
unpack to, gigabytes.
"""

import zstandard

MAX_UNPACKED = 5 * 1024 * 1024
"""Bytes; what an event may have uncompressed."""
MAX_WINDOW = 8 * 1024 * 1024
MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"
MAX_DICTIONARY = 1 << 20
_MOST_PER_BLOCK = 128 * 1024
_RAW, _RLE, _COMPRESSED = 0, 1, 2


class CompressionError(Exception):
    """The message cannot be unpacked, or should not be: go on without compression."""


def dictionary_id(dictionary: bytes) -> int:
    """The id that a dictionary has in itself. Raises CompressionError when it is none."""
    if not 8 < len(dictionary) <= MAX_DICTIONARY or dictionary[:4] != DICTIONARY_MAGIC:
        raise CompressionError("this is no dictionary")
    return int.from_bytes(dictionary[4:8], "little")


class Unpacker:
    """Unpacks messages that were packed with one dictionary; `id` is the dictionary's."""

    def __init__(self, dictionary: bytes) -> None:
        """Raises CompressionError when it is no dictionary."""
        self.id = dictionary_id(dictionary)
        try:
            self._context = zstandard.ZstdDecompressor(
                dict_data=zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_FULLDICT),
                max_window_size=MAX_WINDOW,
            )
        except zstandard.ZstdError as error:
            raise CompressionError(f"the dictionary cannot be used: {error}") from error

    def unpack(self, data: bytes) -> bytes:
        """The message, of at most MAX_UNPACKED bytes. Raises CompressionError."""
        size = self._check(data)
        try:
            with self._context.stream_reader(data, read_across_frames=False) as reader:
                message = reader.read(size + 1)
        except (zstandard.ZstdError, MemoryError) as error:
            raise CompressionError(f"the message cannot be unpacked: {error}") from error
        if len(message) > size:
            raise CompressionError("the message is larger than it may be")
        return message

    def _check(self, data: bytes) -> int:
        """The most bytes that the frame may unpack to, by its own word. Raises CompressionError."""
        if data[:4] != MAGIC:
            raise CompressionError("the message is no zstd frame")
        try:
            frame = zstandard.get_frame_parameters(data)
            at = zstandard.frame_header_size(data)
        except zstandard.ZstdError as error:
            raise CompressionError(f"the message is no zstd frame: {error}") from error
        if frame.dict_id not in (0, self.id):
            raise CompressionError(f"the message is packed with another dictionary, {frame.dict_id}")
        declared = frame.content_size
        known = declared != zstandard.CONTENTSIZE_UNKNOWN
        if (known and declared > MAX_UNPACKED) or frame.window_size > MAX_WINDOW:
            raise CompressionError("the message is larger than it may be")
        blocks, end = _blocks(data, at)
        if end + 4 * frame.has_checksum != len(data):
            raise CompressionError("the message is not one whole frame")
        return min(declared if known else MAX_UNPACKED, blocks * _MOST_PER_BLOCK)


def _blocks(data: bytes, at: int) -> tuple[int, int]:
    """How many blocks a frame has whose first begins at `at`, and where the last ends. Raises CompressionError."""
    count = 0
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        kind, size = header >> 1 & 3, header >> 3
        if kind > _COMPRESSED or size > _MOST_PER_BLOCK:
            raise CompressionError("the message is no zstd frame: a block is malformed")
        at += 3 + (1 if kind == _RLE else size)
        count += 1
        if header & 1:
            return count, at
    raise CompressionError("the message is not one whole frame")
