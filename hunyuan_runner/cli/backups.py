"""The commands backup and restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hunyuan_runner.cli.connection import EXIT_REFUSED, complain
from hunyuan_runner.cli.display import err, out
from hunyuan_runner.cli.server import server_settings
from hunyuan_runner.machine.disk import amount


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A new folder for the backup, or an empty one.")
    ],
    without_files: Annotated[
        bool,
        typer.Option(
            "--without-files",
            help="Back up the job database alone, for a bucket with backups of its own.",
        ),
    ] = False,
) -> None:
    """Back up the jobs and files of this machine's service, which may be running."""
    settings = server_settings()
    from hunyuan_runner.jobs.backup import BackupFailed, back_up

    try:
        made = back_up(settings, folder, with_files=not without_files)
    except BackupFailed as error:
        complain(f"{error}.")
        raise typer.Exit(EXIT_REFUSED) from error
    count = f"{len(made.files)} files, {amount(made.size)}"
    out.print(f"Backed up into {folder}: {count}.", soft_wrap=True)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the backup.")],
) -> None:
    """Restore a backup into the empty data folder, database and bucket of the settings."""
    settings = server_settings()
    from hunyuan_runner.jobs.backup import KEYS, BackupFailed, restore

    try:
        made = restore(settings, folder)
    except BackupFailed as error:
        complain(f"{error}.")
        raise typer.Exit(EXIT_REFUSED) from error
    count = f"{len(made.files)} files, {amount(made.size)}"
    out.print(
        f"Restored into {settings.data_dir}: {count}, of {made.created_at:%Y-%m-%d %H:%M} UTC.",
        soft_wrap=True,
    )
    if KEYS in made.files:
        err.print(f"Start the service with the settings in {folder / KEYS}.", soft_wrap=True)
