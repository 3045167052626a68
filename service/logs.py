"""Logging: one line an event, to stderr, with the process's name. Nothing secret is ever logged by the code below."""

import json
import logging
import sys
import time


class JsonLines(logging.Formatter):
    """A JSON object a line: time, process, level, message, and the traceback where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "process": self._process,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: str, name: str, *, as_json: bool = False) -> None:
    """Set up the root logger; `name` stands in every line."""
    handler = logging.StreamHandler(sys.stderr)
    formatter: logging.Formatter = JsonLines(name)
    if not as_json:
        form = f"%(asctime)s.%(msecs)03dZ {name:<6} %(levelname)-7s %(message)s"
        formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("websockets").setLevel(logging.WARNING)
