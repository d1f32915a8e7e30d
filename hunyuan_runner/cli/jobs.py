"""The commands about jobs: list, show, cancel, retry, pause, resume, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from hunyuan_runner.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, complain, connected
from hunyuan_runner.cli.destination import Destination
from hunyuan_runner.cli.display import (
    err,
    job_facts,
    job_table,
    out,
    show,
    show_json,
    warn_of_no_worker,
)
from hunyuan_runner.cli.following import fetch, follow
from hunyuan_runner.cli.options import ApiKey, Force, JobId, JobIds, Json, Output, Url, readable
from hunyuan_runner.client import ApiError, JobHandle
from hunyuan_runner.wire import JobState


def jobs(
    status: Annotated[JobState | None, typer.Option(help="Only list jobs in this state.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only list jobs with these words in their prompts.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="List at most this many jobs.")] = None,
    url: Url = "",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """List your jobs, newest first."""
    with connected(url, api_key) as client:
        page = client.list(status=status, limit=limit, search=search and readable(search))
    if as_json:
        show_json(page.model_dump(mode="json"))
    elif not page.jobs:
        err.print("No jobs.")
    else:
        show(job_table(page.jobs))
        warn_of_no_worker(page.jobs)
        if page.has_more:
            err.print("There are more jobs. Use --limit to list more.", style="dim")


def status(
    job_id: JobId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the job until it ends or is paused.")
    ] = False,
    url: Url = "",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show a job."""
    with connected(url, api_key) as client:
        handle = client.job(job_id)
        if watch:
            follow(client, handle)
    if as_json:
        show_json(handle.job.model_dump(mode="json"))
    else:
        show(job_facts(handle.job, client.base_url))


def cancel(
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="One job's id or several.")
    ] = None,
    waiting: Annotated[
        bool, typer.Option("--all", help="Cancel all of your queued and paused jobs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Cancel jobs that are queued, paused or being rendered."""
    if waiting == bool(job_ids):
        raise typer.BadParameter("Give either the ids of jobs or --all.")
    if job_ids:
        _each(url, api_key, job_ids, JobHandle.cancel, "canceled")
        return
    _agree("Cancel all of your queued and paused jobs?", yes)
    with connected(url, api_key) as client:
        canceled = client.cancel_all()
    out.print(f"canceled {canceled} {'job' if canceled == 1 else 'jobs'}")


def retry(job_id: JobId, url: Url = "", api_key: ApiKey = None) -> None:
    """Queue a failed or canceled job again. It continues from its last step."""
    _each(url, api_key, [job_id], JobHandle.retry, "queued")


def pause(job_ids: JobIds, url: Url = "", api_key: ApiKey = None) -> None:
    """Pause jobs. A queued job pauses at once, another after its current step."""
    _each(url, api_key, job_ids, JobHandle.pause, "pausing")


def resume(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the video and download it.")
    ] = False,
    output: Output = None,
    force: Force = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Queue a paused job again. It continues exactly where it stopped."""
    destination = Destination.checked(output, force)
    with connected(url, api_key) as client:
        handle = client.job(job_id)
        handle.resume()
        out.print(f"queued {job_id}", soft_wrap=True)
        if follow or output:
            fetch(client, handle, destination, as_json=False, when_paused=0)


def delete(
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Delete jobs and their files."""
    what = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
    _agree(f"Delete {what} and all files?", yes)
    _each(url, api_key, job_ids, JobHandle.delete, "deleted")


def _agree(question: str, yes: bool) -> None:
    """Ask for confirmation, unless `yes`. Raises typer.Exit if the answer is no."""
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort as interrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    if not agreed:
        raise typer.Exit(EXIT_REFUSED)


def _each(
    url: str,
    api_key: str | None,
    job_ids: list[str],
    act: Callable[[JobHandle], object],
    done: str,
) -> None:
    """Apply `act` to every job and print its outcome. Raises typer.Exit if one is refused."""
    refused = False
    with connected(url, api_key) as client:
        for job_id in job_ids:
            try:
                act(client.job(job_id))
                out.print(f"{done} {job_id}", soft_wrap=True)
            except ApiError as error:
                if error.status == 401:
                    raise
                complain(error)
                refused = True
    if refused:
        raise typer.Exit(EXIT_REFUSED)
