"""Communities by name, the best match first: those whose name has the words in it, then those that are similar.

Similarity is that of PostgreSQL's pg_trgm (https://www.postgresql.org/docs/current/pgtrgm.html): of the groups of three
signs that occur in either text, the part that occurs in both. So a name that is written a little wrong is found, too.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from heapq import nlargest

from communities.text import fold, words

MOST_FOUND = 1000
_LEAST = 0.1
_UNIT = 1_000_000
"""Similarities are counted in millionths: cursors hold whole numbers."""
_CONTAINED = 2 * _UNIT


class NameIndex:
    """Names, to be searched."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._sizes: dict[int, int] = {}
        self._having: dict[str, array[int]] = {}

    def put(self, number: int, name: str | None) -> None:
        """Let this be the name of something (None: it has none any more)."""
        before, after = self._names.pop(number, None), None if name is None else fold(name)
        groups = trigrams(after or "")
        for group in trigrams(before or "") - groups:
            self._having[group].remove(number)
            if not self._having[group]:
                del self._having[group]
        for group in groups - trigrams(before or ""):
            self._having.setdefault(group, array("q")).append(number)
        self._sizes.pop(number, None)
        if after is not None:
            self._names[number], self._sizes[number] = after, len(groups)

    def search(self, text: str) -> list[tuple[int, int]]:
        """(score, number) of the at most MOST_FOUND best, the best first, of two equal ones the later."""
        return nlargest(MOST_FOUND, self._scores(fold(text)))

    def _scores(self, text: str) -> Iterator[tuple[int, int]]:
        groups = trigrams(text)
        shared = Counter(number for group in groups for number in self._having.get(group, ()))
        for number, name in self._names.items():
            both = shared.get(number, 0)
            either = len(groups) + self._sizes[number] - both
            alike = both * _UNIT // either if either else 0
            if text in name:
                yield _CONTAINED + alike, number
            elif alike > _LEAST * _UNIT:
                yield alike, number


def trigrams(text: str) -> set[str]:
    """The groups of three signs in a folded text: each word with two spaces before it and one behind."""
    found: set[str] = set()
    for word in words(text):
        padded = f"  {word} "
        found.update(padded[at : at + 3] for at in range(len(padded) - 2))
    return found
