"""Every refusal in one shape: what is wrong, in which field, and what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from hunyuan_runner.api.views import alternative_view
from hunyuan_runner.jobs.deliveries import DeliveryNotFound
from hunyuan_runner.jobs.store import DiskLow, JobNotFound, KeyReused, QueueFull, WrongState
from hunyuan_runner.jobs.unavailable import DISK_FULL, READ_ONLY, JobsUnavailable
from hunyuan_runner.quoting.quotes import Alternative
from hunyuan_runner.storage.protocol import NO_ROOM, ObjectNotFound, StorageFailed
from hunyuan_runner.wire import ErrorBody, ErrorDetail

TASK_ROUTE = "/generate"
RETRY_AFTER_SECONDS = 5
QUEUE_RETRY_AFTER_SECONDS = 30
MAX_NAME_LENGTH = 100  # characters of a field's name that an error repeats
NOT_OPEN = "The job database cannot be opened yet; see the service's log for the reason."


class ApiError(Exception):
    """A request is refused."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        alternatives: Sequence[Alternative] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers
        self.alternatives = alternatives

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = ErrorDetail(code=self.code, message=self.message, param=self.param, type=kind)
        if self.alternatives is None:
            return ErrorBody(error=error).model_dump(exclude_unset=True)
        views = tuple(map(alternative_view, self.alternatives))
        return ErrorBody(error=error, alternatives=views).model_dump()


INTERNAL = ApiError(
    500,
    "internal_error",
    "Something went wrong in the service; its log has the error, by this answer's X-Request-Id.",
)

TOO_SLOW = (
    "The request took too long, but may still be carried out. Check before you send it again."
)

# What a route may raise, and as_api_error() makes a refusal of.
KNOWN_ERRORS: tuple[type[Exception], ...] = (
    ApiError,
    DeliveryNotFound,
    DiskLow,
    HTTPException,
    JobNotFound,
    JobsUnavailable,
    KeyReused,
    ObjectNotFound,
    OSError,
    QueueFull,
    RequestValidationError,
    StorageFailed,
    ValidationError,
    WrongState,
)


# Every code: the statuses it comes with, and what it means.
CODES: Mapping[str, tuple[Sequence[int], str]] = {
    "malformed_json": ((400,), "The body is not JSON in UTF-8."),
    "malformed": ((400,), "The request cannot be read."),
    "missing": ((422, 400), "A required field is absent; 400 if it belongs in the URL."),
    "unknown_field": ((422,), "There is no such field; the message suggests the nearest one."),
    "invalid_value": ((422,), "The value is not allowed; the message says what is."),
    "too_large": ((422,), "width x height x num_frames is too large."),
    "private_address": (
        (422,),
        "The webhook's address is on a private network, or on the service's own machine.",
    ),
    "does_not_fit": (
        (422,),
        "No machine has enough memory for the clip; `alternatives`, next to `error`, lists clips "
        "that would fit.",
    ),
    "unknown_model": ((422, 404), "There is no such model, or it is not installed."),
    "no_fast_decoder": (
        (422,),
        "The model's fast decoder is not installed, or there is none; the message says what to do.",
    ),
    "unauthorized": ((401,), "The API key is missing or unknown."),
    "keys_not_set": ((403,), "The service has no API keys, so it answers only its own machine."),
    "foreign_page": (
        (403,),
        "A page of another site sent a form; HUNYUAN_CORS_ORIGINS can allow that site.",
    ),
    "not_found": ((404,), "There is no such path, job or file, or the job is another key's."),
    "no_preview": ((404,), "The job has no preview yet."),
    "no_draft": ((404,), "The job has no draft, or no longer has one."),
    "method_not_allowed": (
        (405,),
        "The path does not take this method; `Allow` lists those it does.",
    ),
    "timeout": ((408,), "The request did not arrive in time."),
    "wrong_state": ((409, 400), "The job's state does not allow this; 400 on BentoML's routes."),
    "key_reused": ((409,), "The Idempotency-Key was already used for a different request."),
    "body_too_large": ((413,), "The body is too large."),
    "url_too_long": ((414,), "The URL is too long; see HUNYUAN_MAX_URL_BYTES."),
    "not_json": ((415,), "The body's Content-Type is not application/json."),
    "not_a_form": ((415,), "A page's request is not a form; only the page at / sends these."),
    "range_not_satisfiable": ((416,), "The range starts after the end of the file."),
    "rate_limited": ((429,), "This key sent too many requests; see `Retry-After`."),
    "queue_full": ((429,), "This key has too many waiting jobs; see `Retry-After`."),
    "too_many_requests": ((429,), "A connection sent too many requests before it got an answer."),
    "too_many_streams": ((429,), "This key has too many open event streams."),
    "head_too_large": ((431,), "The request has too many headers, or they are too large."),
    "internal_error": ((500,), "Something went wrong; the log has the error, by `X-Request-Id`."),
    "too_many_connections": ((503,), "All connections are in use; see `Retry-After`."),
    "unavailable": (
        (503,),
        "The database is unreachable or locked, or the disk is full; see `Retry-After`.",
    ),
    "disk_low": (
        (507,),
        "The disk is nearly full, so no new job is queued; see HUNYUAN_DISK_RESERVE_BYTES.",
    ),
}


def as_api_error(error: Exception) -> ApiError:
    """The refusal for an error that a route raised. Raises `error` again if it has none."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return _invalid(error.errors()[0])
        case ValidationError():
            return _invalid(error.errors(include_url=False, include_input=False)[0])
        case JobNotFound() | DeliveryNotFound():
            return ApiError(404, "not_found", _sentence(error))
        case ObjectNotFound():
            return ApiError(404, "not_found", "This file has been deleted.")
        case KeyReused():
            return ApiError(409, "key_reused", _sentence(error), param="Idempotency-Key")
        case QueueFull():
            message = f"{_sentence(error)}; wait for some to end, or cancel some."
            headers = {"Retry-After": str(QUEUE_RETRY_AFTER_SECONDS)}
            return ApiError(429, "queue_full", message, headers=headers)
        case DiskLow():
            return ApiError(507, "disk_low", str(error))
        case WrongState():
            return ApiError(409, "wrong_state", _sentence(error))
        case JobsUnavailable():
            return unavailable(error.message)
        case OSError() if error.errno in NO_ROOM:
            return unavailable(DISK_FULL)
        case OSError(errno=errno.EROFS):
            return unavailable(READ_ONLY)
        case StorageFailed():
            return unavailable("The storage does not answer. Try again later.")
        case HTTPException():
            return _http_error(error)
    raise error


def each_refusal(error: ValidationError) -> list[ApiError]:
    """A refusal for each fault of a request, for a form that shows all of them at once."""
    return [_invalid(each) for each in error.errors(include_url=False, include_input=False)]


def error_response(error: ApiError, path: str) -> JSONResponse:
    """The answer to a refused request; on the task routes, in the shape BentoML's client reads."""
    on_task_route = path == TASK_ROUTE or path.startswith(TASK_ROUTE + "/")
    content = {"error": error.message} if on_task_route else error.body()
    return JSONResponse(content, error.status, error.headers)


def unavailable(message: str) -> ApiError:
    """The refusal of a request that may succeed when it is sent again."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return ApiError(503, "unavailable", message, headers=headers)


def _http_error(error: HTTPException) -> ApiError:
    """A refusal by the framework: an unknown path, a wrong method, an unreadable body."""
    match error.status_code:
        case 404:
            return ApiError(404, "not_found", "There is no such path; GET / lists the routes.")
        case 405:
            allowed = (error.headers or {}).get("Allow", "")
            message = f"This path does not take this method; use {allowed}."
            return ApiError(405, "method_not_allowed", message, headers=error.headers)
        case _:
            return ApiError(
                error.status_code, "malformed", str(error.detail), headers=error.headers
            )


def _invalid(problem: ErrorDetails | dict[str, Any]) -> ApiError:
    """The refusal for a problem that pydantic reports; it names the field and what is allowed."""
    place, *fields = [_shortened(str(part)) for part in problem["loc"]] or [""]
    if problem["type"] == "string_pattern_mismatch":  # only ids have a pattern
        return ApiError(404, "not_found", "There is no job with this id.")
    if place not in ("body", "query", "header"):  # raised by a model of ours, without a place
        fields = [place, *fields]
    param = ".".join(fields) or problem.get("ctx", {}).get("param")
    code = {"missing": "missing", "extra_forbidden": "unknown_field"}.get(
        problem["type"], "invalid_value"
    )
    # A URL that lacks a parameter is malformed; a body that lacks a field does not define a clip.
    status = 400 if (place, code) == ("query", "missing") else 422
    return ApiError(status, code, _explain(problem, param), param=param)


def _explain(problem: ErrorDetails | dict[str, Any], param: str | None) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    match problem["type"]:
        case "missing":
            return f"{param} is required" if param else "a JSON body with a prompt is required"
        case "extra_forbidden":
            return f"{param} is not a known field"
        case "int_parsing_size":
            return f"{param} must be a number with fewer digits"
        case "contradiction":
            return message
    rule = re.sub(r"^\w+ should ", "must ", message)
    if param:
        return f"{param} {rule}"
    return f"the body {rule}" if rule.startswith("must ") else rule


def _shortened(name: str) -> str:
    """A name that the client sent, short enough to repeat in an answer."""
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"


def _sentence(error: object) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
