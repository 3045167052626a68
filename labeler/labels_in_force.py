"""`labels.toml` while the service runs: what it says is taken up when it changes, as far as that can be done.

A file with a fault changes nothing. Neither does one that declares other labelers than those that are served, or
another endpoint of one: doors, rows and the DID document go by these, so it takes a new start. Until then all of it
stays as it was, for half of a file may mean something else.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from communities.lines import Lines
from communities.toml_file import DeclarationError, read_text
from labeler.labels_file import LabelsFile, parse_labels, read_labels
from labeler.vocabulary import Declared

log = logging.getLogger(__name__)


class LabelsInForce:
    """`file`: what is in force; replaced as a whole, so that any thread may read it. `fault`: why the file as it is now
    is not in force; empty: it is.
    """

    def __init__(self, path: Path) -> None:
        """Raises DeclarationError with all that is wrong."""
        self._path = path
        self._signature = _stat(path)
        self.file = read_labels(path)
        self.fault = ""

    def labelers(self) -> tuple[Declared, ...]:
        """As they are declared now; always the same DIDs and endpoints, in the same order."""
        return self.file.labelers

    def values(self) -> Mapping[str, Collection[str]]:
        """What each labeler, by its DID, may say."""
        return {one.did: one.values for one in self.file.labelers}

    def refresh(self) -> bool:
        """Look at the file; whether what is in force, or the fault, is another one now. One caller at a time."""
        signature = _stat(self._path)
        if signature == self._signature:
            return False
        self._signature = signature
        before = self.file, self.fault
        try:
            self.file, self.fault = self._read(), ""
        except DeclarationError as error:
            self.fault = str(error)
        if (self.file, self.fault) == before:
            return False
        if self.fault:
            log.error("what %s said before stays in force:\n%s", self._path, self.fault)
        else:
            log.info(
                "%s is in force as it is now: %d values, %d rules, %d inputs",
                self._path, sum(map(len, self.values().values())), len(self.file.rules), len(self.file.inputs),
            )  # fmt: skip
        return True

    def _read(self) -> LabelsFile:
        """The file, if it can be taken up. Raises DeclarationError."""
        text = read_text(self._path) if self._path.exists() else ""
        found = parse_labels(text, str(self._path))
        faults = _moved(self.file.labelers, found.labelers, Lines(text, "labeler"), str(self._path))
        if faults:
            raise DeclarationError("\n".join(faults))
        new = {one.did: one for one in found.labelers}
        return found._replace(labelers=tuple(new[one.did] for one in self.file.labelers))


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _moved(served: Sequence[Declared], found: Sequence[Declared], lines: Lines, name: str) -> list[str]:
    """What takes a new start, a line each."""
    endpoints = {one.did: one.endpoint for one in served}
    said = []
    for index, one in enumerate(found):
        where = f"labeler[{index + 1}]"
        if one.did not in endpoints:
            said.append(f"{name}:{lines.find(index, '', 'did')}: {where}.did: {one.did} is new: restart to serve it")
        elif one.endpoint != endpoints[one.did]:
            line = lines.find(index, "", "endpoint")
            said.append(f"{name}:{line}: {where}.endpoint: is another one: restart to serve {one.did} there")
    gone = endpoints.keys() - {one.did for one in found}
    return said + [f"{name}:1: labeler: {did} is not declared any more: restart to end it" for did in sorted(gone)]
