"""The log format of every process: lines for people, or JSON for programs.

A line that is written while a request is answered has the request's id. One that is written while a
job is worked on has the id of the job, and of the request that submitted it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hunyuan_runner.settings import LogFormat

PACKAGE = "hunyuan_runner"
TEXT_FIELDS = "%(asctime)s [%(levelname)s] %(message)s%(about)s"
JSON_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(job_id)s"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S%z"

# The id of the request that is being answered, or that submitted the job; None outside of these.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
JOB_ID: ContextVar[str | None] = ContextVar("job_id", default=None)


@contextmanager
def about(job_id: str | None, request_id: str | None) -> Iterator[None]:
    """What is logged in this block is about this job, which this request submitted."""
    job, request = JOB_ID.set(job_id), REQUEST_ID.set(request_id)
    try:
        yield
    finally:
        JOB_ID.reset(job)
        REQUEST_ID.reset(request)


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Set the level and format of this process's log, including the messages of libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(log_format))
    handler.addFilter(_add_ids)
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
            reserved_attrs=[*RESERVED_ATTRS, "about"],
        )
    return logging.Formatter(TEXT_FIELDS, DATE_FORMAT)


def _add_ids(record: logging.LogRecord) -> bool:
    """Add the ids to a record that does not have them in its `extra`."""
    fields = record.__dict__
    request_id = fields["request_id"] = fields.get("request_id") or REQUEST_ID.get()
    job_id = fields["job_id"] = fields.get("job_id") or JOB_ID.get()
    message = record.getMessage()
    unnamed = [f"job {job_id}"] if job_id and job_id not in message else []
    ids = unnamed + ([request_id] if request_id else [])
    fields["about"] = f" ({', '.join(ids)})" if ids else ""
    return True
