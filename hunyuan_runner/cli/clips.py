"""Clips: render one, tell what it would take, fetch it, render it once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from hunyuan_runner.cli.connection import EXIT_REFUSED, complain, connected
from hunyuan_runner.cli.display import alternative_table, err, estimate_table, out, quote, warn
from hunyuan_runner.cli.following import come_back, fetch, path_for, show_file
from hunyuan_runner.cli.options import ApiKey, JobId, Json, Output, Url, field
from hunyuan_runner.client import DEFAULT_URL
from hunyuan_runner.manifest import TAG, Manifest
from hunyuan_runner.params import EstimateRequest, GenerationRequest, PresetName
from hunyuan_runner.schedule import StepCache


def generate(
    prompt: Annotated[
        str, typer.Argument(help=GenerationRequest.model_fields["prompt"].description)
    ],
    output: Output = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Annotated[str | None, field("model")] = None,
    preset: Annotated[PresetName | None, field("preset")] = None,
    negative_prompt: Annotated[str | None, field("negative_prompt")] = None,
    width: Annotated[int | None, field("width")] = None,
    height: Annotated[int | None, field("height")] = None,
    size: Annotated[str | None, field("size")] = None,
    num_frames: Annotated[int | None, field("num_frames")] = None,
    seconds: Annotated[float | None, field("seconds")] = None,
    fps: Annotated[float | None, field("fps")] = None,
    num_inference_steps: Annotated[int | None, field("num_inference_steps", "--steps")] = None,
    seed: Annotated[int | None, field("seed")] = None,
    guidance_scale: Annotated[float | None, field("guidance_scale")] = None,
    true_cfg_scale: Annotated[float | None, field("true_cfg_scale")] = None,
    flow_shift: Annotated[float | None, field("flow_shift")] = None,
    step_cache: Annotated[StepCache | None, field("step_cache")] = None,
    draft_steps: Annotated[int | None, field("draft_steps")] = None,
    priority: Annotated[int | None, field("priority")] = None,
    webhook_url: Annotated[str | None, field("webhook_url")] = None,
    webhook_events: Annotated[list[str] | None, field("webhook_events")] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Submit, print the id, leave.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Render a clip and download it."""
    clip: dict[str, Any] = {
        "model": model,
        "preset": preset,
        "negative_prompt": negative_prompt,
        "width": width,
        "height": height,
        "size": size,
        "num_frames": num_frames,
        "seconds": seconds,
        "fps": fps,
        "num_inference_steps": num_inference_steps,
        "seed": seed,
        "guidance_scale": guidance_scale,
        "true_cfg_scale": true_cfg_scale,
        "flow_shift": flow_shift,
        "step_cache": step_cache,
        "draft_steps": draft_steps,
        "priority": priority,
        "webhook_url": webhook_url,
        "webhook_events": webhook_events or None,
    }
    with connected(url, api_key) as client:
        estimated = None if no_wait else client.estimate(prompt, **clip)
        job = client.generate(prompt, **clip)
        if estimated is not None:
            err.print(f"job {job.id} {quote(estimated)}", style="dim", soft_wrap=True)
        warn(job.job.warnings)
        if estimated is not None:
            fetch(client, job, output, as_json, when_paused=0)
        elif as_json:
            typer.echo(job.job.model_dump_json(indent=2))
        else:
            out.print(job.id)
            come_back(client, job, "download", "Queued. To wait for it and fetch it:")


def estimate(
    prompt: Annotated[
        str | None, typer.Argument(help=EstimateRequest.model_fields["prompt"].description)
    ] = None,
    model: Annotated[str | None, field("model")] = None,
    preset: Annotated[PresetName | None, field("preset")] = None,
    negative_prompt: Annotated[str | None, field("negative_prompt")] = None,
    width: Annotated[int | None, field("width")] = None,
    height: Annotated[int | None, field("height")] = None,
    size: Annotated[str | None, field("size")] = None,
    num_frames: Annotated[int | None, field("num_frames")] = None,
    seconds: Annotated[float | None, field("seconds")] = None,
    fps: Annotated[float | None, field("fps")] = None,
    num_inference_steps: Annotated[int | None, field("num_inference_steps", "--steps")] = None,
    priority: Annotated[int | None, field("priority")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="From now: alternatives are there in time."),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Tell what a clip would take, and what to ask for if that is too much."""
    with connected(url, api_key) as client:
        estimated = client.estimate(
            prompt,
            deadline_seconds=deadline,
            model=model,
            preset=preset,
            negative_prompt=negative_prompt,
            width=width,
            height=height,
            size=size,
            num_frames=num_frames,
            seconds=seconds,
            fps=fps,
            num_inference_steps=num_inference_steps,
            priority=priority,
        )
    if as_json:
        typer.echo(estimated.model_dump_json(indent=2))
        return
    out.print(estimate_table(estimated, deadline))
    if estimated.alternatives:
        out.print()
        out.print(alternative_table(estimated.alternatives))


def download(
    job_id: JobId,
    output: Output = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="What it is expected to become, while it is paused.")
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Fetch a job's video, waiting for it if need be."""
    with connected(url, api_key) as client:
        handle = client.job(job_id)
        if draft:
            path = handle.download_draft(path_for(handle.job, output, "-draft"))
            show_file(handle.job, path, as_json)
        else:
            fetch(client, handle, output, as_json)


def reproduce(
    file: Annotated[
        Path, typer.Argument(help="A clip's MP4.", exists=True, dir_okay=False, readable=True)
    ],
    output: Output = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Render the clip of an MP4 once more, from what the file tells of itself, and compare."""
    from hunyuan_runner.media import frame_hashes, probe  # only here: it brings numpy along

    manifest = _manifest_in(file)
    with connected(url, api_key) as client:
        job = client.generate(**manifest.params.model_dump())
        err.print(f"job {job.id}", style="dim")
        again = fetch(client, job, output, as_json=False)
        changed = ", ".join(manifest.differences(job.manifest()))
    before, after = frame_hashes(file), frame_hashes(again)
    if before == after:
        out.print(f"The same as {file}, frame for frame.", style="green", soft_wrap=True)
        return
    sizes = [f"{info.width}x{info.height}" for info in (probe(again), probe(file))]
    if sizes[0] != sizes[1]:  # earlier versions made odd sizes
        changed = ", ".join(filter(None, [f"{sizes[0]}, not {sizes[1]}", changed]))
    same = sum(a == b for a, b in zip(before, after, strict=False))
    reason = f"This time it was {changed}." if changed else "Was the file changed?"
    complain(f"{same} of {len(before)} frames are the same as in {file}. {reason}")
    raise typer.Exit(EXIT_REFUSED)


def _manifest_in(file: Path) -> Manifest:
    from hunyuan_runner.media import MediaError, read_tags

    try:
        return Manifest.model_validate_json(read_tags(file).get(TAG, ""))
    except (MediaError, ValidationError) as error:
        problem = f"{file} does not tell how it was made; finished clips of this service do"
        raise typer.BadParameter(problem, param_hint="FILE") from error
