"""Seeing a job through: its progress, its end, its file, and what to do about it later."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import typer

from hunyuan_runner.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, complain
from hunyuan_runner.cli.display import did, err, out, progress, result
from hunyuan_runner.client import (
    DEFAULT_URL,
    HunyuanClient,
    Job,
    JobFailed,
    JobHandle,
    ServiceUnavailable,
)


def fetch(
    client: HunyuanClient,
    handle: JobHandle,
    output: Path | None,
    as_json: bool,
    when_paused: int = EXIT_REFUSED,
) -> Path:
    """Wait for the job and download its video.

    Ends the command where there is none; with the code `when_paused` where it may come yet.
    """
    try:
        follow(client, handle)
    except KeyboardInterrupt:
        _interrupted(client, handle)
    job = handle.job
    if job.paused:
        _tell_how_to_go_on(client, handle)
        if as_json:
            typer.echo(job.model_dump_json(indent=2))
        raise typer.Exit(when_paused)
    if job.status != "completed":
        reason = f": {job.error.message}" if job.error else ""
        complain(f"job {job.job_id} {did(job)}{reason}")
        raise typer.Exit(EXIT_REFUSED)
    path = handle.download(path_for(job, output))
    show_file(job, path, as_json)
    return path


def follow(client: HunyuanClient, handle: JobHandle) -> None:
    """Show how the job gets on until it ended, however it does, or is paused."""
    try:
        with progress() as show, suppress(JobFailed):
            handle.wait(on_progress=show, until_paused=True)
    except ServiceUnavailable:
        come_back(client, handle, "download", "The job is kept. To fetch it later:")
        raise


def show_file(job: Job, path: Path, as_json: bool) -> None:
    if as_json:
        answer = job.model_dump(mode="json") | {"file": str(path)}
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        out.print(result(job, path), soft_wrap=True)


def path_for(job: Job, output: Path | None, suffix: str = "") -> Path:
    """Where the video goes: `output`, or a file there or here that is named after the prompt."""
    if output and not output.is_dir():
        return output
    slug = re.sub(r"\W+", "-", job.params.prompt.lower())[:40].strip("-")
    return (output or Path()) / f"{slug or 'clip'}-{job.job_id[-8:]}{suffix}.mp4"


def _interrupted(client: HunyuanClient, handle: JobHandle) -> NoReturn:
    """Ask whether the job shall be canceled, where there is somebody to ask."""
    if sys.stdin.isatty() and _confirmed(f"Cancel job {handle.id}? It goes on otherwise."):
        handle.cancel()
        come_back(client, handle, "retry", "Canceled. To go on where it stopped:")
    else:
        come_back(client, handle, "download", "The job goes on. To wait for it and fetch it:")
    raise typer.Exit(EXIT_INTERRUPTED)


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # a second Ctrl-C
        err.print()
        return False


def _tell_how_to_go_on(client: HunyuanClient, handle: JobHandle) -> None:
    job = handle.job
    err.print(f"Paused behind step {job.step} of {job.num_inference_steps}.")
    if job.draft_url:
        draft = f"{client.base_url.rstrip('/')}{job.draft_url}"
        come_back(client, handle, "download --draft", f"Its draft is at {draft}. To fetch it:")
    come_back(client, handle, "resume --follow", "To finish the clip and fetch it:")
    come_back(client, handle, "cancel", "To drop it:")


def come_back(client: HunyuanClient, handle: JobHandle, command: str, why: str) -> None:
    url = "" if client.base_url == DEFAULT_URL else f" --url {client.base_url}"
    err.print(f"{why}\n  hunyuan {command} {handle.id}{url}", soft_wrap=True)
