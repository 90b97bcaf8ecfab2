"""The log of a server: one line of JSON for each request and each job's new state, on stderr.

Nothing that was said is in it, unless the server was told to log prompts; addresses never hold any.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

OURS = ("limner.web", "limner.service")


class Lines(logging.Formatter):
    """A record as a line of JSON: when, how grave, what, and the values that were given as `extra={"said": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception's traceback is one value of it."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told: dict[str, Any] = {"time": f"{moment}.{record.msecs:03.0f}Z", "level": record.levelname.lower()}
        told |= {"what": record.getMessage()} | getattr(record, "said", {})
        if record.exc_info:
            told["where"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def to_stderr(level: int = logging.INFO) -> None:
    """Send our lines to stderr, whatever else the process logs."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
