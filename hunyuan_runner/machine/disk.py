"""How much room the disk of the data folder has, and how much of it is kept for jobs under way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings  # which the client does not have

# The frames of the largest clip take a third of this while they are made into files.
LARGEST_RESERVE = 10**9
RESERVED_SHARE = 0.05  # of a small disk
LAST_SHARE = 0.5  # of the reserve, for the jobs under way alone


@dataclass(frozen=True)
class Room:
    """The bytes that are free, and those below which jobs are refused and left waiting."""

    size: int
    free: int
    needed_to_accept: int
    needed_to_begin: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The room on the disk of the data folder, or of the folder in which it will be made."""
        folder = settings.data_dir.absolute()
        while not folder.exists():
            folder = folder.parent
        disk = shutil.disk_usage(folder)
        reserve = settings.disk_reserve_bytes
        if reserve is None:
            reserve = min(LARGEST_RESERVE, round(disk.total * RESERVED_SHARE))
        return cls(disk.total, disk.free, reserve, round(reserve * LAST_SHARE))

    @property
    def accepts_jobs(self) -> bool:
        """Whether a new job may be queued."""
        return self.free >= self.needed_to_accept

    @property
    def begins_jobs(self) -> bool:
        """Whether a worker may begin a job from the queue."""
        return self.free >= self.needed_to_begin

    @property
    def too_little(self) -> str:
        """Why no job is accepted, and what to do."""
        return (
            f"The disk of the data folder has {amount(self.free)} left; new jobs are refused "
            f"until it has {amount(self.needed_to_accept)}, so that jobs under way can finish. "
            "Delete jobs that have ended, or other files."
        )


def amount(size: float) -> str:
    """A number of bytes in words: 62 kB, 4.1 MB, 410 MB, 1.0 GB."""
    units = ((1e9, "GB"), (1e6, "MB"), (0, "kB"))
    least, unit = next(each for each in units if size >= each[0])
    number = size / (least or 1e3)
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
