"""Jobs: list them, look at one, stop and start them, delete them."""

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
from hunyuan_runner.cli.options import ApiKey, Force, JobId, JobIds, Json, Output, Url
from hunyuan_runner.client import ApiError, JobHandle, Status


def jobs(
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many jobs at most.")] = None,
    url: Url = "",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """List the jobs, the newest first."""
    with connected(url, api_key) as client:
        page = client.list(status=status, limit=limit)
    if as_json:
        show_json(page.model_dump(mode="json"))
    elif not page.jobs:
        err.print("No jobs.")
    else:
        show(job_table(page.jobs))
        warn_of_no_worker(page.jobs)
        if page.has_more:
            err.print("There are more: see --limit.", style="dim")


def status(
    job_id: JobId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the job until it ended or is paused.")
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
        bool, typer.Option("--all", help="Every job of yours that waits, paused ones too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Stop jobs that wait or are being rendered."""
    if waiting == bool(job_ids):
        raise typer.BadParameter("Name the jobs to cancel, or give --all, not both.")
    if job_ids:
        _each(url, api_key, job_ids, JobHandle.cancel, "canceled")
        return
    _agree("Cancel all of your jobs that wait?", yes)
    with connected(url, api_key) as client:
        canceled = client.cancel_all()
    out.print(f"canceled {canceled} {'job' if canceled == 1 else 'jobs'}")


def retry(job_id: JobId, url: Url = "", api_key: ApiKey = None) -> None:
    """Queue a failed or canceled job again; it goes on where it stopped."""
    _each(url, api_key, [job_id], JobHandle.retry, "queued")


def pause(job_ids: JobIds, url: Url = "", api_key: ApiKey = None) -> None:
    """Have jobs wait: at once where they are queued, else behind the step under way."""
    _each(url, api_key, job_ids, JobHandle.pause, "pausing")


def resume(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the video, and download it.")
    ] = False,
    output: Output = None,
    force: Force = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Queue a paused job again; it goes on from exactly where it is."""
    destination = Destination.checked(output, force)
    with connected(url, api_key) as client:
        handle = client.job(job_id)
        handle.resume()
        out.print(f"queued {job_id}", soft_wrap=True)
        if follow or output:
            fetch(client, handle, destination, as_json=False, when_paused=0)


def delete(
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Delete jobs and their files."""
    what = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
    _agree(f"Delete {what} and all files?", yes)
    _each(url, api_key, job_ids, JobHandle.delete, "deleted")


def _agree(question: str, yes: bool) -> None:
    """Ask, unless the answer was given. Raises typer.Exit if it is no."""
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
    """Do it to every job that lets it be done, and say which does not."""
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
