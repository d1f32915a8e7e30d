"""Following a job: its progress, its end, its file, and how to come back to it later."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import typer

from hunyuan_runner.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, complain
from hunyuan_runner.cli.destination import Destination, drafted
from hunyuan_runner.cli.display import did, err, out, progress, result, show_json
from hunyuan_runner.client import (
    DEFAULT_URL,
    HunyuanClient,
    Job,
    JobFailed,
    JobHandle,
    ServiceUnavailable,
)
from hunyuan_runner.client.address import followed, without_password


def fetch(
    client: HunyuanClient,
    handle: JobHandle,
    destination: Destination,
    as_json: bool,
    when_paused: int = EXIT_REFUSED,
) -> Path:
    """Wait for the job and download its video.

    Ends the command if there is no video: with the exit code `when_paused` if the job is paused.
    """
    try:
        follow(client, handle, destination)
    except KeyboardInterrupt:
        _interrupted(client, handle, destination)
    job = handle.job
    if job.paused:
        _offer_next_steps(client, handle, destination, as_json)
        raise typer.Exit(when_paused)
    if job.status != "completed":
        reason = f": {job.error.message}" if job.error else ""
        complain(f"job {job.job_id} {did(job)}{reason}")
        raise typer.Exit(EXIT_REFUSED)
    path = destination.path(job)
    try:
        handle.download(path, overwrite=destination.force)
    except KeyboardInterrupt:
        come_back(client, handle, "download", "The job is kept. To download it:", destination)
        raise
    except OSError as error:
        complain(f"{path}: {error.strerror}" if error.strerror else error)
        come_back(client, handle, "download", "The job is kept. To download it:")
        raise typer.Exit(EXIT_REFUSED) from error
    show_file(job, path, as_json)
    return path


def follow(
    client: HunyuanClient, handle: JobHandle, destination: Destination | None = None
) -> None:
    """Show the progress of the job until it ends or is paused."""
    try:
        with progress() as show, suppress(JobFailed):
            handle.wait(on_progress=show, until_paused=True)
    except ServiceUnavailable:
        why = "The job is kept. To download it later:"
        come_back(client, handle, "download", why, destination)
        raise


def show_file(job: Job, path: Path, as_json: bool) -> None:
    if as_json:
        show_json(job.model_dump(mode="json") | {"file": str(path)})
    else:
        out.print(result(job, path), soft_wrap=True)


def _interrupted(client: HunyuanClient, handle: JobHandle, destination: Destination) -> NoReturn:
    """On a terminal, ask whether to cancel the job."""
    if sys.stdin.isatty() and _confirmed(f"Cancel job {handle.id}? Otherwise it continues."):
        handle.cancel()
        come_back(client, handle, "retry", "Canceled. To continue from its last step:")
    else:
        why = "The job continues. To wait for it and download it:"
        come_back(client, handle, "download", why, destination)
    raise typer.Exit(EXIT_INTERRUPTED)


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # a second Ctrl-C
        err.print()
        return False


def _offer_next_steps(
    client: HunyuanClient, handle: JobHandle, destination: Destination, as_json: bool
) -> None:
    """Download the draft if -o is given, and print the commands that come next."""
    job = handle.job
    fetches = bool(job.draft_url) and destination.output is not None
    err.print(f"Paused after step {job.step} of {job.num_inference_steps}.")
    if job.draft_url and not fetches:
        place = followed(job.draft_url, client.base_url)
        come_back(client, handle, "download --draft", f"The draft is at {place}. To download it:")
    why = "To finish the clip and download it:"
    come_back(client, handle, "resume --follow", why, destination)
    come_back(client, handle, "cancel", "To cancel it:")
    if fetches:
        draft = drafted(destination.path(job))
        show_file(job, handle.download_draft(draft, overwrite=destination.force), as_json)
    elif as_json:
        show_json(job.model_dump(mode="json"))


def come_back(
    client: HunyuanClient,
    handle: JobHandle,
    command: str,
    why: str,
    destination: Destination | None = None,
) -> None:
    """Print a command to copy that continues with the job."""
    line = f"hunyuan {command} {handle.id}"
    if destination is not None and destination.options:
        line += f" {destination.options}"
    if client.base_url != DEFAULT_URL:
        line += f" --url {shlex.quote(without_password(client.base_url))}"
    err.print(f"{why}\n  {line}", soft_wrap=True)
