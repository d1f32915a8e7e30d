"""The log format of every process: lines for people, or JSON for programs."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from hunyuan_runner.settings import LogFormat

PACKAGE = "hunyuan_runner"
TEXT_FIELDS = "%(asctime)s [%(levelname)s] %(message)s%(request)s"
JSON_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S%z"

# The id of the request that is being answered; None outside of requests.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Set the level and format of this process's log, including the messages of libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(log_format))
    handler.addFilter(_add_request_id)
    root = logging.getLogger()
    root.handlers = [handler]
    for name in ("bentoml", "uvicorn.error", "circus"):  # remove the handlers that BentoML sets
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    logging.getLogger(PACKAGE).setLevel(level)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    if log_format == "json":
        from pythonjsonlogger.core import RESERVED_ATTRS
        from pythonjsonlogger.json import JsonFormatter

        return JsonFormatter(
            JSON_FIELDS,
            datefmt=DATE_FORMAT,
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "request"],
        )
    return logging.Formatter(TEXT_FIELDS, DATE_FORMAT)


def _add_request_id(record: logging.LogRecord) -> bool:
    request_id = REQUEST_ID.get()
    record.__dict__["request_id"] = request_id
    record.__dict__["request"] = f" ({request_id})" if request_id else ""
    return True
