"""All of `labels.toml`: the labelers, and the rules and inputs that go with them."""

from pathlib import Path
from typing import NamedTuple

from labeler.vocabulary import Declared, read_labelers


class LabelsFile(NamedTuple):
    """What the file declares."""

    labelers: tuple[Declared, ...] = ()


def read_labels(path: Path) -> LabelsFile:
    """What the file declares; nothing when there is none. Raises DeclarationError with all that is wrong."""
    return LabelsFile(read_labelers(path))
