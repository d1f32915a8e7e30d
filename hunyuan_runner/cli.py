"""The `hunyuan` command: submit a clip, follow it, fetch it."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.text import Text

from hunyuan_runner.check import examine
from hunyuan_runner.client import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    DEFAULT_URL,
    ApiError,
    HunyuanClient,
    HunyuanError,
    Job,
    JobFailed,
    JobHandle,
    Retry,
    ServiceUnavailable,
    Status,
)
from hunyuan_runner.display import (
    alternative_table,
    columns,
    details,
    did,
    err,
    estimate_table,
    facts,
    job_table,
    out,
    outcome_table,
    progress,
    quote,
    result,
    rounded,
)
from hunyuan_runner.manifest import TAG, Manifest
from hunyuan_runner.params import EstimateRequest, GenerationRequest, PresetName
from hunyuan_runner.schedule import StepCache

EXIT_REFUSED = 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
EXIT_INTERRUPTED = 130

STOP_SECONDS = 30  # that the service gets for answers and a job under way, once it is asked to stop

KEY_PREFIX = "hy_"  # by which a key is known where it should not be, in a log or a repository

app = typer.Typer(
    help="Text-to-video by a hunyuan-runner service.",
    epilog=f"Exit codes: 0 done; {EXIT_REFUSED} refused, or the job failed; 2 wrong usage; "
    f"{EXIT_UNAVAILABLE} no service answers; {EXIT_INTERRUPTED} interrupted.",
    no_args_is_help=True,
    add_completion=False,
)
keys = typer.Typer(help="API keys, which say whose a job is.", no_args_is_help=True)
app.add_typer(keys, name="keys")


def _field(name: str, *flags: str) -> Any:
    """An option for a field of the request. Its default and bounds are the service's business."""
    return typer.Option(*flags, help=GenerationRequest.model_fields[name].description)


def _writable(output: Path | None) -> Path | None:
    """Refuse, before anything is rendered for it, a file that cannot be written."""
    folder = output if output and output.is_dir() else (output or Path()).parent
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        problem = f"the folder {folder} cannot be written to: {error.strerror}"
        raise typer.BadParameter(problem) from error
    return output


Url = Annotated[str, typer.Option(envvar="HUNYUAN_URL", help="Where the service is.")]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="HUNYUAN_API_KEY", help="Your key, where the service asks for one."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="A job's id.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="One job's id or several.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        callback=_writable,
        help="The file to write, or a folder; default: named after the prompt.",
    ),
]


@app.command()
def generate(
    prompt: Annotated[
        str, typer.Argument(help=GenerationRequest.model_fields["prompt"].description)
    ],
    output: Output = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Annotated[str | None, _field("model")] = None,
    preset: Annotated[PresetName | None, _field("preset")] = None,
    negative_prompt: Annotated[str | None, _field("negative_prompt")] = None,
    width: Annotated[int | None, _field("width")] = None,
    height: Annotated[int | None, _field("height")] = None,
    num_frames: Annotated[int | None, _field("num_frames")] = None,
    fps: Annotated[int | None, _field("fps")] = None,
    num_inference_steps: Annotated[int | None, _field("num_inference_steps", "--steps")] = None,
    seed: Annotated[int | None, _field("seed")] = None,
    guidance_scale: Annotated[float | None, _field("guidance_scale")] = None,
    true_cfg_scale: Annotated[float | None, _field("true_cfg_scale")] = None,
    flow_shift: Annotated[float | None, _field("flow_shift")] = None,
    step_cache: Annotated[StepCache | None, _field("step_cache")] = None,
    draft_steps: Annotated[int | None, _field("draft_steps")] = None,
    priority: Annotated[int | None, _field("priority")] = None,
    webhook_url: Annotated[str | None, _field("webhook_url")] = None,
    webhook_events: Annotated[list[str] | None, _field("webhook_events")] = None,
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
        "num_frames": num_frames,
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
    with _service(url, api_key) as client:
        estimated = None if no_wait else client.estimate(prompt, **clip)
        job = client.generate(prompt, **clip)
        if estimated is not None:
            err.print(f"job {job.id} {quote(estimated)}", style="dim", soft_wrap=True)
            _fetch(client, job, output, as_json, when_paused=0)
        elif as_json:
            typer.echo(job.job.model_dump_json(indent=2))
        else:
            out.print(job.id)
            _come_back(client, job, "download", "Queued. To wait for it and fetch it:")


@app.command()
def estimate(
    prompt: Annotated[
        str | None, typer.Argument(help=EstimateRequest.model_fields["prompt"].description)
    ] = None,
    model: Annotated[str | None, _field("model")] = None,
    preset: Annotated[PresetName | None, _field("preset")] = None,
    negative_prompt: Annotated[str | None, _field("negative_prompt")] = None,
    width: Annotated[int | None, _field("width")] = None,
    height: Annotated[int | None, _field("height")] = None,
    num_frames: Annotated[int | None, _field("num_frames")] = None,
    num_inference_steps: Annotated[int | None, _field("num_inference_steps", "--steps")] = None,
    priority: Annotated[int | None, _field("priority")] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="From now: alternatives are there in time."),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Tell what a clip would take, and what to ask for if that is too much."""
    with _service(url, api_key) as client:
        estimated = client.estimate(
            prompt,
            deadline_seconds=deadline,
            model=model,
            preset=preset,
            negative_prompt=negative_prompt,
            width=width,
            height=height,
            num_frames=num_frames,
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


@app.command()
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
    with _service(url, api_key) as client:
        handle = client.job(job_id)
        if draft:
            path = handle.download_draft(_path(handle.job, output, "-draft"))
            _show_file(handle.job, path, as_json)
        else:
            _fetch(client, handle, output, as_json)


@app.command()
def reproduce(
    file: Annotated[
        Path, typer.Argument(help="A clip's MP4.", exists=True, dir_okay=False, readable=True)
    ],
    output: Output = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Render the clip of an MP4 once more, from what the file tells of itself, and compare."""
    from hunyuan_runner.media import frame_hashes  # only here: it brings numpy along

    manifest = _manifest_in(file)
    with _service(url, api_key) as client:
        job = client.generate(**manifest.params.model_dump())
        err.print(f"job {job.id}", style="dim")
        again = _fetch(client, job, output, as_json=False)
        changed = ", ".join(manifest.differences(job.manifest()))
    before, after = frame_hashes(file), frame_hashes(again)
    if before == after:
        out.print(f"The same as {file}, frame for frame.", style="green", soft_wrap=True)
        return
    same = sum(a == b for a, b in zip(before, after, strict=False))
    reason = f"This time it was {changed}." if changed else "Was the file changed?"
    _complain(f"{same} of {len(before)} frames are the same as in {file}. {reason}")
    raise typer.Exit(EXIT_REFUSED)


@app.command()
def jobs(
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many jobs at most.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """List the jobs, the newest first."""
    with _service(url, api_key) as client:
        page = client.list(status=status, limit=limit)
    if as_json:
        typer.echo(page.model_dump_json(indent=2))
    elif not page.jobs:
        err.print("No jobs.")
    else:
        out.print(job_table(page.jobs))
        if page.has_more:
            err.print("There are more: see --limit.", style="dim")


@app.command()
def status(
    job_id: JobId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the job until it ended or is paused.")
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show a job."""
    with _service(url, api_key) as client:
        handle = client.job(job_id)
        if watch:
            _follow(client, handle)
    if as_json:
        typer.echo(handle.job.model_dump_json(indent=2))
    else:
        out.print(details(handle.job))


@app.command()
def cancel(job_ids: JobIds, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Stop jobs that wait or are being rendered."""
    _each(url, api_key, job_ids, JobHandle.cancel, "canceled")


@app.command()
def retry(job_id: JobId, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Queue a failed or canceled job again; it goes on where it stopped."""
    _each(url, api_key, [job_id], JobHandle.retry, "queued")


@app.command()
def pause(job_ids: JobIds, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Have jobs wait: at once where they are queued, else behind the step under way."""
    _each(url, api_key, job_ids, JobHandle.pause, "pausing")


@app.command()
def resume(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the video, and download it.")
    ] = False,
    output: Output = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Queue a paused job again; it goes on from exactly where it is."""
    with _service(url, api_key) as client:
        handle = client.job(job_id)
        handle.resume()
        out.print(f"queued {job_id}")
        if follow or output:
            _fetch(client, handle, output, as_json=False, when_paused=0)


@app.command()
def delete(
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Delete jobs and their files."""
    if not yes:
        what = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
        typer.confirm(f"Delete {what} and all files?", abort=True, err=True)
    _each(url, api_key, job_ids, JobHandle.delete, "deleted")


@app.command()
def info(url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the service: its models, their presets and its machine."""
    with _service(url, api_key) as client:
        service = client.info()
    if as_json:
        typer.echo(service.model_dump_json(indent=2))
        return
    host = service.host
    about = facts()
    about.add_row(
        "service", f"{service.name} {service.versions.get('hunyuan-runner') or ''} at {url}"
    )
    about.add_row("machine", f"{host.cpu}, {host.cores} cores, {host.memory_bytes / 2**30:.0f} GiB")
    for runner in service.runners:
        for model_id, chosen in runner.models.items():
            computed = f"{model_id} in {chosen.precision}: {chosen.reason}"
            about.add_row("runner", f"{runner.threads} threads, {computed}")
    about.add_row("keeps jobs", rounded(service.retention_hours * 3600))
    models = columns("model", "", "preset", "size", "frames", "fps", "steps")
    for model in service.models:
        state = "default" if model.default else "" if model.installed else "not installed"
        for name, preset in model.presets.items():
            size = f"{preset.width}x{preset.height}"
            numbers = (preset.num_frames, preset.fps, preset.num_inference_steps)
            models.add_row(model.id, state, name, size, *map(str, numbers))
    out.print(about, models, sep="\n\n")


@app.command()
def check(
    url: Annotated[
        str, typer.Argument(envvar="HUNYUAN_URL", help="Where the service is.")
    ] = DEFAULT_URL,
    wait: Annotated[
        bool, typer.Option("--wait", help="Have a clip rendered, and look into its file.")
    ] = False,
    api_key: ApiKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """See whether a service works: every kind of request, and nothing left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so it cleans up then too
    try:
        report = examine(url, api_key, wait=wait, rendering=progress)
    except ServiceUnavailable as error:
        _complain_of_no_service(error)
        raise typer.Exit(EXIT_REFUSED) from error
    if as_json:
        answer = {"url": url, "ok": report.ok, "checks": [asdict(o) for o in report.outcomes]}
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        out.print(outcome_table(report))
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.ok:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is every one there is.")
    ] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(envvar="PORT", help="The port.")] = DEFAULT_PORT,
) -> None:
    """Run the service on this machine."""
    # Only here: whoever asks a service far away needs nothing of what runs one.
    from hunyuan_runner.settings import get_settings
    from hunyuan_runner.storage import DataFolderUnusable, prepare_data_folder

    try:
        settings = get_settings()
        data_dir = prepare_data_folder(settings)
    except ValidationError as error:
        for problem in error.errors():
            _complain(f"HUNYUAN_{str(problem['loc'][0]).upper()}: {problem['msg']}")
        raise typer.Exit(EXIT_REFUSED) from error
    except DataFolderUnusable as error:
        _complain(error)
        raise typer.Exit(EXIT_REFUSED) from error
    if not (settings.api_keys or settings.allow_anonymous or _is_loopback(host)):
        _complain(
            f"on {host} anybody could use this service. Set HUNYUAN_API_KEYS (`hunyuan keys new "
            "NAME` makes one), or HUNYUAN_ALLOW_ANONYMOUS=true if that is wanted."
        )
        raise typer.Exit(EXIT_REFUSED)

    prompt = '{"prompt": "A cat walks on grass"}'
    url = f"http://{host}:{port}"
    err.print(f"Starting on {url}. To try it, in another terminal:", soft_wrap=True)
    key = " -H 'Authorization: Bearer KEY'" if settings.api_keys else ""
    err.print(
        f"  curl -s {url}/api/generate{key} -H 'Content-Type: application/json' -d '{prompt}'",
        soft_wrap=True,
    )
    ours = {
        "BENTOML_HOME": str(data_dir / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = [sys.executable, "-m", "bentoml", "serve", "service:HunyuanVideo"]
    command += ["--working-dir", str(Path(__file__).parent.parent), "--host", host]
    command += ["--port", str(port), "--timeout-graceful-shutdown", str(STOP_SECONDS)]
    os.execve(sys.executable, command, ours | os.environ | {"HUNYUAN_DATA_DIR": str(data_dir)})


@keys.command("new")
def new_key(
    name: Annotated[
        str, typer.Argument(help="Whose it is: letters, digits, dots, dashes, underscores.")
    ],
    admin: Annotated[bool, typer.Option("--admin", help="It sees everybody's jobs.")] = False,
) -> None:
    """Make an API key. It is shown this once; the service needs its hash alone."""
    from hunyuan_runner.settings import ApiKey

    key = KEY_PREFIX + secrets.token_urlsafe(32)
    entry = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{':admin' if admin else ''}"
    try:
        ApiKey.parse(entry)
    except ValueError as error:
        raise typer.BadParameter("a name has 1 to 64 letters, digits or ._-") from error
    err.print("The key, for its user (HUNYUAN_API_KEY or Authorization: Bearer):")
    out.print(key, soft_wrap=True)
    err.print("For the service, after a comma if HUNYUAN_API_KEYS has others:")
    out.print(f"HUNYUAN_API_KEYS={entry}", soft_wrap=True)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _service(url: str, api_key: str | None) -> Iterator[HunyuanClient]:
    """A client whose errors end the command, with one line and the right exit code."""
    try:
        # Somebody sits there: what fails is told at once, but while a job is followed.
        with HunyuanClient(url, api_key=api_key, retries=0, on_retry=_still_trying) as client:
            yield client
    except ServiceUnavailable as error:
        _complain_of_no_service(error)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    except (HunyuanError, OSError) as error:
        hint = ""
        if isinstance(error, ApiError) and error.status == 401:
            hint = " --api-key or HUNYUAN_API_KEY names it."
        _complain(f"{error}{hint}")
        raise typer.Exit(EXIT_REFUSED) from error


def _still_trying(retry: Retry) -> None:
    if retry.failures == 1:
        err.print(f"{retry.error}; still trying", style="yellow", soft_wrap=True)


def _complain(problem: object) -> None:
    err.print(Text.assemble(("Error: ", "bold red"), str(problem)), soft_wrap=True)


def _complain_of_no_service(error: ServiceUnavailable) -> None:
    _complain(f"{error}. `make run` starts a service; --url or HUNYUAN_URL names another.")


def _each(
    url: str,
    api_key: str | None,
    job_ids: list[str],
    act: Callable[[JobHandle], object],
    done: str,
) -> None:
    """Do it to every job that lets it be done, and say which does not."""
    refused = False
    with _service(url, api_key) as client:
        for job_id in job_ids:
            try:
                act(client.job(job_id))
                out.print(f"{done} {job_id}")
            except ApiError as error:
                if error.status == 401:
                    raise
                _complain(error)
                refused = True
    if refused:
        raise typer.Exit(EXIT_REFUSED)


def _manifest_in(file: Path) -> Manifest:
    from hunyuan_runner.media import MediaError, read_tags

    try:
        return Manifest.model_validate_json(read_tags(file).get(TAG, ""))
    except (MediaError, ValidationError) as error:
        problem = f"{file} does not tell how it was made; finished clips of this service do"
        raise typer.BadParameter(problem, param_hint="FILE") from error


def _fetch(
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
        _follow(client, handle)
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
        _complain(f"job {job.job_id} {did(job)}{reason}")
        raise typer.Exit(EXIT_REFUSED)
    path = handle.download(_path(job, output))
    _show_file(job, path, as_json)
    return path


def _show_file(job: Job, path: Path, as_json: bool) -> None:
    if as_json:
        answer = job.model_dump(mode="json") | {"file": str(path)}
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        out.print(result(job, path), soft_wrap=True)


def _interrupted(client: HunyuanClient, handle: JobHandle) -> NoReturn:
    """Ask whether the job shall be canceled, where there is somebody to ask."""
    if sys.stdin.isatty() and _confirmed(f"Cancel job {handle.id}? It goes on otherwise."):
        handle.cancel()
        _come_back(client, handle, "retry", "Canceled. To go on where it stopped:")
    else:
        _come_back(client, handle, "download", "The job goes on. To wait for it and fetch it:")
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
        _come_back(client, handle, "download --draft", f"Its draft is at {draft}. To fetch it:")
    _come_back(client, handle, "resume --follow", "To finish the clip and fetch it:")
    _come_back(client, handle, "cancel", "To drop it:")


def _come_back(client: HunyuanClient, handle: JobHandle, command: str, why: str) -> None:
    url = "" if client.base_url == DEFAULT_URL else f" --url {client.base_url}"
    err.print(f"{why}\n  hunyuan {command} {handle.id}{url}", soft_wrap=True)


def _follow(client: HunyuanClient, handle: JobHandle) -> None:
    """Show how the job gets on until it ended, however it does, or is paused."""
    try:
        with progress() as show, suppress(JobFailed):
            handle.wait(on_progress=show, until_paused=True)
    except ServiceUnavailable:
        _come_back(client, handle, "download", "The job is kept. To fetch it later:")
        raise


def _path(job: Job, output: Path | None, suffix: str = "") -> Path:
    """Where the video goes: `output`, or a file there or here that is named after the prompt."""
    if output and not output.is_dir():
        return output
    slug = re.sub(r"\W+", "-", job.params.prompt.lower())[:40].strip("-")
    return (output or Path()) / f"{slug or 'clip'}-{job.job_id[-8:]}{suffix}.mp4"
