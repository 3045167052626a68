"""All of `labels.toml`: labelers (`labeler.vocabulary`), and their rules and inputs (`labeler.rules`)."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from communities.declaration import DeclarationError
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
    try:
        if not path.is_file():
            raise DeclarationError(f"{path}: cannot be read: it is no file")  # a pipe would be waited for
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path}: cannot be read: {error}") from error
    return parse_labels(text, str(path))


def parse_labels(text: str, name: str = "labels.toml") -> LabelsFile:
    """As `read_labels`, from the text of the file; `name` stands before each fault."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError):  # it is said where, as for the labelers
        parse_labelers(text, name)
        raise DeclarationError(f"{name}:1: cannot be read") from None
    # If a labeler is not good, what is said of rules would only say that again.
    labelers = parse_labelers(text, name)
    rules, inputs, faults = read_rules(document, text, name, labelers)
    if faults:
        raise DeclarationError("\n".join(faults))
    return LabelsFile(labelers, rules, inputs)
