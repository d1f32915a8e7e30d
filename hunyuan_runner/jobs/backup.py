"""Backs up the job database and the files of the jobs while the service runs, and restores them.

A backup is a folder. First the database is copied, as it is at one moment, then the files. So every
job that is completed in the copy has its clip, unless somebody deletes the job meanwhile; and every
job under way has a checkpoint of that moment or a later one, from which it continues.

manifest.json is written last. It has the digest of every other file: a folder without it, or with a
file that differs, is no backup.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from hunyuan_runner import __version__
from hunyuan_runner.jobs.database import database_of
from hunyuan_runner.jobs.opening import schema_found
from hunyuan_runner.jobs.schema import known_version
from hunyuan_runner.jobs.schema_version import StoreUnusable, refuse_newer
from hunyuan_runner.jobs.unavailable import JobsUnavailable, reason_of
from hunyuan_runner.machine.disk import amount
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import (
    UNFINISHED_RESTORE,
    DataFolderUnusable,
    Folder,
    prepare_data_folder,
)
from hunyuan_runner.storage.keys import JOBS_PREFIX
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.storage.protocol import ObjectNotFound, StorageFailed

MANIFEST = "manifest.json"
OBJECTS = "objects"
DUMPS = {"sqlite": "jobs.sqlite", "postgres": "postgres.dump"}
KEYS = "keys.env"  # the settings that a restored service needs to know its users again
NO_RIGHTS = ("--no-owner", "--no-privileges")  # the users of the restored database may be others
READABLE_BY_OWNER, FOLDER_OF_OWNER = 0o600, 0o700
MADE_BY_THE_SYSTEM = "lost+found"

Kind = Literal["sqlite", "postgres"]


class BackupFailed(Exception):
    """The backup or the restore was not done; the message says why, and what to do."""


class FileOfBackup(BaseModel):
    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class BackupManifest(BaseModel):
    """What a backup consists of. `files` are paths in its folder."""

    model_config = ConfigDict(frozen=True)

    release: str
    schema_version: int
    database: Kind
    created_at: datetime
    with_files: bool
    files: dict[str, FileOfBackup]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def back_up(settings: Settings, folder: Path, *, with_files: bool = True) -> BackupManifest:
    """Copy the jobs and their files into a new folder; the service may run.

    Without files, the backup has the database alone, for a bucket with backups of its own. Raises
    BackupFailed.
    """
    folder = folder.absolute()
    _require_empty(folder)
    with _failing(f"the backup in {folder} is not complete"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(FOLDER_OF_OWNER)
        kind = _kind(settings)
        version = schema_found(settings)
        if version is None:
            raise BackupFailed(f"there is no job database of {_place(settings)}")
        files = {DUMPS[kind]: _dump(settings, kind, folder / DUMPS[kind])}
        if keys := _keys():
            files[KEYS] = _write(folder / KEYS, keys.encode())
        if with_files:
            files |= _copy_files(settings, folder)
        manifest = BackupManifest(
            release=__version__,
            schema_version=version,
            database=kind,
            created_at=datetime.now(UTC),
            with_files=with_files,
            files=files,
        )
        _write(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
    return manifest


def restore(settings: Settings, folder: Path) -> BackupManifest:
    """Make the empty data folder, database and bucket of the settings what the backup has.

    No service may run on them. Raises BackupFailed, and if the backup is at fault, changes nothing.
    """
    folder = folder.absolute()
    manifest = verified(folder)
    kind = _kind(settings)
    if kind != manifest.database:
        wanted = "unset HUNYUAN_DATABASE_URL" if kind == "postgres" else "set HUNYUAN_DATABASE_URL"
        raise BackupFailed(f"the backup in {folder} is of a {manifest.database} database: {wanted}")
    data_dir = settings.data_dir.absolute()
    _require_empty(data_dir)
    with _failing(f"the restore into {data_dir} is not complete: empty it, then try again"):
        _require_room(data_dir, manifest.size)
        storage = open_storage(settings)
        if manifest.with_files and next(storage.keys(JOBS_PREFIX), None) is not None:
            raise BackupFailed("the bucket already has files of jobs. Name an empty prefix")
        if kind == "postgres":
            _require_empty_database(settings)
        prepare_data_folder(settings)
        unfinished = data_dir / UNFINISHED_RESTORE
        _write(unfinished, b"")
        source = Folder(folder / OBJECTS)
        for name in manifest.files:
            if name.startswith(f"{OBJECTS}/"):
                key = name.removeprefix(f"{OBJECTS}/")
                storage.put(key, source.get(key))
        if kind == "sqlite":
            _write(settings.sqlite_path, (folder / DUMPS[kind]).read_bytes())
        else:
            command = ["pg_restore", *NO_RIGHTS, "--single-transaction", "--exit-on-error"]
            _run_postgres(settings, [*command, "--dbname", "{url}", str(folder / DUMPS[kind])])
        unfinished.unlink()
    return manifest


def verified(folder: Path) -> BackupManifest:
    """The manifest of a backup, all of whose files are whole. Raises BackupFailed."""
    try:
        manifest = BackupManifest.model_validate_json((folder / MANIFEST).read_bytes())
        refuse_newer({"version": manifest.schema_version, "release": manifest.release})
    except FileNotFoundError as error:
        raise BackupFailed(
            f"{folder} has no {MANIFEST}: it is no backup, or one that was not completed"
        ) from error
    except (OSError, ValidationError) as error:
        raise BackupFailed(f"{folder / MANIFEST} cannot be read: {_reason(error)}") from error
    except StoreUnusable as error:
        raise BackupFailed(f"{folder} is of a newer release: {error}") from error
    for name, file in manifest.files.items():
        path = folder / name
        try:
            whole = path.resolve().is_relative_to(folder.resolve()) and _digest(path) == file
        except OSError as error:
            raise BackupFailed(f"{path} of the backup: {_reason(error)}") from error
        if not whole:
            raise BackupFailed(f"{path} is not what was backed up: use another backup")
    return manifest


def _kind(settings: Settings) -> Kind:
    return "sqlite" if settings.database_url is None else "postgres"


def _place(settings: Settings) -> str:
    """Where the settings say that the job database is."""
    if settings.database_url is None:
        return f"a service in {settings.data_dir.absolute()}. Set HUNYUAN_DATA_DIR"
    return "a service at HUNYUAN_DATABASE_URL. Set it to the service's own"


def _keys() -> str:
    """The settings in the environment that users depend on, one a line."""
    names = ("HUNYUAN_API_KEYS", "HUNYUAN_WEBHOOK_SECRET")
    return "".join(f"{name}={os.environ[name]}\n" for name in names if os.environ.get(name))


def _copy_files(settings: Settings, folder: Path) -> dict[str, FileOfBackup]:
    """Copy every file of a job. One that is deleted meanwhile is left out."""
    storage, copies = open_storage(settings), Folder(folder / OBJECTS)
    files: dict[str, FileOfBackup] = {}
    for key in storage.keys(JOBS_PREFIX):
        try:
            data = storage.get(key)
        except ObjectNotFound:
            continue
        _require_room(folder, len(data))
        copies.put(key, data)
        files[f"{OBJECTS}/{key}"] = _of(data)
    return files


def _dump(settings: Settings, kind: Kind, target: Path) -> FileOfBackup:
    if kind == "sqlite":
        _copy_sqlite(settings.sqlite_path, target)
    else:
        command = ["pg_dump", "--format=custom", *NO_RIGHTS]
        _run_postgres(settings, [*command, "--file", str(target), "{url}"])
    target.chmod(READABLE_BY_OWNER)
    _sync(target)
    return _digest(target)


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy the database as it is at one moment, while others write to it."""
    _require_room(target.parent, source.stat().st_size)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, with all that is in it
        if (found := copy.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise BackupFailed(f"the job database {source} is damaged: {found}")


def _run_postgres(settings: Settings, command: list[str]) -> None:
    """Run a program of Postgres with the URL of the database in place of {url}."""
    assert settings.database_url is not None
    url = sa.make_url(settings.database_url.get_secret_value()).set(drivername="postgresql")
    password = {"PGPASSWORD": str(url.password)} if url.password is not None else {}
    public = url._replace(password=None).render_as_string()
    command = [part.replace("{url}", public) for part in command]
    program = shutil.which(command[0])
    if program is None:
        raise BackupFailed(
            f"{command[0]} is not installed. Install Postgres's client programs (on Debian: "
            f"apt-get install postgresql-client); this runs: {' '.join(command)}"
        )
    done = subprocess.run([program, *command[1:]], env=os.environ | password, capture_output=True)
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise BackupFailed(f"{command[0]} failed: {said}")


def _require_empty_database(settings: Settings) -> None:
    database = database_of(settings)
    try:
        with database.connect() as connection:
            if known_version(connection) is not None:
                raise BackupFailed("the database already has jobs. Name an empty one")
    finally:
        database.dispose()


def _require_empty(folder: Path) -> None:
    try:
        left = [path.name for path in folder.iterdir() if path.name != MADE_BY_THE_SYSTEM]
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupFailed(f"{folder} cannot be used: {_reason(error)}") from error
    if left:
        raise BackupFailed(f"the folder {folder} is not empty. Name one that is, or a new one")


def _require_room(folder: Path, size: int) -> None:
    """Raises BackupFailed if so many bytes would fill the disk."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size:
        raise BackupFailed(
            f"the disk of {folder} has {amount(free)} left, and {amount(size)} are needed. "
            "Free space, or name a folder on another disk"
        )


@contextmanager
def _failing(outcome: str) -> Iterator[None]:
    """Raise what disks, databases and buckets raise as BackupFailed."""
    try:
        yield
    except (
        *(OSError, sqlite3.Error, JobsUnavailable),
        *(StorageFailed, DataFolderUnusable, StoreUnusable),
    ) as error:
        raise BackupFailed(f"{outcome}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or reason_of(error)


def _write(path: Path, data: bytes) -> FileOfBackup:
    """Write a file that is there whole or not at all, also after a power failure."""
    part = path.with_name(f"{path.name}.part")
    with open(part, "wb", opener=lambda name, how: os.open(name, how, READABLE_BY_OWNER)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync(path.parent)
    return _of(data)


def _sync(path: Path) -> None:
    """Have the disk keep a file, or a folder's list of files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _of(data: bytes) -> FileOfBackup:
    return FileOfBackup(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _digest(path: Path) -> FileOfBackup:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileOfBackup(size=path.stat().st_size, sha256=digest)
