"""Retries what may succeed later: a full disk, a killed ffmpeg, a bucket that does not answer."""

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
PAUSES = (1, 2, 4, 8, 15, 30)  # seconds after each try; the last one repeats
TRIES = 4  # if waiting will hardly help

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Trouble:
    """Why a try failed."""

    code: str
    message: str
    passes: bool  # it will probably pass within minutes


def persevere(
    attempt: Callable[[], Result], pause: Callable[[float], None], patience_seconds: float
) -> Result:
    """The result of `attempt`, which is retried after each `pause`.

    Raises GenerationFailed after TRIES tries or, if the trouble may pass, after `patience_seconds`.
    Other exceptions of `attempt` and `pause` are raised at once.
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
                    "Fix this, then retry the job: it resumes from its last step.",
                ) from error
            logger.warning("%s Retrying.", trouble.message, exc_info=True)
        pause(PAUSES[min(tries, len(PAUSES)) - 1])
    raise AssertionError("count() ends")


def _trouble(error: Exception) -> _Trouble:
    match error:
        case MediaError(disk_full=True):
            return _Trouble("disk_full", DISK_FULL, passes=True)
        case OSError() if error.errno in NO_ROOM:
            return _Trouble("disk_full", DISK_FULL, passes=True)
        case OSError(errno=errno.ENOMEM | errno.EAGAIN) | MemoryError():
            return _Trouble("out_of_memory", "The worker is out of memory.", passes=True)
        case StorageFailed():
            return _Trouble("storage_failed", f"{error}.".replace("..", "."), passes=True)
        case OSError():
            reason = error.strerror or str(error)
            return _Trouble("storage_failed", f"The worker's disk failed: {reason}.", passes=True)
        case _:
            return _Trouble(
                "publishing_failed", f"The files could not be made: {error}.", passes=False
            )


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"
