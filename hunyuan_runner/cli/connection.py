"""The connection of a command to its service, and the messages printed if it fails."""

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
    """Yield a client. Its errors end the command with one line and the right exit code."""
    try:
        # A person is waiting: report errors at once instead of retrying.
        with HunyuanClient(url, api_key=api_key, retries=0, on_retry=_still_trying) as client:
            yield client
    except ServiceUnavailable as error:
        complain_of_no_service(error)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    except (HunyuanError, OSError) as error:
        hint = ""
        if isinstance(error, ApiError) and error.status == 401:
            hint = " Set it with --api-key or HUNYUAN_API_KEY."
        complain(f"{error}{hint}")
        raise typer.Exit(EXIT_REFUSED) from error


def _still_trying(retry: Retry) -> None:
    if retry.failures == 1:
        err.print(f"{retry.error}; still trying", style="yellow", soft_wrap=True)


def complain(problem: object) -> None:
    err.print(Text.assemble(("Error: ", "bold red"), one_line(str(problem))), soft_wrap=True)


def complain_of_no_service(error: ServiceUnavailable) -> None:
    hint = ". Start a service with `hunyuan serve`, or name another with --url or HUNYUAN_URL."
    complain(f"{error}{hint if error.temporary else ''}")
