"""The state of a generation after a step, as bytes from which another process can resume."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hunyuan_runner.catalogue import family_in
from hunyuan_runner.engine.sealed import Damaged, seal, unseal
from hunyuan_runner.engine.step_cache import Velocities
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.prompts.tokens import encoding_digest

FORMAT = "hunyuan-runner checkpoint 1"
FINGERPRINTED_BYTES = 1 << 20
VELOCITY = "velocity_"  # a tensor's name is this and its step

Conditioning = dict[str, torch.Tensor]


class UnusableCheckpoint(Exception):
    """The bytes are damaged, or belong to another clip or model."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps: everything the remaining ones depend on.

    `latents` are NCTHW float32. `conditioning` is the output of the text encoders by the names that
    the family gives its parts, those of the negative prompt with the prefix negative_. The step
    cache predicts from `velocities`, which is empty if it is off. After the step at which a draft
    is due, `expected` are the latents that the draft shows; otherwise None.
    """

    step: int
    latents: torch.Tensor
    conditioning: Conditioning
    velocities: Velocities = field(default_factory=dict)
    expected: torch.Tensor | None = None

    def to_bytes(self, params: GenerationParams, model: str) -> bytes:
        """Sealed bytes. `model` is the fingerprint of the model that computed it."""
        metadata = {
            "format": FORMAT,
            "step": str(self.step),
            "params": params.model_dump_json(),
            "model": model,
        }
        velocities = {f"{VELOCITY}{step}": tensor for step, tensor in self.velocities.items()}
        tensors = {"latents": self.latents, **velocities, **self.conditioning}
        if self.expected is not None:
            tensors["expected"] = self.expected
        return seal(tensors, metadata)

    @classmethod
    def from_bytes(
        cls, checkpoint: bytes, params: GenerationParams, models: Collection[str]
    ) -> Checkpoint:
        """The reverse of to_bytes().

        Raises UnusableCheckpoint unless it was called with `params` and one of `models`.
        """
        try:
            tensors, metadata = unseal(checkpoint)
        except Damaged as reason:
            raise UnusableCheckpoint(str(reason)) from None
        if metadata["format"] != FORMAT:
            raise UnusableCheckpoint(f"its format is {metadata['format']!r}, not {FORMAT!r}")
        if GenerationParams.model_validate_json(metadata["params"]) != params:
            raise UnusableCheckpoint("it belongs to a clip with other parameters")
        if metadata["model"] not in models:
            raise UnusableCheckpoint(
                "the model's files, or how prompts are read, changed since then"
            )
        latents, expected = tensors.pop("latents"), tensors.pop("expected", None)
        velocities = {
            int(name.removeprefix(VELOCITY)): tensors.pop(name)
            for name in list(tensors)
            if name.startswith(VELOCITY)
        }
        return cls(int(metadata["step"]), latents, tensors, velocities, expected)


def fingerprint(model_dir: Path) -> str:
    """Identifies what a checkpoint depends on besides its clip: the model and its tokenizers."""
    reading = encoding_digest(model_dir, family_in(model_dir).readers)
    return f"{model_fingerprint(model_dir)} {reading}"


def model_fingerprint(model_dir: Path, *patterns: str) -> str:
    """Identifies a set of weights without reading gigabytes.

    Covers all components, or the files that match one of `patterns`: the name and size of each
    file, and a megabyte at both ends. That is all of a config, and a safetensors file's header.
    """
    digest = hashlib.sha256()
    files = (path for pattern in patterns or ("*/*",) for path in model_dir.glob(pattern))
    for path in sorted(files):
        if path.is_file():
            size = path.stat().st_size
            digest.update(f"{path.relative_to(model_dir)}\0{size}\0".encode())
            with path.open("rb") as file:
                digest.update(file.read(FINGERPRINTED_BYTES))
                file.seek(max(0, size - FINGERPRINTED_BYTES))
                digest.update(file.read())
    return digest.hexdigest()
