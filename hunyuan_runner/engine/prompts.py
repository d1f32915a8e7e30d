"""A cache of encoded prompts, in files.

The text encoders of the 13B models read 13 GB for a prompt. A prompt that is rendered again, with
another seed or in a retry, does not need them.
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

from hunyuan_runner.catalogue import family_in
from hunyuan_runner.engine.checkpoint import Conditioning, model_fingerprint
from hunyuan_runner.engine.loading import encoders_precision
from hunyuan_runner.engine.sealed import Damaged, seal, unseal
from hunyuan_runner.machine.host import cpu_name, package_versions
from hunyuan_runner.prompts.tokens import encoding_digest

MAX_BYTES = 512 * 2**20  # of all files in the folder
SUFFIX = ".prompt"
ENCODING = 3  # raise it when the last bits of what is encoded change

logger = logging.getLogger(__name__)


class PromptCache:
    """Prompts encoded by the text encoders of one model, in `folder`, which others may share.

    A file's name depends on everything that its content depends on, so a clip is the same with and
    without the cache.
    """

    def __init__(self, folder: Path, model_dir: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._encoders = model_fingerprint(model_dir, "text_encoder*/*")
        self._precision = encoders_precision(model_dir)
        self._tokens = encoding_digest(model_dir, family_in(model_dir).readers)

    def conditioning(self, prompt: str, encode: Callable[[str], Conditioning]) -> Conditioning:
        """The encoding of `prompt`, by `encode` if it is not in the cache."""
        path = self._folder / f"{self._name(prompt)}{SUFFIX}"
        try:
            tensors, _ = unseal(path.read_bytes())
            os.utime(path)  # the least recently used is deleted first
        except FileNotFoundError:
            pass
        except (OSError, Damaged) as reason:
            logger.warning("Encoding a prompt again, because %s cannot be used: %s", path, reason)
        else:
            return tensors
        conditioning = encode(prompt)
        try:
            self._keep(path, seal(conditioning, {}))
        except OSError as reason:
            logger.warning("An encoded prompt could not be cached: %s", reason)
        return conditioning

    def _name(self, prompt: str) -> str:
        made_by = [
            ENCODING,
            self._encoders,
            self._precision,
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
        """Delete the least recently used files beyond the limit."""
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
