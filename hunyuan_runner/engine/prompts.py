"""Prompts that were encoded before, as files: who asks for one again does not wait for it.

The text encoders of the 13B models are larger than many a model; a prompt that is rendered again
with another seed, or retried, needs none of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import torch

from hunyuan_runner.engine.checkpoint import Conditioning, model_fingerprint
from hunyuan_runner.engine.sealed import Damaged, seal, unseal
from hunyuan_runner.machine.host import cpu_name, package_versions
from hunyuan_runner.prompts.tokens import encoding_digest

MAX_BYTES = 512 * 2**20  # of the files in the folder
SUFFIX = ".prompt"

logger = logging.getLogger(__name__)


class PromptCache:
    """What the text encoders of one model made of prompts, in `folder`, which others may share.

    A file's name depends on all that its content does: a clip comes out the same with and without.
    """

    def __init__(self, folder: Path, model_dir: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._encoders = model_fingerprint(model_dir, "text_encoder*/*")
        self._tokens = encoding_digest(model_dir)

    def conditioning(self, prompt: str, encode: Callable[[str], Conditioning]) -> Conditioning:
        """That of `prompt`, for which `encode` is called where it is not at hand."""
        path = self._folder / f"{self._name(prompt)}{SUFFIX}"
        try:
            tensors, _ = unseal(path.read_bytes())
            os.utime(path)  # the least recently used goes first
        except FileNotFoundError:
            pass
        except (OSError, Damaged) as reason:
            logger.warning("Encoding a prompt anew, %s cannot be used: %s", path, reason)
        else:
            return tensors
        conditioning = encode(prompt)
        try:
            self._keep(path, seal(conditioning, {}))
        except OSError as reason:
            logger.warning("A prompt's encoding is not kept: %s", reason)
        return conditioning

    def _name(self, prompt: str) -> str:
        made_by = [
            self._encoders,
            self._tokens,
            torch.get_num_threads(),
            cpu_name(),
            package_versions(),
        ]
        return hashlib.sha256(json.dumps([*made_by, prompt]).encode()).hexdigest()

    def _keep(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._make_room()

    def _make_room(self) -> None:
        """Delete what goes beyond the bound: what was not used for longest."""
        used = 0
        for path, stat in _latest_first(self._folder):
            used += stat.st_size
            if used > self._max_bytes:
                path.unlink(missing_ok=True)


def _latest_first(folder: Path) -> list[tuple[Path, os.stat_result]]:
    files = []
    for path in folder.iterdir():
        try:
            files.append((path, path.stat()))
        except FileNotFoundError:  # another process made room
            continue
    return sorted(files, key=lambda file: file[1].st_mtime_ns, reverse=True)
