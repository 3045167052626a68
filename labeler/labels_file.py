"""All of `labels.toml`: labelers (`labeler.vocabulary`), and their rules and inputs (`labeler.rules`)."""

from pathlib import Path
from typing import NamedTuple

from communities.toml_file import DeclarationError, load, read_text
from labeler.rules import Input, Rule, read_rules
from labeler.vocabulary import Declared, parse_labelers


class LabelsFile(NamedTuple):
    """What the file declares."""

    labelers: tuple[Declared, ...] = ()
    rules: tuple[Rule, ...] = ()
    inputs: tuple[Input, ...] = ()


def read_labels(path: Path) -> LabelsFile:
    """What the file declares; nothing when there is none. Raises DeclarationError with all that is wrong."""
    if not path.exists():
        return LabelsFile()
    return parse_labels(read_text(path), str(path))


def parse_labels(text: str, name: str = "labels.toml") -> LabelsFile:
    """As `read_labels`, from the text of the file; `name` stands before each fault."""
    document = load(text, name)
    # If a labeler is not good, what is said of rules would only say that again.
    labelers = parse_labelers(text, name)
    rules, inputs, faults = read_rules(document, text, name, labelers)
    if faults:
        raise DeclarationError("\n".join(faults))
    return LabelsFile(labelers, rules, inputs)
