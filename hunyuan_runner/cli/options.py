"""Options and arguments that several commands share."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

from hunyuan_runner.client import DEFAULT_URL, ServiceUnavailable
from hunyuan_runner.client.address import service_url
from hunyuan_runner.params import ClipOptions, GenerationRequest

# Request fields that are options of `generate` and `estimate`. The service knows their defaults
# and bounds.
CLIP_OPTIONS = get_type_hints(ClipOptions)
CLIP_OPTIONS["webhook_events"] = list[str] | None  # typer takes no list of literals
del CLIP_OPTIONS["metadata"]
# Options that are not named after their field.
FLAGS = {"num_inference_steps": "--steps", "deadline_seconds": "--deadline"}
# Help in the words of the command line, where the request's own description names other fields.
HELP = {
    "model": "Id of a model, as `hunyuan info` lists them.",
    "size": "WIDTHxHEIGHT, such as 192x128, instead of --width and --height.",
    "num_frames": "Number of frames, a multiple of 4 plus 1, such as 33 or 129.",
    "seconds": "Length of the clip, instead of --num-frames.",
    "num_inference_steps": "Number of denoising steps.",
    "draft_steps": "Pause after this step with a draft. `hunyuan resume` continues.",
    "webhook_events": "Event to send: started, completed, failed or canceled. Repeat the option "
    "for several; default: all.",
}


def takes_a_clip(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the `**clip` of a command with the options of a clip."""
    own = inspect.signature(command, eval_str=True)
    parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                kind,
                typer.Option(
                    *filter(None, [FLAGS.get(name)]),
                    help=HELP.get(name, GenerationRequest.model_fields[name].description),
                ),
            ],
        )
        for name, kind in CLIP_OPTIONS.items()
    ]
    command.__signature__ = own.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
    return command


def readable(text: str) -> str:
    """An argument as text, even if Python could not decode it with the terminal's encoding."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def chosen_url(context: typer.Context, url: str) -> str:
    """The URL given after the command, or else the one given before it."""
    if context.resilient_parsing:  # during shell completion
        return url
    try:
        return str(service_url(url or context.find_root().params["url"]))
    except ServiceUnavailable as error:
        raise typer.BadParameter(str(error)) from error


def _key(context: typer.Context, api_key: str | None) -> str | None:
    return api_key or context.find_root().params.get("api_key")


def _path(typed: str) -> Path:
    if typed.endswith("/") and not os.path.isdir(typed):  # noqa: PTH112 (which never raises)
        raise typer.BadParameter(f"there is no folder {typed}; create it or choose another")
    return Path(typed)


Url = Annotated[
    str,
    typer.Option(
        callback=chosen_url,
        show_default=False,
        help=f"URL of the service; default: HUNYUAN_URL, or {DEFAULT_URL}.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        callback=_key,
        show_default=False,
        help="Your API key, if the service requires one; default: HUNYUAN_API_KEY.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The id of the job.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="The ids of one or more jobs.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        parser=_path,
        metavar="FILE",
        help="File or folder to save to; default: a file named after the prompt.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
