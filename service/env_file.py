"""A .env file: settings as lines of `KEY=value`."""

import re
from pathlib import Path

_QUOTED = re.compile(r"""\s*(["'])(.*?)\1\s*(?:\s#.*)?""")
_COMMENT = re.compile(r"\s#.*")


class ConfigError(Exception):
    """One or more settings are wrong; the message lists every one, a line each."""


def read_env_file(path: Path) -> dict[str, str]:
    """The `KEY=value` lines of a .env file; comments (also behind a value) and blank lines are skipped, quotes around
    a value removed.

    Raises ConfigError with the line number of anything else, and when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.strip()):
            raise ConfigError(f"{path}:{number}: expected KEY=value")
        quoted = _QUOTED.fullmatch(value)
        values[key.strip()] = quoted[2] if quoted else _COMMENT.sub("", value).strip()
    return values
