"""Options and arguments that several commands share."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from hunyuan_runner.params import GenerationRequest


def field(name: str, *flags: str) -> Any:
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
