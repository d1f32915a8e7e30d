"""Job databases and data folders as earlier versions left them, written with their code.

dump.py writes those of a release. The ones that are named by a commit are older than the releases.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hunyuan_runner.jobs.database import database_of
from hunyuan_runner.settings import Settings

FOLDER = Path(__file__).parent
VERSIONS = sorted(file.name.removesuffix(".sqlite.sql") for file in FOLDER.glob("*.sqlite.sql"))
RELEASES = [version for version in VERSIONS if "." in version]


def restore(settings: Settings, version: str) -> None:
    """Make the job database what that version left."""
    if settings.database_url is None:
        settings.sqlite_path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(settings.sqlite_path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # as every version sets it
            connection.executescript((FOLDER / f"{version}.sqlite.sql").read_text())
        return
    database = database_of(settings)
    with database.begin() as connection:
        connection.exec_driver_sql((FOLDER / f"{version}.postgres.sql").read_text())
    database.dispose()
