"""Backups of the job store, and what is no backup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from hunyuan_runner.jobs.backup import BackupFailed, back_up, restore
from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import DataFolderUnusable, Folder, prepare_data_folder
from hunyuan_runner.storage.keys import checkpoint_key, video_key
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.storage.protocol import ObjectNotFound
from hunyuan_runner.wire import JobState
from tests.conftest import find_program
from tests.jobs.conftest import clip, emptied_database, environment
from tests.s3 import Server


@dataclass(frozen=True)
class Filled:
    """A job store with two jobs, of which one has files."""

    settings: Settings
    done: str
    waiting: str

    @classmethod
    def of(cls, settings: Settings) -> Filled:
        jobs, storage = Jobs(settings), open_storage(settings)
        done, waiting = jobs.submit(clip("one")).id, jobs.submit(clip("two")).id
        storage.put(video_key(done), b"a clip")
        storage.put(checkpoint_key(done), b"a checkpoint")
        jobs.close()
        return cls(settings, done, waiting)


def elsewhere(settings: Settings, folder: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings of a new data folder and, if it is on Postgres, of the emptied database."""
    changes: dict[str, object] = {"data_dir": folder}
    if settings.database_url is not None:
        changes["database_url"] = emptied_database(request.getfixturevalue("postgres"))
    return settings.model_copy(update=changes)


def is_as_it_was(settings: Settings, before: Filled) -> None:
    jobs, storage = Jobs(settings), open_storage(settings)
    assert {job.id: job.params.prompt for job in jobs.list().jobs} == {
        before.done: "one",
        before.waiting: "two",
    }
    assert jobs.counts()[JobState.PENDING] == 2  # which triggers count
    jobs.submit(clip("three"))
    assert jobs.counts()[JobState.PENDING] == 3
    assert storage.get(video_key(before.done)) == b"a clip"
    assert storage.get(checkpoint_key(before.done)) == b"a checkpoint"
    jobs.close()


def test_what_was_backed_up_is_restored(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    find_program("pg_dump", "postgresql-client")
    before = Filled.of(settings)
    made = back_up(settings, tmp_path / "backup")
    later = Jobs(settings)
    later.submit(clip("after the backup"))
    later.close()
    fresh = elsewhere(settings, tmp_path / "fresh", request)
    assert restore(fresh, tmp_path / "backup") == made
    is_as_it_was(fresh, before)
    kept = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "backup")) for path in kept} == {
        "manifest.json",
        *made.files,
    }
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled.of(Settings(data_dir=tmp_path / "data"))


@pytest.fixture
def made(filled: Filled, tmp_path: Path) -> Path:
    folder = tmp_path / "backup"
    back_up(filled.settings, folder)
    return folder


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def add_to_manifest(folder: Path, name: str) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    change_manifest(folder, files=files | {name: files["jobs.sqlite"]})


def truncate_video(folder: Path) -> None:
    (video,) = folder.rglob("video.mp4")
    video.write_bytes(b"a cl")


def delete_checkpoint(folder: Path) -> None:
    (checkpoint,) = folder.rglob("checkpoint.safetensors")
    checkpoint.unlink()


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
    "half a manifest": (
        lambda folder: os.truncate(folder / "manifest.json", 100),
        "cannot be read",
    ),
    "a file cut short": (truncate_video, "video.mp4 is not what was backed up"),
    "a file missing": (delete_checkpoint, "checkpoint.safetensors of the backup: No such file"),
    "a newer release": (
        lambda folder: change_manifest(folder, schema_version=SCHEMA_VERSION + 1, release="9.7.5"),
        "Install hunyuan-runner 9.7.5 or later",
    ),
    "a file outside": (
        lambda folder: add_to_manifest(folder, "../data/jobs.sqlite"),
        "not what was backed up",
    ),
    "another database": (
        lambda folder: change_manifest(folder, database="postgres"),
        "set HUNYUAN_DATABASE_URL",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_what_is_no_whole_backup_is_refused_and_nothing_is_written(
    made: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(made)
    with pytest.raises(BackupFailed, match=message):
        restore(Settings(data_dir=tmp_path / "fresh"), made)
    assert not (tmp_path / "fresh").exists()


def test_neither_a_backup_nor_a_restore_touches_a_folder_with_files(
    filled: Filled, made: Path
) -> None:
    before = filled.settings.sqlite_path.read_bytes()
    for attempt in (restore, back_up):
        with pytest.raises(BackupFailed, match="is not empty"):
            attempt(filled.settings, made)
    assert filled.settings.sqlite_path.read_bytes() == before
    disk = Settings(data_dir=made.parent / "disk")
    (disk.data_dir / "lost+found").mkdir(parents=True)  # as on a new one
    restore(disk, made)
    is_as_it_was(disk, filled)


@pytest.mark.slow
def test_a_killed_backup_is_no_backup(filled: Filled, tmp_path: Path) -> None:
    die = (
        "def die(path, data, write=backup._write):\n"
        "    if path.name == backup.MANIFEST: os.kill(os.getpid(), 9)\n"
        "    return write(path, data)\n"
        "backup._write = die\n"
    )
    run_until_killed(
        filled.settings, die + f"backup.back_up(Settings(), Path({str(tmp_path / 'b')!r}))"
    )
    assert list((tmp_path / "b").rglob("video.mp4"))
    with pytest.raises(BackupFailed, match="was not completed"):
        restore(Settings(data_dir=tmp_path / "fresh"), tmp_path / "b")


@pytest.mark.slow
def test_a_service_does_not_start_on_half_a_restore(made: Path, tmp_path: Path) -> None:
    die = "def die(self, key, data): os.kill(os.getpid(), 9)\nbackup.Folder.put = die\n"
    fresh = Settings(data_dir=tmp_path / "fresh")
    run_until_killed(fresh, die + f"backup.restore(Settings(), Path({str(made)!r}))")
    with pytest.raises(DataFolderUnusable, match=r"did not finish\. Empty the folder"):
        prepare_data_folder(fresh)
    with pytest.raises(BackupFailed, match="is not empty"):
        restore(fresh, made)


def run_until_killed(settings: Settings, program: str) -> None:
    imports = (
        "import os; from pathlib import Path; from hunyuan_runner.jobs import backup\n"
        "from hunyuan_runner.settings import Settings\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", imports + program], env=os.environ | environment(settings)
    )
    assert killed.returncode == -signal.SIGKILL


def test_a_file_that_is_deleted_meanwhile_is_left_out(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Folder.get

    def get_late(self: Folder, key: str) -> bytes:
        if key.endswith("video.mp4"):
            raise ObjectNotFound(key)
        return get(self, key)

    monkeypatch.setattr(Folder, "get", get_late)
    made = back_up(filled.settings, tmp_path / "backup")
    assert not any(name.endswith("video.mp4") for name in made.files)
    monkeypatch.undo()
    restore(Settings(data_dir=tmp_path / "fresh"), tmp_path / "backup")


def test_the_database_is_backed_up_alone_where_files_have_backups_of_their_own(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNYUAN_API_KEYS", f"ana:{'0' * 64}")
    made = back_up(filled.settings, tmp_path / "backup", with_files=False)
    assert set(made.files) == {"jobs.sqlite", "keys.env"}
    keys = tmp_path / "backup/keys.env"
    assert keys.read_text() == f"HUNYUAN_API_KEYS=ana:{'0' * 64}\n"
    assert keys.stat().st_mode & 0o777 == 0o600
    fresh = Settings(data_dir=tmp_path / "fresh")
    restore(fresh, tmp_path / "backup")
    jobs = Jobs(fresh)
    assert jobs.get(filled.done).params.prompt == "one"
    jobs.close()


def test_files_are_backed_up_from_a_bucket_and_restored_to_an_empty_one(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    here = Settings(data_dir=tmp_path / "data", storage_url=f"{s3.url}/backed-up")
    before = Filled.of(here)
    back_up(here, tmp_path / "backup")
    there = Settings(data_dir=tmp_path / "fresh", storage_url=f"{s3.url}/restored")
    restore(there, tmp_path / "backup")
    is_as_it_was(there, before)
    again = there.model_copy(update={"data_dir": tmp_path / "again"})
    with pytest.raises(BackupFailed, match="bucket already has files"):
        restore(again, tmp_path / "backup")


def test_a_newer_database_is_not_backed_up_by_an_older_release(
    filled: Filled, tmp_path: Path
) -> None:
    jobs = Jobs(filled.settings)
    with jobs.database.begin() as connection:
        connection.execute(sa.text("UPDATE hunyuan_schema SET version = 900, release = '9.7.5'"))
    jobs.close()
    with pytest.raises(BackupFailed, match=r"Install hunyuan-runner 9\.7\.5"):
        back_up(filled.settings, tmp_path / "backup")


def test_without_a_database_or_pg_dump_the_message_says_what_to_do(
    postgres: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackupFailed, match=r"no job database .*Set HUNYUAN_DATA_DIR"):
        back_up(Settings(data_dir=tmp_path), tmp_path / "backup")
    url = emptied_database(postgres.set(password="secret"))
    settings = Settings(data_dir=tmp_path, database_url=url)
    with pytest.raises(BackupFailed, match=r"no job database .*HUNYUAN_DATABASE_URL"):
        back_up(settings, tmp_path / "backup")
    Jobs(settings).close()
    monkeypatch.setenv("PATH", "")
    advice = r"apt-get install postgresql-client.*pg_dump "
    with pytest.raises(BackupFailed, match=advice) as failed:
        back_up(settings, tmp_path / "backup")
    assert "secret" not in str(failed.value)
