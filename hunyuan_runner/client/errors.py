"""The errors that the clients raise.

HunyuanError
  ServiceUnavailable   the service does not answer, or cannot answer now
  ApiError             the service refuses the request
  UnexpectedAnswer     the answer does not come from this kind of service
  JobFailed            the job ended without a clip
  WaitTimeout          the job did not end in time
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx
from pydantic import ValidationError

from hunyuan_runner.client.views import Alternative, ErrorBody, Job

HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class HunyuanError(Exception):
    """The base of all errors below."""

    temporary = False  # whether the same request may succeed later
    retry_after: float | None = None  # seconds to wait first, if the service says so


class ServiceUnavailable(HunyuanError):
    """The service does not answer at all, or not in time, or says that it cannot answer now."""

    temporary = True


class ApiError(HunyuanError):
    """The service refused the request. `code` is for programs, `param` is the field at fault.

    A clip that needs too much memory is refused with the code `does_not_fit`, and with
    `alternatives` that fit.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None,
        alternatives: Sequence[Alternative] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.alternatives = alternatives
        self.temporary = status == 429


class UnexpectedAnswer(HunyuanError):
    """The answer is not in a form that this service uses."""


class JobFailed(HunyuanError):
    """The job ended without a clip. `code` is that of its error, or `canceled`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.code = job.error.code if job.error else job.status
        self.message = job.error.message if job.error else f"the job was {job.status}"
        super().__init__(f"job {job.job_id}: {self.message}")


class WaitTimeout(HunyuanError, TimeoutError):
    """The job did not end within the time to wait. It continues."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"job {job.job_id} is still {job.status}")


def no_answer(address: object, cause: Exception) -> ServiceUnavailable:
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(cause)) or type(cause).__name__
    error = ServiceUnavailable(f"nothing answers at {address} ({reason})")
    error.temporary = not isinstance(cause, HOPELESS)
    error.__cause__ = cause
    return error


def refusal(response: httpx.Response) -> HunyuanError:
    """The error for an answer with a status of 400 or above."""
    try:
        body = ErrorBody.model_validate_json(response.content)
        reported = body.error
    except ValidationError:
        reported = None
    error: HunyuanError
    if response.status_code in (502, 503, 504):  # from the service, or from a gateway
        reason = reported.message if reported else response.reason_phrase
        error = ServiceUnavailable(f"{response.url.host} cannot answer now ({reason})")
    elif reported:
        error = ApiError(
            response.status_code,
            reported.code,
            reported.message,
            reported.param,
            body.alternatives,
        )
    else:
        error = unexpected(response)
    error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    return error


def unexpected(response: httpx.Response) -> UnexpectedAnswer:
    if response.has_redirect_location:
        to = response.headers["Location"]
        return UnexpectedAnswer(f"{response.url} redirects to {to}. Use that URL for the service.")
    return UnexpectedAnswer(
        f"{response.url} answered {response.status_code} in an unknown form. Is it hunyuan-runner?"
    )


def _seconds(retry_after: str) -> float | None:
    """None for a date, which some gateways send: the client then chooses its own pauses."""
    return float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else None
