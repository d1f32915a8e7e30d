"""The commands about clips: generate, estimate, download, reproduce."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from hunyuan_runner.cli.connection import EXIT_REFUSED, complain, connected
from hunyuan_runner.cli.destination import Destination
from hunyuan_runner.cli.display import (
    alternative_table,
    err,
    estimate_facts,
    nothing_instead,
    out,
    quote,
    show,
    show_json,
    warn,
)
from hunyuan_runner.cli.following import come_back, fetch, show_file
from hunyuan_runner.cli.options import (
    FLAGS,
    ApiKey,
    Force,
    JobId,
    Json,
    Output,
    Url,
    readable,
    takes_a_clip,
)
from hunyuan_runner.cli.server import require_extra
from hunyuan_runner.manifest import TAG, Manifest
from hunyuan_runner.params import EstimateRequest, GenerationRequest


@takes_a_clip
def generate(
    prompt: Annotated[
        str, typer.Argument(help=GenerationRequest.model_fields["prompt"].description)
    ],
    output: Output = None,
    force: Force = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Submit the job, print its id and exit.")
    ] = False,
    url: Url = "",
    api_key: ApiKey = None,
    as_json: Json = False,
    **clip: Any,
) -> None:
    """Render a clip and download it."""
    destination = Destination.checked(output, force, with_draft=clip["draft_steps"] is not None)
    prompt, clip = readable(prompt), _chosen(clip)
    with connected(url, api_key) as client:
        estimated = None if no_wait else client.estimate(prompt, **clip)
        job = client.generate(prompt, **clip)
        if estimated is not None:
            err.print(f"job {job.id} {quote(estimated)}", style="dim", soft_wrap=True)
        warn(job.job.warnings)
        if estimated is not None:
            fetch(client, job, destination, as_json, when_paused=0)
        elif as_json:
            show_json(job.job.model_dump(mode="json"))
        else:
            out.print(job.id, soft_wrap=True)
            come_back(
                client, job, "download", "Queued. To wait for it and download it:", destination
            )


@takes_a_clip
def estimate(
    prompt: Annotated[
        str | None, typer.Argument(help=EstimateRequest.model_fields["prompt"].description)
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Propose alternatives that finish within this time."),
    ] = None,
    url: Url = "",
    api_key: ApiKey = None,
    as_json: Json = False,
    **clip: Any,
) -> None:
    """Estimate time, memory and cost of a clip. Proposes alternatives."""
    fields = _chosen(clip | {"deadline_seconds": deadline})
    with connected(url, api_key) as client:
        estimated = client.estimate(prompt and readable(prompt), **fields)
    if as_json:
        show_json(estimated.model_dump(mode="json"))
        return
    show(estimate_facts(estimated, deadline))
    if estimated.alternatives:
        out.print()
        show(alternative_table(estimated.alternatives))
    elif not estimated.fits or estimated.in_time is False:
        out.print()
        out.print(nothing_instead(estimated, deadline), soft_wrap=True)


def _chosen(clip: dict[str, Any]) -> dict[str, Any]:
    """The fields set by options, as they are sent to the service."""
    return {name: _sendable(name, value) for name, value in clip.items() if value is not None}


def _sendable(name: str, value: Any) -> Any:
    """Raises BadParameter for a number that JSON cannot express."""
    match value:
        case str():
            return readable(value)
        case list():
            return [readable(one) for one in value]
        case float() if not math.isfinite(value):
            option = FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise typer.BadParameter(f"{value} is not a finite number", param_hint=f"'{option}'")
    return value


def download(
    job_id: JobId,
    output: Output = None,
    force: Force = False,
    draft: Annotated[
        bool, typer.Option("--draft", help="Download the draft of a paused job.")
    ] = False,
    url: Url = "",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Download the video of a job. Waits until it is finished."""
    destination = Destination.checked(output, force)
    with connected(url, api_key) as client:
        handle = client.job(job_id)
        if draft:
            path = handle.download_draft(
                destination.draft_path(handle.job), overwrite=destination.force
            )
            show_file(handle.job, path, as_json)
        else:
            destination.require_free(destination.path(handle.job))
            fetch(client, handle, destination, as_json)


def reproduce(
    file: Annotated[
        Path, typer.Argument(help="The MP4 of a clip.", exists=True, dir_okay=False, readable=True)
    ],
    output: Output = None,
    force: Force = False,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Re-render a clip from its MP4 and compare frame by frame."""
    require_extra("media")
    from hunyuan_runner.media import frame_hashes, probe

    destination = Destination.checked(output, force)
    manifest, before = _manifest_in(file), frame_hashes(file)
    with connected(url, api_key) as client:
        job = client.generate(**manifest.params.model_dump(exclude_unset=True))
        err.print(f"job {job.id}", style="dim", soft_wrap=True)
        again = fetch(client, job, destination, as_json=False)
        changed = ", ".join(manifest.differences(job.manifest()))
    after = frame_hashes(again)
    if before == after:
        out.print(f"All frames are identical to those of {file}.", style="green", soft_wrap=True)
        return
    sizes = [f"{info.width}x{info.height}" for info in (probe(again), probe(file))]
    if sizes[0] != sizes[1]:  # early versions produced odd sizes
        changed = ", ".join(filter(None, [f"{sizes[0]}, not {sizes[1]}", changed]))
    same = sum(a == b for a, b in zip(before, after, strict=False))
    reason = f"This render used {changed}." if changed else "Was the file changed?"
    complain(f"{same} of {len(before)} frames are identical to those of {file}. {reason}")
    raise typer.Exit(EXIT_REFUSED)


def _manifest_in(file: Path) -> Manifest:
    from hunyuan_runner.media import MediaError, read_tags

    try:
        return Manifest.model_validate_json(read_tags(file).get(TAG, ""))
    except (MediaError, ValidationError) as error:
        problem = f"{file} contains no recipe. Use a finished clip of this service."
        raise typer.BadParameter(problem, param_hint="FILE") from error
