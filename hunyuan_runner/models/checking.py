"""Whether a model's files are all there and as they were published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from hunyuan_runner.catalogue import FastDecoder, family_in, unknown_settings
from hunyuan_runner.families.configuration import (
    INDEX,
    QUANTIZED_TRANSFORMER,
    TRANSFORMER,
    UnknownModel,
)
from hunyuan_runner.models.folder import components
from hunyuan_runner.prompts.tokens import TokenizerUnusable, open_tokenizer, require_usable
from hunyuan_runner.weights import (
    DOWNLOAD_NOTE,
    INDEX_SUFFIX,
    file_sha256,
    read_index,
    weight_files,
    weights_entry,
)

CONFIGS = {"config.json", "scheduler_config.json", "tokenizer_config.json", "guider_config.json"}
CHUNK = 2**24
DIFFERS = "differs from the published file"
SHA1_DIGITS = 40


def problems_of(folder: Path) -> dict[str, str]:
    """What is wrong with a model, by file or component; empty if nothing is."""
    found = damaged(folder)
    return found if INDEX in found else found | misread(folder)


def problems_of_decoder(decoder: FastDecoder, folder: Path) -> dict[str, str]:
    """What is wrong with an installed fast decoder, by file; empty if nothing is."""
    if (folder / DOWNLOAD_NOTE).exists():
        return altered(folder)
    if file_sha256(folder / decoder.weights.name) == decoder.weights.sha256:
        return {}
    return {decoder.weights.name: DIFFERS}  # it was put there by hand


def damaged(folder: Path) -> dict[str, str]:
    """The files of a model that are missing, broken or altered, and what is wrong with each."""
    try:
        parts = components(folder)
    except ValueError:
        return {INDEX: "is not JSON"}
    found = altered(folder)
    for component in parts:
        found |= dict(_incomplete(folder, component))
    return found


def misread(folder: Path) -> dict[str, str]:
    """Why this version would not compute what the model was trained for, by file or component:
    settings that it does not know, and tokenizers that do not give the prompt to their text
    encoder. The index must not be damaged."""
    try:
        found = unknown_settings(folder)
    except UnknownModel as error:
        return dict(error.problems)
    readers = family_in(folder).readers
    if not {reader.folder for reader in readers} <= set(components(folder)):
        return found
    for reader in readers:
        if reader.quoted is not None:
            continue  # of bytes: it has no file to be wrong
        try:
            require_usable(reader, open_tokenizer(folder / reader.folder))
        except TokenizerUnusable as error:
            found[error.part] = error.problem
    return found


def listed(problems: dict[str, str]) -> str:
    """The problems, a line each."""
    return "\n".join(f"{path} {problem}" for path, problem in problems.items())


def altered(folder: Path) -> dict[str, str]:
    """Files that differ from those that were published, and what is wrong with each. Only what was
    downloaded has a list of them."""
    return dict(_altered(folder))


def _altered(folder: Path) -> Iterator[tuple[str, str]]:
    if not (folder / DOWNLOAD_NOTE).exists():
        return
    for file in json.loads((folder / DOWNLOAD_NOTE).read_text())["files"]:
        path = folder / file["path"]
        if path.parent.name == TRANSFORMER and _has_only_int8(folder):
            continue
        if not path.is_file():
            yield file["path"], "is missing"
        elif (size := path.stat().st_size) != file["size"]:
            yield file["path"], f"has {size} bytes, not {file['size']}"
        elif _digest(path, file["digest"]) != file["digest"]:
            yield file["path"], DIFFERS


def _incomplete(folder: Path, component: str) -> Iterator[tuple[str, str]]:
    """Files of one component that are missing or broken."""
    if component == TRANSFORMER and _has_only_int8(folder):
        component = QUANTIZED_TRANSFORMER
    names = {path.name for path in (folder / component).glob("*")}
    if not names & CONFIGS:
        yield component, "has no configuration"
    if "config.json" not in names:
        return  # a tokenizer or a scheduler, which have no weights
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


def _has_only_int8(folder: Path) -> bool:
    """Whether the original transformer was deleted after it was quantised."""
    return not (folder / TRANSFORMER).exists() and (folder / QUANTIZED_TRANSFORMER).exists()


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
    """The digest of the kind of `like`: SHA-256, or the SHA-1 by which git names a blob."""
    if len(like) != SHA1_DIGITS:
        return file_sha256(path)
    hashed = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()
