"""Fetch a model, whole and checked, into the folder where the service looks for it.

.venv/bin/python download_models.py --list
.venv/bin/python download_models.py fasthunyuan --accept-licence --quantise int8
.venv/bin/python download_models.py fasthunyuan --verify
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

import httpx2  # what huggingface_hub speaks HTTP with: its errors come through
import typer
from filelock import FileLock, Timeout
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress
from rich.table import Table
from safetensors import SafetensorError, safe_open

from hunyuan_runner.catalogue import (
    HUNYUAN_LICENCE,
    MODELS,
    QUANTIZED_TRANSFORMER,
    TRANSFORMER,
    Model,
)
from hunyuan_runner.prompts.tokens import (
    CLIP,
    LLAMA,
    TokenizerUnusable,
    open_tokenizer,
    require_usable,
)
from hunyuan_runner.settings import Settings, get_settings
from hunyuan_runner.weights import (
    DOWNLOAD_NOTE,
    INDEX_SUFFIX,
    file_sha256,
    read_index,
    weight_files,
    weights_entry,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INDEX = "model_index.json"
CONFIGS = {"config.json", "scheduler_config.json", "tokenizer_config.json"}
CONFIG_SUFFIXES = (".json", ".txt", ".model", ".jinja")  # configurations and vocabularies
CHUNK = 2**24
PAUSES = (1, 2, 4, 8, 16, 32)  # seconds before the hub is asked again
LONGEST_PAUSE = 300  # seconds, whatever its Retry-After says
RANGE_NOT_SATISFIABLE = 416
FOR_NOW = (408, 429, 500, 502, 503, 504)  # statuses that another try may mend

TERMS = """\
The weights of {title} come under the Tencent Hunyuan Community Licence. In our words:

  - They may not be used, nor what they generate, in the European Union, the United Kingdom
    or South Korea.
  - With more than 100 million monthly users you need Tencent's permission first.
  - What is shown in public must be marked as machine-generated; every MP4 carries such a mark.
  - Neither the weights nor what they generate may improve another AI model.
  - Whoever gets the weights, or a service that uses them, gets the agreement; its notice goes
    wherever the weights go.

What binds you is the agreement itself: {licence_url}
If you accept it, run this again with --accept-licence."""
LICENCE_URL = "https://github.com/Tencent-Hunyuan/HunyuanVideo/blob/main/LICENSE.txt"
NOTICE = f"""\
Tencent Hunyuan is licensed under the Tencent Hunyuan Community License Agreement,
Copyright © 2025 Tencent. All Rights Reserved. The trademark rights of “Tencent Hunyuan” are
owned by Tencent or its affiliate.

The agreement: {LICENCE_URL}
"""

Answer = TypeVar("Answer")

out = Console(markup=False, highlight=False)
err = Console(markup=False, highlight=False, stderr=True)


@dataclass(frozen=True)
class File:
    """A file as the hub describes it. `digest` is SHA-256 for big files, for others git's SHA-1."""

    path: str
    size: int
    digest: str


def main(
    model_id: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="An id of --list.")
    ] = None,
    list_models: Annotated[bool, typer.Option("--list", help="List the models.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Check an installed model.")] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You read the licence and accept it.")
    ] = False,
    quantise: Annotated[
        Literal["int8"] | None,
        typer.Option(help="Keep the transformer in int8 too: a start takes less time and memory."),
    ] = None,
    models_dir: Annotated[
        Path | None, typer.Option(help="Where models go; default: HUNYUAN_MODELS_DIR.")
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Fetch this commit, tag or branch; default: the commit that was tested."),
    ] = None,
) -> None:
    """Fetch, check, quantise and list models. A download cut off goes on where it stopped."""
    settings = get_settings()
    if models_dir is not None:
        settings = settings.model_copy(update={"models_dir": models_dir})
    if list_models:
        _list(settings)
        return
    if model_id is None or model_id not in MODELS:
        raise typer.BadParameter(f"must be one of {', '.join(MODELS)}", param_hint="MODEL")
    model = MODELS[model_id]
    if verify:
        _verify(model, settings.model_dir(model.id))
        return
    if model.repo is not None or quantise is None:
        if revision is not None:
            model = replace(model, revision=revision)
        _install(model, settings.models_dir / model.id, accept_licence)
    if quantise is not None:
        _quantise(settings.model_dir(model.id))


def _list(settings: Settings) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("model", "on disk", "parameters", "licence", "title"):
        table.add_column(header)
    for model in MODELS.values():
        folder = settings.model_dir(model.id)
        size = decimal(_bytes_in(folder)) if _is_installed(folder) else "not installed"
        parameters = f"{model.parameters / 1e6:,.0f} M"
        table.add_row(model.id, size, parameters, model.licence, model.title)
    out.print(table)


def _verify(model: Model, folder: Path) -> None:
    if not _is_installed(folder):
        _fail(f"{model.id} is not installed in {folder.parent}")
    if problems := _problems(folder):
        _fail(_told(problems))
    out.print(f"{model.id} is complete")


def _install(model: Model, folder: Path, accept_licence: bool) -> None:
    if _is_installed(folder):
        out.print(f"{model.id} is installed: {folder}")
        return
    if model.repo is None:
        _fail(f"{model.id} is not downloaded: it comes with this project")
    if model.licence == HUNYUAN_LICENCE and not accept_licence:
        out.print(TERMS.format(title=model.title, licence_url=LICENCE_URL), soft_wrap=True)
        raise typer.Exit(1)
    if problem := _not_a_place(folder):
        _fail(f"{model.id} cannot be put into {folder}: {problem}")
    folder = folder.resolve()  # a link leads to where there is room
    partial = folder.with_name(f"{folder.name}.partial")  # nobody takes it for a model
    try:
        with _locked(partial):
            if not _is_installed(folder):  # by another process, until just now
                _download(model.repo, model.revision, partial)
                _finish(partial, folder)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        _fail(f"{model.repo} could not be fetched: {error}\n{_remedy(error)}")
    except KeyboardInterrupt:
        err.print(
            f"Stopped. Run this again to go on; what is here so far is in {partial}", soft_wrap=True
        )
        raise typer.Exit(130) from None
    out.print(f"{model.id} is installed: {folder}")


def _not_a_place(folder: Path) -> str | None:
    """Why a model cannot be moved to this path once it is whole, if so."""
    if folder.is_symlink() and not folder.resolve().parent.is_dir():
        return f"it is a link to {folder.readlink()}, whose folder is missing. Mount or make it."
    if not folder.exists():
        return None
    if folder.is_mount():
        return "it is a mount point. Mount the folder above it, or name another with --models-dir."
    if not folder.is_dir():
        return "it is a file. Move it away."
    if any(folder.iterdir()):
        return f"it has other files, and no {INDEX}. Move them away."
    return None


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Keep others from fetching the same model into the same folder. Raises OSError."""
    partial.mkdir(parents=True, exist_ok=True)
    lock = partial.with_suffix(".lock")  # beside it, because the folder is renamed when it is whole
    try:
        with FileLock(lock, blocking=False):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise BusyError("another process is fetching it") from None


class BusyError(OSError):
    """Somebody else does what was asked for."""


def _finish(partial: Path, folder: Path) -> None:
    """Make a model of what was fetched. Raises OSError where that is not whole."""
    if problems := _problems(partial):
        for path in problems:
            if (partial / path).is_file():
                (partial / path).unlink()
        raise OSError(_told(problems))
    partial.rename(folder)


def _remedy(error: Exception) -> str:
    """What to do about a download that failed."""
    status = _status(error)
    if isinstance(error, BusyError):
        return "Wait for it, or stop it."
    if status in (401, 403, 404):
        return (
            "The hub does not have it, or not for everyone. See whether it moved, or name another "
            "--revision."
        )
    if isinstance(error, PermissionError):
        return "Make the folder writable, or name another with --models-dir."
    if isinstance(error, NoRoomError):
        return "Make room, or name another folder with --models-dir; then run this again."
    return "Run this again to go on from here."


def _status(error: Exception) -> int | None:
    """The HTTP status that an error is about."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _quantise(folder: Path) -> None:
    if (folder / QUANTIZED_TRANSFORMER).exists():
        out.print(f"{folder.name} is in int8 already: {folder / QUANTIZED_TRANSFORMER}")
        return
    if problems := _misread(folder):
        _fail(_told(problems))
    from hunyuan_runner.engine.quantize import quantize

    try:
        size = sum(path.stat().st_size for path in weight_files(folder / TRANSFORMER))
        _require_space(folder, size)
        with Progress(console=err) as progress:
            task = progress.add_task("quantising", total=None)
            quantize(folder, lambda done, of: progress.update(task, completed=done, total=of))
    except (OSError, ValueError, SafetensorError) as error:
        _fail(f"{folder.name} could not be quantised: {error}")
    out.print(
        f"{folder.name} is in int8, too: {folder / QUANTIZED_TRANSFORMER}. "
        f"If you want no other precision, {folder / TRANSFORMER} may be deleted.",
        soft_wrap=True,
    )


def _download(repo: str, revision: str | None, folder: Path) -> None:
    """Bring `folder` to hold what the pipeline needs of the repository."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the hub is imported
    from huggingface_hub import HfApi, hf_hub_url

    def fetch(path: str) -> Path:
        url = hf_hub_url(repo, path, revision=commit)
        _patiently(lambda: _fetch(url, files[path], folder))
        return folder / path

    api = HfApi(token=False)
    info = _patiently(lambda: api.model_info(repo, revision=revision, files_metadata=True))
    commit = info.sha
    files = {file.path: file for file in map(_file, info.siblings or ())}
    if INDEX not in files:
        raise OSError(f"{repo} is no diffusers model: it has no {INDEX}")
    fetch(INDEX)
    wanted = [path for path in files if _is_notice(path)] + [INDEX]
    for component in _components(folder):
        wanted += _wanted(component, files.keys(), fetch)
    _forget_others(folder, [files[path] for path in wanted])
    _require_space(folder, sum(files[path].size for path in wanted) - _bytes_in(folder))
    listed = [asdict(files[path]) for path in wanted]
    manifest = {"repo": repo, "commit": commit, "files": listed}
    (folder / DOWNLOAD_NOTE).write_text(json.dumps(manifest, indent=2))
    for path in wanted:
        fetch(path)
    if not any(path.name.upper().startswith("NOTICE") for path in folder.iterdir()):
        (folder / "NOTICE").write_text(NOTICE)


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again where the hub has too much to do, after as long as it wants."""
    from huggingface_hub.errors import HfHubHTTPError

    for pause in PAUSES:
        try:
            return ask()
        except HfHubHTTPError as error:
            if _status(error) not in FOR_NOW:
                raise
            wanted = error.response.headers.get("Retry-After", "")
            seconds = min(int(wanted), LONGEST_PAUSE) if wanted.isdecimal() else pause
            err.print(f"The hub answers {_status(error)}: asking again in {seconds} s")
            time.sleep(seconds)
    return ask()


def _file(sibling: Any) -> File:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return File(sibling.rfilename, sibling.size, digest)


def _is_notice(path: str) -> bool:
    return "/" not in path and path.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))


def _wanted(component: str, paths: Collection[str], fetch: Callable[[str], Path]) -> list[str]:
    """Of the paths that a stranger named, those that a component is loaded from.

    Its configurations, and its weights in the one form that is read: no pickles, which can run
    code, no variants such as fp16, no GGUF. `fetch` brings the index that names the weights' files.
    """
    folder = f"{component}/"
    names = {path.removeprefix(folder) for path in paths if path.startswith(folder)}
    names = {name for name in names if name == Path(name).name}
    chosen = {name for name in names if name.endswith(CONFIG_SUFFIXES) and ".index." not in name}
    entry = weights_entry(names)
    if entry is not None:
        chosen.add(entry)
        if entry.endswith(INDEX_SUFFIX):
            chosen |= names & set(read_index(fetch(folder + entry)).values())
    return [folder + name for name in sorted(chosen)]


def _forget_others(folder: Path, files: list[File]) -> None:
    """Delete what an earlier attempt fetched that is not wanted, as of another revision."""
    kept = {folder / DOWNLOAD_NOTE}
    for file in files:
        kept |= {folder / file.path, _incomplete(folder / file.path, file)}
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


def _incomplete(target: Path, file: File) -> Path:
    return target.with_name(f"{target.name}.{file.digest[:12]}.incomplete")


def _fetch(url: str, file: File, folder: Path) -> None:
    """Fetch one file, from where an earlier attempt stopped, or from its beginning where that
    attempt left what cannot be gone on from.

    huggingface_hub's snapshot_download would begin a file anew, and a file may have 10 GB.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return
    target.parent.mkdir(exist_ok=True)
    incomplete = _incomplete(target, file)
    with Bounded(io.FileIO(incomplete, "ab"), file.size) as content:
        fetched = content.tell()
        try:
            http_get(
                url,
                content,
                resume_size=fetched,
                expected_size=file.size,
                displayed_filename=file.path,
            )
        except (LongerThanAnnounced, HfHubHTTPError) as error:
            if isinstance(error, HfHubHTTPError) and _status(error) != RANGE_NOT_SATISFIABLE:
                raise
            incomplete.unlink()
            if fetched == 0:
                raise
    if not incomplete.exists():
        return _fetch(url, file, folder)
    incomplete.replace(target)


class LongerThanAnnounced(OSError):
    """The server sends more than the file has: another page, perhaps that of a login."""


class Bounded(io.BufferedWriter):
    """A file that takes no more than `limit` bytes. `write` raises LongerThanAnnounced."""

    def __init__(self, raw: io.FileIO, limit: int) -> None:
        super().__init__(raw)
        self._limit = limit

    def write(self, data: ReadableBuffer, /) -> int:
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise LongerThanAnnounced(
                f"more than its {self._limit} bytes come for {self.name}; is there a login page or "
                "a proxy in between?"
            )
        return super().write(data)


class NoRoomError(OSError):
    """The disk is too small."""


def _require_space(folder: Path, missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise NoRoomError(
            f"{decimal(missing)} are still to come, but {folder.parent} has room "
            f"for {decimal(free)} only"
        )


def _problems(folder: Path) -> dict[str, str]:
    """What is wrong with a model, by file."""
    try:
        components = _components(folder)
    except ValueError:
        return {INDEX: "is no JSON"}
    found = dict(_altered(folder))
    for component in components:
        found |= dict(_unusable(folder, component))
    return found | (_misread(folder) if {LLAMA, CLIP} <= set(components) else {})


def _misread(folder: Path) -> dict[str, str]:
    """A tokenizer by which a text encoder would read something else than the prompt."""
    try:
        require_usable(*(open_tokenizer(folder / part) for part in (LLAMA, CLIP)))
    except TokenizerUnusable as error:
        return {error.part: error.problem}
    return {}


def _altered(folder: Path) -> Iterator[tuple[str, str]]:
    """Files that are not as the hub has them. What was not downloaded has no manifest."""
    if not (folder / DOWNLOAD_NOTE).exists():
        return
    for file in json.loads((folder / DOWNLOAD_NOTE).read_text())["files"]:
        path = folder / file["path"]
        if path.parent.name == TRANSFORMER and _stands_in(folder, TRANSFORMER):
            continue
        if not path.is_file():
            yield file["path"], "is missing"
        elif (size := path.stat().st_size) != file["size"]:
            yield file["path"], f"has {size} bytes, not {file['size']}"
        elif _digest(path, file["digest"]) != file["digest"]:
            yield file["path"], "has another content than the hub's"


def _unusable(folder: Path, component: str) -> Iterator[tuple[str, str]]:
    """Files of one part of the pipeline that are missing, or are not what they should be."""
    component = _stands_in(folder, component) or component
    names = {path.name for path in (folder / component).glob("*")}
    if not names & CONFIGS:
        yield component, "has no configuration"
    if "config.json" not in names:
        return  # a tokenizer or a scheduler, without weights
    entry = weights_entry(names) or ""
    try:
        index = read_index(folder / component / entry) if entry.endswith(INDEX_SUFFIX) else {}
        shards = weight_files(folder / component)
    except ValueError:
        yield f"{component}/{entry}", "is not an index of weights"
        return
    if not shards:
        yield component, "has no weights"
    for shard in shards:
        tensors = {tensor for tensor, name in index.items() if name == shard.name}
        if problem := _shard_problem(shard, tensors):
            yield f"{component}/{shard.name}", problem


def _stands_in(folder: Path, component: str) -> str | None:
    """The int8 form, where it is there and the original is gone."""
    if component != TRANSFORMER or (folder / TRANSFORMER).exists():
        return None
    return QUANTIZED_TRANSFORMER if (folder / QUANTIZED_TRANSFORMER).exists() else None


def _shard_problem(path: Path, tensors: set[str]) -> str | None:
    if not path.is_file():
        return "is missing"
    try:
        with safe_open(path, framework="numpy") as shard:  # compares its header with its length
            absent = tensors - set(shard.keys())
    except SafetensorError as error:
        return f"is broken: {error}"
    return f"lacks {len(absent)} tensors, such as {min(absent)}" if absent else None


def _digest(path: Path, like: str) -> str:
    """SHA-256, or git's SHA-1 of a blob where the digest to compare with is as short as that."""
    if len(like) != 40:
        return file_sha256(path)
    hashed = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


def _components(folder: Path) -> list[str]:
    """The pipeline's parts, each in its folder: `"vae": ["diffusers", "Autoencoder…"]`."""
    index = _read_json(folder / INDEX)
    return [name for name, kind in index.items() if isinstance(kind, list) and None not in kind]


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content


def _is_installed(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _told(problems: dict[str, str]) -> str:
    return "\n".join(f"{path} {problem}" for path, problem in problems.items())


def _fail(message: str) -> NoReturn:
    err.print(f"Error: {message}", soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
