"""Which accounts and posts the index holds, as a small filter in memory.

Most of the network's events concern records that were never indexed: nine of ten likes, nearly every deletion. A
Bloom filter answers "certainly not" for them in well under a microsecond, so that the database is asked only when it
may know something, however large it is. A wrong "perhaps" costs one look-up and changes nothing. `hash` of a str is
keyed anew in every process, so nobody outside can aim at it.
"""

from collections.abc import Iterable

BITS_PER_KEY = 16


class Known:
    """A set of strings that may only be asked whether one is certainly not in it. 16 bits a key, about 1.4 % false
    hits.
    """

    __slots__ = ("_bits", "_mask", "capacity", "count")

    def __init__(self, capacity: int = 1 << 16) -> None:
        self.capacity = max(1 << 10, 1 << (capacity - 1).bit_length())
        self.count = 0
        self._mask = self.capacity * BITS_PER_KEY - 1
        self._bits = bytearray(self.capacity * BITS_PER_KEY // 8)

    @staticmethod
    def of(keys: Iterable[str], count: int) -> "Known":
        """A filter of `count` keys, with room for as many again."""
        known = Known(2 * count + 1024)
        for key in keys:
            known.add(key)
        return known

    @property
    def full(self) -> bool:
        """Whether false hits become frequent: time to build a larger one."""
        return self.count > self.capacity

    def add(self, key: str) -> None:
        """Remember `key`."""
        if key in self:
            return
        h = hash(key)
        bits, first, second = self._bits, h & self._mask, (h >> 32) & self._mask
        bits[first >> 3] |= 1 << (first & 7)
        bits[second >> 3] |= 1 << (second & 7)
        self.count += 1

    def __contains__(self, key: str | None) -> bool:
        if not key:
            return False  # what has no key is never held
        h = hash(key)
        bits, first = self._bits, h & self._mask
        if not bits[first >> 3] >> (first & 7) & 1:
            return False
        second = (h >> 32) & self._mask
        return bool(bits[second >> 3] >> (second & 7) & 1)
