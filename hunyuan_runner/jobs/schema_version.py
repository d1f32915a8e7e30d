"""The version of the job database's tables, without SQLAlchemy: the process that starts the others
compares it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hunyuan_runner import __version__

SELECT_VERSION = "SELECT * FROM hunyuan_schema"  # whatever columns a later version adds
_FILES = Path(__file__).with_name("steps").glob("v*.py")
SCHEMA_VERSION = max(int(file.stem.removeprefix("v")) for file in _FILES)


class StoreUnusable(Exception):
    """The job store can be used neither now nor later."""


def refuse_newer(row: Mapping[str, Any]) -> None:
    """Raises StoreUnusable if a newer release wrote this row of `hunyuan_schema`.

    Rows of version 5 and earlier name no release.
    """
    if row["version"] > SCHEMA_VERSION:
        release = row.get("release")
        needed = f"hunyuan-runner {release} or later" if release else "a newer hunyuan-runner"
        raise StoreUnusable(
            f"the job database has schema version {row['version']}, and hunyuan-runner "
            f"{__version__} knows versions up to {SCHEMA_VERSION}. Install {needed}; or restore a "
            "backup from before that one was started."
        )
