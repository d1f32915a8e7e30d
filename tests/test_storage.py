"""Objects by key."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.bucket import Bucket
from hunyuan_runner.storage.folder import Folder
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.storage.protocol import (
    STREAM_CHUNK_BYTES,
    ObjectNotFound,
    Storage,
)


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("s3_bucket")
        return bucket
    return Folder(tmp_path / "objects")


def test_what_was_put_is_got_whole_and_in_part(storage: Storage) -> None:
    data = os.urandom(2 * STREAM_CHUNK_BYTES + 5)
    storage.put("a/b", data)
    assert storage.get("a/b") == data
    assert storage.size("a/b") == len(data)
    assert b"".join(storage.stream("a/b", 3, len(data) - 1)) == data[3:-1]


def test_a_file_is_put_by_its_path(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"clip")
    storage.put("a/b", file)
    assert storage.get("a/b") == b"clip"


def test_the_last_put_wins(storage: Storage) -> None:
    storage.put("a/b", b"old and longer")
    storage.put("a/b", b"new")
    assert storage.get("a/b") == b"new"


def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    for look in (storage.get, storage.size):
        with pytest.raises(ObjectNotFound):
            look("a/b")
    storage.delete("a/b")


def test_a_prefix_is_deleted_with_all_below_it_and_nothing_beside_it(storage: Storage) -> None:
    for key in ("jobs/1/a", "jobs/1/b", "jobs/10/a"):
        storage.put(key, b"")
    storage.delete_prefix("jobs/1")
    with pytest.raises(ObjectNotFound):
        storage.get("jobs/1/a")
    assert storage.get("jobs/10/a") == b""


def test_all_keys_below_a_prefix_are_listed(storage: Storage) -> None:
    for key in ("jobs/1/a", "jobs/1/b", "jobs/2/a", "other/1"):
        storage.put(key, b"")
    assert sorted(storage.keys("jobs")) == ["jobs/1/a", "jobs/1/b", "jobs/2/a"]
    assert list(storage.keys("none")) == []


def test_a_folder_that_is_still_written_to_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Folder(tmp_path)
    storage.put("jobs/1/a", b"")
    late, rmdir = ["jobs/1/b"], os.rmdir

    def rmdir_after_a_write(*arguments: Any, **options: Any) -> None:
        if late:
            storage.put(late.pop(), b"")
        rmdir(*arguments, **options)

    monkeypatch.setattr(os, "rmdir", rmdir_after_a_write)
    storage.delete_prefix("jobs/1")
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_folder_is_as_old_as_its_newest_object(tmp_path: Path) -> None:
    storage = open_storage(Settings(data_dir=tmp_path))
    for key in ("jobs/old/a", "jobs/mixed/a", "jobs/mixed/b", "jobs/new/a"):
        storage.put(key, b"")
    for key in ("jobs/old/a", "jobs/mixed/a"):
        os.utime(tmp_path / "objects" / key, (time.time() - 100,) * 2)
    for folder in ("jobs/old", "jobs/mixed"):
        os.utime(tmp_path / "objects" / folder, (time.time() - 100,) * 2)
    assert storage.folders_older_than("jobs", timedelta(seconds=50)) == {"old"}


def test_deleting_a_jobs_files_leaves_no_folder(tmp_path: Path) -> None:
    storage = open_storage(Settings(data_dir=tmp_path))
    storage.put("jobs/1/a", b"")
    storage.delete_prefix("jobs/1")
    assert list((tmp_path / "objects").glob("**/*")) == [tmp_path / "objects" / "jobs"]


PUTTING = """
import os, sys
from pathlib import Path
from hunyuan_runner.storage.folder import Folder

fifo = Path(sys.argv[2])  # of which nothing comes
Folder(Path(sys.argv[1])).put("jobs/1/video.mp4", fifo)
"""


def test_a_put_whose_process_was_killed_leaves_nothing_once_another_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hunyuan_runner.storage.folder.LOCKING_SECONDS", 0)
    root, fifo = tmp_path / "objects", tmp_path / "fifo"
    os.mkfifo(fifo)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PUTTING, str(root), str(fifo)]
    with subprocess.Popen(command, env=environment) as process, fifo.open("wb"):
        Folder(root).put("jobs/1/manifest.json", b"{}")
        Folder(root).delete_unfinished()
        assert len(list((root / "jobs/1").iterdir())) == 2  # it may be slow, but lives
        process.kill()
        process.wait()
        Folder(root).delete_unfinished()
        assert [path.name for path in (root / "jobs/1").iterdir()] == ["manifest.json"]


def test_a_put_that_fails_leaves_the_object_as_it_was(tmp_path: Path) -> None:
    storage = Folder(tmp_path)
    storage.put("jobs/1/a", b"old")
    with pytest.raises(IsADirectoryError):
        storage.put("jobs/1/a", tmp_path)
    assert storage.get("jobs/1/a") == b"old"
    assert [path.name for path in (tmp_path / "jobs/1").iterdir()] == ["a"]
