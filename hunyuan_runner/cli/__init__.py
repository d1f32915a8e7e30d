"""The `hunyuan` command: submit a clip, follow it, download it."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from hunyuan_runner import __version__
from hunyuan_runner.cli.autoscale import autoscale
from hunyuan_runner.cli.backups import backup, restore
from hunyuan_runner.cli.clips import download, estimate, generate, reproduce
from hunyuan_runner.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_UNAVAILABLE, complain
from hunyuan_runner.cli.display import EXIT_PIPE_CLOSED
from hunyuan_runner.cli.jobs import cancel, delete, jobs, pause, resume, retry, status
from hunyuan_runner.cli.models import models
from hunyuan_runner.cli.services import check, doctor, info, new_key, serve, upgrade
from hunyuan_runner.client import DEFAULT_URL

PLAIN = {"…": "...", "–": "-", "·": "|", "━": "-", "—": "-", "’": "'"}

commands = typer.Typer(
    rich_markup_mode=None,  # its boxes cut words on a narrow terminal
    help="Render clips from text with a hunyuan-runner service.",
    epilog=f"Exit codes: 0 success; {EXIT_REFUSED} request refused or job failed; 2 wrong usage; "
    f"{EXIT_UNAVAILABLE} service unreachable; {EXIT_INTERRUPTED} interrupted; "
    f"{EXIT_PIPE_CLOSED} output pipe closed.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys = typer.Typer(rich_markup_mode=None, help="Manage API keys.", no_args_is_help=True)
commands.add_typer(keys, name="keys")
commands.add_typer(models, name="models")
COMMANDS: tuple[Callable[..., None], ...] = (
    *(generate, estimate, download, reproduce),
    *(jobs, status, cancel, retry, pause, resume, delete),
    *(info, check, doctor, serve, upgrade, autoscale, backup, restore),
)
for command in COMMANDS:
    commands.command()(command)
keys.command("new")(new_key)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hunyuan-runner {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    url: Annotated[
        str, typer.Option(envvar="HUNYUAN_URL", help="URL of the service.")
    ] = DEFAULT_URL,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HUNYUAN_API_KEY", help="Your API key, if the service requires one."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Take --url and --api-key before the command too."""


def app() -> None:
    """Run the command named by the arguments and exit with its code."""
    codecs.register_error("plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None or another type if it is closed
            stream.reconfigure(errors="plain")
    try:
        commands()
    except OSError as error:  # from the terminal, or the file that receives the output
        complain(error)
        raise SystemExit(EXIT_REFUSED) from error


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the terminal's encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "?") for letter in lacking), error.end
