"""Files that are deleted after their process ends, in whatever way it does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hunyuan_runner.machine.scratch import Scratch

OWNER = """
import sys
from pathlib import Path
from hunyuan_runner.machine.scratch import Scratch

scratch = Scratch(Path(sys.argv[1]))
folder = scratch.folder / "tmp1234"
folder.mkdir()
(folder / "video.mp4").write_bytes(b"unfinished")
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a folder of its own in tmp_path; it prints which."""
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        yield process
        process.kill()


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_has_is_not(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    old = time.time() - 7 * 24 * 3600
    os.utime(folder.parent, (old, old))  # its age does not matter
    ours = Scratch(tmp_path)
    assert (folder / "video.mp4").exists()
    assert ours.folder != folder.parent

    owner.kill()
    owner.wait()
    Scratch(tmp_path)
    assert list(tmp_path.iterdir()) == [ours.folder]
    ours.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_before_it_is_needed_and_what_is_deleted_is_made_again(
    tmp_path: Path,
) -> None:
    scratch = Scratch(tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
    first = scratch.folder
    assert scratch.folder == first
    shutil.rmtree(tmp_path / "scratch")
    assert scratch.folder.is_dir()
    Scratch(tmp_path / "scratch")
    assert scratch.folder.is_dir()


def test_what_an_earlier_version_left_goes_a_day_later(tmp_path: Path) -> None:
    left = [tmp_path / "frames-1-a-1.npy", tmp_path / "tmpabc", tmp_path / "frames-2-b-1.npy"]
    left[0].touch()
    left[1].mkdir()
    left[2].touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in left[:2]:
        os.utime(path, (two_days_ago, two_days_ago))
    Scratch(tmp_path)
    assert list(tmp_path.iterdir()) == left[2:]
