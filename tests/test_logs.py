"""What the log looks like, for people and for machines."""

import json
import logging

from service.logs import JsonLines


def test_a_line_for_machines_is_one_json_object() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "said %r\nand more", ("é",), (type(error), error, None))
    record.created, record.msecs = 1_760_000_000.25, 250.0
    line = JsonLines("ingest").format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2025-10-09T08:53:20.250Z",
        "process": "ingest",
        "level": "error",
        "message": "said 'é'\nand more",
        "traceback": "ValueError: a\nb",
    }
