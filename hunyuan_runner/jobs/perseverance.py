"""What failed for a reason that may pass is tried again: a full disk, a killed ffmpeg, a bucket."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from hunyuan_runner.engine.process import GenerationFailed
from hunyuan_runner.media import MediaError
from hunyuan_runner.storage.protocol import NO_ROOM, StorageFailed

DISK_FULL = "The worker's disk is full."
PAUSES = (1, 2, 4, 8, 15, 30)  # seconds after each try; the last one from then on
TRIES = 4  # where waiting will hardly help

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Trouble:
    """Why a try failed."""

    code: str
    message: str
    passes: bool  # in minutes, most likely


def persevere(
    attempt: Callable[[], Result], pause: Callable[[float], None], patience_seconds: float
) -> Result:
    """The result of `attempt`, tried again after each `pause` as long as there is hope.

    Raises GenerationFailed where there is none any more; what else `attempt` or `pause` raises
    comes through.
    """
    failed_at = None
    for tries in count(1):
        try:
            return attempt()
        except (MediaError, StorageFailed, MemoryError, OSError) as error:
            trouble = _trouble(error)
            failed_at = failed_at or time.monotonic()
            waited = time.monotonic() - failed_at
            if waited >= patience_seconds if trouble.passes else tries >= TRIES:
                raise GenerationFailed(
                    trouble.code,
                    f"{trouble.message} It was tried {_times(tries)} in {waited:.0f} seconds. "
                    "Retry the job once that is mended: it goes on from its last step.",
                ) from error
            logger.warning("%s Trying again.", trouble.message, exc_info=True)
        pause(PAUSES[min(tries, len(PAUSES)) - 1])
    raise AssertionError("count() ends")


def _trouble(error: Exception) -> _Trouble:
    match error:
        case MediaError(disk_full=True):
            return _Trouble("disk_full", DISK_FULL, passes=True)
        case OSError() if error.errno in NO_ROOM:
            return _Trouble("disk_full", DISK_FULL, passes=True)
        case OSError(errno=errno.ENOMEM | errno.EAGAIN) | MemoryError():
            return _Trouble("out_of_memory", "The worker gets no memory.", passes=True)
        case StorageFailed():
            return _Trouble("storage_failed", f"{error}.".replace("..", "."), passes=True)
        case OSError():
            reason = error.strerror or str(error)
            return _Trouble("storage_failed", f"The worker's disk failed: {reason}.", passes=True)
        case _:
            return _Trouble("publishing_failed", f"The files were not made: {error}.", passes=False)


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"
