"""The version of the job database's tables, without SQLAlchemy: the process that starts the others
compares it, too.
"""

from __future__ import annotations

from pathlib import Path

from hunyuan_runner import __version__

_FILES = Path(__file__).with_name("steps").glob("v*.py")
SCHEMA_VERSION = max(int(file.stem.removeprefix("v")) for file in _FILES)


class StoreUnusable(Exception):
    """The job store can be used neither now nor later."""


def refuse_newer(version: int) -> None:
    """Raises StoreUnusable if a job database of this version was written by a newer release."""
    if version > SCHEMA_VERSION:
        raise StoreUnusable(
            f"the job database has schema version {version}, and hunyuan-runner {__version__} "
            f"knows versions up to {SCHEMA_VERSION}: a newer hunyuan-runner has written to it. "
            "Start that one or a later one; or restore a backup from before it was started."
        )
