"""The service a command talks to, and what is said when that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.text import Text

from hunyuan_runner.cli.display import err, one_line
from hunyuan_runner.client import ApiError, HunyuanClient, HunyuanError, Retry, ServiceUnavailable

EXIT_REFUSED = 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
EXIT_INTERRUPTED = 130


@contextmanager
def connected(url: str, api_key: str | None) -> Iterator[HunyuanClient]:
    """A client whose errors end the command, with one line and the right exit code."""
    try:
        # Somebody sits there: what fails is told at once, but while a job is followed.
        with HunyuanClient(url, api_key=api_key, retries=0, on_retry=_still_trying) as client:
            yield client
    except ServiceUnavailable as error:
        complain_of_no_service(error)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    except (HunyuanError, OSError) as error:
        hint = ""
        if isinstance(error, ApiError) and error.status == 401:
            hint = " --api-key or HUNYUAN_API_KEY names it."
        complain(f"{error}{hint}")
        raise typer.Exit(EXIT_REFUSED) from error


def _still_trying(retry: Retry) -> None:
    if retry.failures == 1:
        err.print(f"{retry.error}; still trying", style="yellow", soft_wrap=True)


def complain(problem: object) -> None:
    err.print(Text.assemble(("Error: ", "bold red"), one_line(str(problem))), soft_wrap=True)


def complain_of_no_service(error: ServiceUnavailable) -> None:
    hint = ". `make run` starts a service; --url or HUNYUAN_URL names another."
    complain(f"{error}{hint if error.temporary else ''}")
