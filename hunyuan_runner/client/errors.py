"""What can go wrong between a client and the service.

HunyuanError
  ServiceUnavailable   nothing answers, or not for now
  ApiError             the service refuses
  UnexpectedAnswer     something else answers
  JobFailed            the job that was waited for failed or was canceled
  WaitTimeout          it did not end in time
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx
from pydantic import ValidationError

from hunyuan_runner.client.views import Alternative, ErrorBody, Job

HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class HunyuanError(Exception):
    """Anything of the below."""

    temporary = False  # whether the same may succeed later
    retry_after: float | None = None  # seconds that the service asks to wait until then


class ServiceUnavailable(HunyuanError):
    """Nothing answers at the address, or not in time, or the service cannot for now."""

    temporary = True


class ApiError(HunyuanError):
    """The service refused: `code` is for programs, `param` names the field at fault if any.

    What does not fit into its memory has the code `does_not_fit`, and `alternatives` that do.
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
    """What answers does not speak this service's language."""


class JobFailed(HunyuanError):
    """The job ended without a video; `code` is `canceled` where somebody wanted that."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.code = job.error.code if job.error else job.status
        self.message = job.error.message if job.error else f"the job was {job.status}"
        super().__init__(f"job {job.job_id}: {self.message}")


class WaitTimeout(HunyuanError, TimeoutError):
    """The job goes on, but the time to wait for it is over."""

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
    """The error that an answer with a status of 400 or above stands for."""
    try:
        body = ErrorBody.model_validate_json(response.content)
        told = body.error
    except ValidationError:
        told = None
    error: HunyuanError
    if response.status_code in (502, 503, 504):  # the service, or a gateway before it
        reason = told.message if told else response.reason_phrase
        error = ServiceUnavailable(f"{response.url.host} cannot answer for now ({reason})")
    elif told:
        error = ApiError(
            response.status_code, told.code, told.message, told.param, body.alternatives
        )
    else:
        error = unexpected(response)
    error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    return error


def unexpected(response: httpx.Response) -> UnexpectedAnswer:
    if response.has_redirect_location:
        to = response.headers["Location"]
        return UnexpectedAnswer(f"{response.url} redirects to {to}: name the service by that URL")
    return UnexpectedAnswer(
        f"{response.url} answered {response.status_code} in an unknown form: is it hunyuan-runner?"
    )


def _seconds(retry_after: str) -> float | None:
    """Gateways may name a date instead: then our own pauses do."""
    return float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else None
