"""Reading a file of declarations (TOML), so that each fault of it says where it is."""

import re
import tomllib
from pathlib import Path
from typing import Any


class DeclarationError(Exception):
    """The file cannot be used; the message names every fault, a line each."""


def read_text(path: Path) -> str:
    """The text of a file. Raises DeclarationError when it cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise DeclarationError(f"{path}: cannot be read: it is no file")  # a pipe would be waited for
        return path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path}: cannot be read: {error}") from error


def load(text: str, name: str) -> dict[str, Any]:
    """What a text says; `name` stands before a fault. Raises DeclarationError with its line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = line.group(1) if line else text.count("\n") + 1
        raise DeclarationError(f"{name}:{number}: no valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        raise DeclarationError(f"{name}:1: cannot be read: {error}") from error
