"""Fetching a model from the hub: the files the pipeline needs, resumed where an attempt stopped."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2  # huggingface_hub's HTTP client, whose errors it passes on

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # huggingface_hub reads it when imported

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get

from hunyuan_runner.catalogue import FastDecoder, WeightsFile
from hunyuan_runner.families.configuration import INDEX, TRANSFORMER
from hunyuan_runner.models.checking import altered, damaged, listed, misread
from hunyuan_runner.models.folder import (
    Busy,
    NoRoom,
    bytes_in,
    components,
    is_installed,
    locked,
    require_room,
)
from hunyuan_runner.models.licence import NOTICE
from hunyuan_runner.weights import DOWNLOAD_NOTE, INDEX_SUFFIX, read_index, weights_entry

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

TRANSFORMER_FILE = f"{TRANSFORMER}/diffusion_pytorch_model.safetensors"
CONFIG_SUFFIXES = (".json", ".txt", ".model", ".jinja")  # configurations and vocabularies
PAUSES = (1, 2, 4, 8, 16, 32)  # seconds before a request is repeated
LONGEST_PAUSE = 300  # seconds, even if the hub's Retry-After is longer
RANGE_NOT_SATISFIABLE = 416
TEMPORARY = (408, 429, 500, 502, 503, 504)  # statuses after which a request is repeated
NOT_FOR_US = (401, 403, 404)

Answer = TypeVar("Answer")
Say = Callable[[str], None]


class Misread(OSError):
    """What was fetched is a model that this version cannot compute."""


class DownloadFailed(Exception):
    """The model could not be fetched; the message ends with what to do."""


@dataclass(frozen=True)
class File:
    """A file as the hub describes it. `digest` is SHA-256 or, for small files, git's SHA-1."""

    path: str
    size: int
    digest: str


def fetch(
    repo: str,
    revision: str | None,
    partial: Path,
    folder: Path,
    say: Say,
    transformer: WeightsFile | None = None,
) -> None:
    """Fetch a repository into `partial`, check it, and rename that to `folder`. The weights of its
    transformer come from another repository, if `transformer` names them.

    `say` gets a line for a person about each long pause. Raises DownloadFailed; calling this again
    goes on with what is in `partial`.
    """
    try:
        with locked(partial):
            if not is_installed(folder):  # another process may have just finished it
                _download(repo, revision, partial, say, transformer)
                _finish(partial, folder)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise DownloadFailed(f"{repo} could not be fetched: {error}\n{_remedy(error)}") from error


def fetch_fast_decoder(decoder: FastDecoder, partial: Path, folder: Path, say: Say) -> None:
    """Fetch the weights of a fast decoder with their licence into `partial`, check them, and rename
    that to `folder`, in place of what is there. As fetch() otherwise."""
    pinned = (decoder.notice, decoder.weights)
    files = {each.url: File(each.name, each.size, each.sha256) for each in pinned}
    note = {"source": decoder.weights.url, "files": [asdict(file) for file in files.values()]}
    try:
        with locked(partial):
            (partial / DOWNLOAD_NOTE).write_text(json.dumps(note, indent=2))
            for url, file in files.items():
                _patiently(functools.partial(_fetch_file, url, file, partial), say)
            if problems := altered(partial):
                for path in problems:
                    (partial / path).unlink(missing_ok=True)
                raise OSError(listed(problems))
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        remedy = _remedy(error)
        if _status(error) in NOT_FOR_US:
            remedy = "A newer version of hunyuan-runner may know where it is now."
        raise DownloadFailed(f"{decoder.id} could not be fetched: {error}\n{remedy}") from error


def _finish(partial: Path, folder: Path) -> None:
    """Rename a complete download to the model's folder.

    Raises OSError if it is not complete, after deleting the files that are wrong, and Misread if
    this version would render something else than the model was trained for.
    """
    if problems := damaged(partial):
        for path in problems:
            if (partial / path).is_file():
                (partial / path).unlink()
        raise OSError(listed(problems))
    if problems := misread(partial):
        raise Misread(listed(problems))
    partial.rename(folder)


def _remedy(error: Exception) -> str:
    match error:
        case Busy():
            return "Wait for it, or stop it."
        case PermissionError():
            return "Make the folder writable, or name another with --models-dir."
        case Misread():
            return "Install a newer version of hunyuan-runner, or name another --revision."
        case NoRoom():
            return "Make room, or name another folder with --models-dir; then run this again."
        case _ if _status(error) in NOT_FOR_US:
            return (
                "The hub does not have it, or only for some users. See whether it has moved, or "
                "name another --revision."
            )
    return "Run this again to go on from here."


def _status(error: Exception) -> int | None:
    """The HTTP status that the error is about, if any."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _download(
    repo: str, revision: str | None, folder: Path, say: Say, transformer: WeightsFile | None
) -> None:
    """Fetch the files that the pipeline needs, and note their digests."""

    def fetched(path: str) -> Path:
        url = urls.get(path) or hf_hub_url(repo, path, revision=commit)
        _patiently(lambda: _fetch_file(url, files[path], folder), say)
        return folder / path

    commit, files = _listed(repo, revision, say)
    urls: dict[str, str] = {}  # of files from another repository
    source = {"repo": repo, "commit": commit}
    if transformer is not None:
        files = {path: file for path, file in files.items() if not _is_weights(path)}
        other_commit, others = _listed(transformer.repo, transformer.revision, say)
        if transformer.path not in others:
            raise OSError(f"{transformer.repo} has no {transformer.path}")
        files[TRANSFORMER_FILE] = replace(others[transformer.path], path=TRANSFORMER_FILE)
        urls[TRANSFORMER_FILE] = hf_hub_url(
            transformer.repo, transformer.path, revision=other_commit
        )
        source |= {"transformer_repo": transformer.repo, "transformer_commit": other_commit}
    if INDEX not in files:
        raise OSError(f"{repo} is not a diffusers model: it has no {INDEX}")
    fetched(INDEX)
    wanted = [path for path in files if _is_notice(path)] + [INDEX]
    for component in components(folder):
        wanted += _files_of(component, files.keys(), fetched)
    _delete_others(folder, [files[path] for path in wanted])
    require_room(folder, sum(files[path].size for path in wanted) - bytes_in(folder))
    manifest = {**source, "files": [asdict(files[path]) for path in wanted]}
    (folder / DOWNLOAD_NOTE).write_text(json.dumps(manifest, indent=2))
    for path in wanted:
        fetched(path)
    if not any(path.name.upper().startswith("NOTICE") for path in folder.iterdir()):
        (folder / "NOTICE").write_text(NOTICE)


def _listed(repo: str, revision: str | None, say: Say) -> tuple[str, dict[str, File]]:
    """The commit that is meant, and its files by their paths."""
    api = HfApi(token=False)
    info = _patiently(lambda: api.model_info(repo, revision=revision, files_metadata=True), say)
    assert info.sha is not None
    return info.sha, {file.path: file for file in map(_file, info.siblings or ())}


def _is_weights(path: str) -> bool:
    """Whether a file is of the transformer's weights, or names them."""
    folder, _, name = path.rpartition("/")
    return folder == TRANSFORMER and (".safetensors" in name)


def _patiently(ask: Callable[[], Answer], say: Say) -> Answer:
    """Repeat a request that the hub is too busy to answer, after the pause it asks for."""
    for pause in PAUSES:
        try:
            return ask()
        except HfHubHTTPError as error:
            if _status(error) not in TEMPORARY:
                raise
            wanted = error.response.headers.get("Retry-After", "")
            seconds = min(int(wanted), LONGEST_PAUSE) if wanted.isdecimal() else pause
            say(f"The hub answers {_status(error)}: asking again in {seconds} s")
            time.sleep(seconds)
    return ask()


def _file(sibling: Any) -> File:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return File(sibling.rfilename, sibling.size, digest)


def _is_notice(path: str) -> bool:
    return "/" not in path and path.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))


def _files_of(component: str, paths: Collection[str], fetched: Callable[[str], Path]) -> list[str]:
    """Of the repository's paths, which are untrusted, those that a component is loaded from.

    These are its configurations and its weights as safetensors: no pickles, which can run code, no
    variants such as fp16, no GGUF. `fetched` fetches the index that names the files of the weights.
    """
    folder = f"{component}/"
    names = {path.removeprefix(folder) for path in paths if path.startswith(folder)}
    names = {name for name in names if name == Path(name).name}
    chosen = {name for name in names if name.endswith(CONFIG_SUFFIXES) and ".index." not in name}
    entry = weights_entry(names)
    if entry is not None:
        chosen.add(entry)
        if entry.endswith(INDEX_SUFFIX):
            chosen |= names & set(read_index(fetched(folder + entry)).values())
    return [folder + name for name in sorted(chosen)]


def _delete_others(folder: Path, files: list[File]) -> None:
    """Delete what an earlier attempt fetched and this one does not want (another revision's)."""
    kept = {folder / DOWNLOAD_NOTE}
    for file in files:
        kept |= {folder / file.path, _incomplete(folder / file.path, file)}
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


def _incomplete(target: Path, file: File) -> Path:
    return target.with_name(f"{target.name}.{file.digest[:12]}.incomplete")


def _fetch_file(url: str, file: File, folder: Path) -> None:
    """Fetch one file from where an earlier attempt stopped; from its start if that is not possible.

    huggingface_hub's snapshot_download would always start again, and a file may have 10 GB.
    """
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return
    target.parent.mkdir(exist_ok=True)
    incomplete = _incomplete(target, file)
    with _Bounded(io.FileIO(incomplete, "ab"), file.size) as content:
        there = content.tell()
        try:
            http_get(
                url,
                content,
                resume_size=there,
                expected_size=file.size,
                displayed_filename=file.path,
            )
        except (_TooLong, HfHubHTTPError) as error:
            if isinstance(error, HfHubHTTPError) and _status(error) != RANGE_NOT_SATISFIABLE:
                raise
            incomplete.unlink()
            if there == 0:
                raise
    if not incomplete.exists():
        return _fetch_file(url, file, folder)
    incomplete.replace(target)


class _TooLong(OSError):
    """The server sends more than the file has: another page, perhaps that of a login."""


class _Bounded(io.BufferedWriter):
    """A file that takes at most `limit` bytes. `write` raises _TooLong."""

    def __init__(self, raw: io.FileIO, limit: int) -> None:
        super().__init__(raw)
        self._limit = limit

    def write(self, data: ReadableBuffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise _TooLong(
                f"the server sends more than the {self._limit} bytes of {self.name}; is there a "
                "login page or a proxy in between?"
            )
        return super().write(data)
