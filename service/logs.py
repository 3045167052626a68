"""Logging: one line an event, to stderr, with the process's name. Nothing secret is ever logged by the code below."""

import logging
import sys
import time


def configure(level: str, name: str) -> None:
    """Set up the root logger; `name` stands in every line."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ {name:<6} %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("websockets").setLevel(logging.WARNING)
