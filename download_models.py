"""Fetch a model, whole and checked, into the folder where the service looks for it.

python download_models.py --list
python download_models.py hunyuanvideo --accept-licence
python download_models.py hunyuanvideo --verify
python download_models.py hunyuanvideo --quantise int8
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import httpx2  # what huggingface_hub speaks HTTP with: its errors come through
import typer
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
from hunyuan_runner.manifest import DOWNLOAD_NOTE, file_sha256
from hunyuan_runner.settings import Settings, get_settings

INDEX = "model_index.json"
CONFIGS = {"config.json", "scheduler_config.json", "tokenizer_config.json"}
PICKLES = (".bin", ".pt", ".pth", ".ckpt")  # the same weights again, in a form that can run code
CHUNK = 2**24

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
        _install(model, settings.models_dir, accept_licence)
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


def _install(model: Model, models_dir: Path, accept_licence: bool) -> None:
    folder = models_dir / model.id
    partial = models_dir / f"{model.id}.partial"  # nobody takes it for a model
    if _is_installed(folder):
        out.print(f"{model.id} is installed: {folder}")
        return
    if model.repo is None:
        _fail(f"{model.id} is not downloaded: it comes with this project, in models/{model.id}")
    if model.licence == HUNYUAN_LICENCE and not accept_licence:
        out.print(TERMS.format(title=model.title, licence_url=LICENCE_URL), soft_wrap=True)
        raise typer.Exit(1)
    try:
        _download(model.repo, model.revision, partial)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        _fail(f"{model.repo} could not be fetched: {error}\nRun this again to go on from here.")
    except KeyboardInterrupt:
        err.print(
            f"Stopped. Run this again to go on; what is here so far is in {partial}", soft_wrap=True
        )
        raise typer.Exit(130) from None
    if problems := _problems(partial):
        for path in problems:
            if (partial / path).is_file():
                (partial / path).unlink()
        _fail(f"{_told(problems)}\nRun this again to fetch what is broken anew.")
    partial.rename(folder)
    out.print(f"{model.id} is installed: {folder}")


def _quantise(folder: Path) -> None:
    if (folder / QUANTIZED_TRANSFORMER).exists():
        out.print(f"{folder.name} is in int8 already: {folder / QUANTIZED_TRANSFORMER}")
        return
    from hunyuan_runner.engine.quantize import quantize

    size = _bytes_in(folder / TRANSFORMER)
    try:
        _require_space(folder, size)
        with Progress(console=err) as progress:
            task = progress.add_task("quantising", total=None)
            quantize(folder, lambda done, of: progress.update(task, completed=done, total=of))
    except (OSError, SafetensorError) as error:
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

    def fetch(file: File) -> None:
        _fetch(hf_hub_url(repo, file.path, revision=commit), file, folder)

    info = HfApi(token=False).model_info(repo, revision=revision, files_metadata=True)
    commit = info.sha
    files = {file.path: file for file in map(_file, info.siblings or ())}
    if INDEX not in files:
        raise OSError(f"{repo} is no diffusers model: it has no {INDEX}")
    folder.mkdir(parents=True, exist_ok=True)
    fetch(files[INDEX])
    components = _components(folder)
    wanted = [file for file in files.values() if _is_wanted(file.path, components)]
    _require_space(folder, sum(file.size for file in wanted) - _bytes_in(folder))
    manifest = {"repo": repo, "commit": commit, "files": [asdict(file) for file in wanted]}
    (folder / DOWNLOAD_NOTE).write_text(json.dumps(manifest, indent=2))
    for file in wanted:
        fetch(file)
    if not any(path.name.upper().startswith("NOTICE") for path in folder.iterdir()):
        (folder / "NOTICE").write_text(NOTICE)


def _file(sibling: Any) -> File:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return File(sibling.rfilename, sibling.size, digest)


def _is_wanted(path: str, components: list[str]) -> bool:
    """Whether to fetch a path that a stranger named: at most one folder deep, and no pickle."""
    match path.split("/"):
        case [name]:
            return name == INDEX or name.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))
        case [folder, name]:
            return folder in components and name != ".." and not name.endswith(PICKLES)
    return False


def _fetch(url: str, file: File, folder: Path) -> None:
    """Fetch one file, from where an earlier attempt stopped.

    huggingface_hub's snapshot_download would begin a file anew, and a file may have 10 GB.
    """
    from huggingface_hub.file_download import http_get

    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return
    target.parent.mkdir(exist_ok=True)
    incomplete = target.with_name(f"{target.name}.{file.digest[:12]}.incomplete")
    with incomplete.open("ab") as content:
        http_get(
            url,
            content,
            resume_size=content.tell(),
            expected_size=file.size,
            displayed_filename=file.path,
        )
    incomplete.replace(target)


def _require_space(folder: Path, missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise OSError(
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
    return found


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
    shards = {name: set[str]() for name in names if name.endswith(".safetensors")}
    for name in names:
        if name.endswith(".safetensors.index.json"):
            try:
                for tensor, shard in _read_json(folder / component / name)["weight_map"].items():
                    shards.setdefault(shard, set()).add(tensor)
            except (ValueError, KeyError):
                yield f"{component}/{name}", "is no index of weights"
    if not shards:
        yield component, "has no weights"
    for shard, tensors in shards.items():
        if problem := _shard_problem(folder / component / shard, tensors):
            yield f"{component}/{shard}", problem


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
