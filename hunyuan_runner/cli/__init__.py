"""The `hunyuan` command: submit a clip, follow it, fetch it."""

from collections.abc import Callable

import typer

from hunyuan_runner.cli.clips import download, estimate, generate, reproduce
from hunyuan_runner.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_UNAVAILABLE
from hunyuan_runner.cli.queue import cancel, delete, jobs, pause, resume, retry, status
from hunyuan_runner.cli.services import check, info, new_key, serve

app = typer.Typer(
    help="Text-to-video by a hunyuan-runner service.",
    epilog=f"Exit codes: 0 done; {EXIT_REFUSED} refused, or the job failed; 2 wrong usage; "
    f"{EXIT_UNAVAILABLE} no service answers; {EXIT_INTERRUPTED} interrupted.",
    no_args_is_help=True,
    add_completion=False,
)
keys = typer.Typer(help="API keys, which say whose a job is.", no_args_is_help=True)
app.add_typer(keys, name="keys")
COMMANDS: tuple[Callable[..., None], ...] = (
    *(generate, estimate, download, reproduce),
    *(jobs, status, cancel, retry, pause, resume, delete),
    *(info, check, serve),
)
for command in COMMANDS:
    app.command()(command)
keys.command("new")(new_key)
