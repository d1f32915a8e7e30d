"""Retrying what may succeed later, and the errors if it does not."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hunyuan_runner.engine.process import GenerationFailed
from hunyuan_runner.engine.stop import Stop, Stopped
from hunyuan_runner.jobs.perseverance import TRIES, persevere
from hunyuan_runner.media import MediaError
from hunyuan_runner.storage.protocol import StorageFailed

KILLED = MediaError(Path("clip.mp4"), "was killed (SIGKILL)", "")
FULL = MediaError(Path("clip.mp4"), "failed", "write error: No space left on device")
TROUBLES = [
    pytest.param(KILLED, "publishing_failed", "was killed (SIGKILL) on clip.mp4", id="ffmpeg"),
    pytest.param(FULL, "disk_full", "disk is full", id="ffmpeg's disk"),
    pytest.param(OSError(errno.ENOSPC, "none left"), "disk_full", "disk is full", id="disk"),
    pytest.param(OSError(errno.EDQUOT, "enough"), "disk_full", "disk is full", id="quota"),
    pytest.param(OSError(errno.EIO, "broken"), "storage_failed", "broken", id="hardware"),
    pytest.param(StorageFailed("no answer"), "storage_failed", "no answer", id="bucket"),
    pytest.param(OSError(errno.ENOMEM, "none"), "out_of_memory", "out of memory", id="memory"),
]


class Paused:
    """Remembers pauses in place of waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def failing(error: Exception, times: int) -> Callable[[], str]:
    def answers() -> Iterator[str]:
        yield "published"

    left, answer = [error] * times, answers()

    def attempt() -> str:
        if left:
            raise left.pop()
        return next(answer)

    return attempt


@pytest.mark.parametrize(("error", "code", "words"), TROUBLES)
def test_what_passes_is_waited_for(error: Exception, code: str, words: str) -> None:
    pause = Paused()
    assert persevere(failing(error, TRIES - 1), pause, 900) == "published"
    assert pause.seconds == [1, 2, 4]


@pytest.mark.parametrize(("error", "code", "words"), TROUBLES)
def test_what_does_not_pass_is_said_with_its_cause(error: Exception, code: str, words: str) -> None:
    with pytest.raises(GenerationFailed) as failure:
        persevere(failing(error, 100), Paused(), 0)
    assert failure.value.code == code
    assert words in failure.value.message
    assert "retry the job" in failure.value.message


def test_a_full_disk_is_waited_for_longer_than_an_encoder_that_fails() -> None:
    pause = Paused()
    assert persevere(failing(OSError(errno.ENOSPC, "full"), 40), pause, 900) == "published"
    assert pause.seconds[-1] == 30
    with pytest.raises(GenerationFailed, match=f"tried {TRIES} times"):
        persevere(failing(KILLED, 40), Paused(), 900)


def test_a_stop_ends_the_wait() -> None:
    def stopped(seconds: float) -> None:
        raise Stopped(Stop.SHUTDOWN)

    with pytest.raises(Stopped):
        persevere(failing(KILLED, 1), stopped, 900)


def test_other_errors_are_not_tried_again() -> None:
    with pytest.raises(KeyError):
        persevere(failing(KeyError("a mistake in the code"), 1), Paused(), 900)
