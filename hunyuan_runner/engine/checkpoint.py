"""Where a generation stands after a step, as bytes from which another process goes on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch

from hunyuan_runner.engine.step_cache import Velocities
from hunyuan_runner.params import GenerationParams

FORMAT = "hunyuan-runner checkpoint 1"
DIGEST_BYTES = hashlib.sha256().digest_size
FINGERPRINTED_BYTES = 1 << 20
VELOCITY = "velocity_"  # and the step it belongs to: the name of its tensor

Conditioning = dict[str, torch.Tensor]


class UnusableCheckpoint(Exception):
    """The bytes are damaged, or belong to another clip or model."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps: everything the remaining ones depend on.

    `latents` are NCTHW float32; `conditioning` holds the pipeline's arguments that came from the
    text encoders (prompt_embeds, pooled_prompt_embeds, prompt_attention_mask, negative_...).
    `velocities` are those that the step cache predicts from; where it is off, none.
    `expected`, behind the step that a draft is asked for, are the latents that the draft shows:
    those the clip ends with if the direction of that step holds.
    """

    step: int
    latents: torch.Tensor
    conditioning: Conditioning
    velocities: Velocities = field(default_factory=dict)
    expected: torch.Tensor | None = None

    def to_bytes(self, params: GenerationParams, model: str) -> bytes:
        """A safetensors file followed by its SHA-256; `model` is the fingerprint of the weights."""
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
        data = safetensors.torch.save(tensors, metadata)
        return data + hashlib.sha256(data).digest()

    @classmethod
    def from_bytes(cls, checkpoint: bytes, params: GenerationParams, model: str) -> Checkpoint:
        """Raises UnusableCheckpoint unless these bytes were made by to_bytes(params, model)."""
        data, digest = checkpoint[:-DIGEST_BYTES], checkpoint[-DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            raise UnusableCheckpoint("it is damaged or incomplete")
        metadata = _metadata(data)
        if metadata["format"] != FORMAT:
            raise UnusableCheckpoint(f"its format is {metadata['format']!r}, not {FORMAT!r}")
        if GenerationParams.model_validate_json(metadata["params"]) != params:
            raise UnusableCheckpoint("it belongs to a clip with other parameters")
        if metadata["model"] != model:
            raise UnusableCheckpoint("the model's files have changed since")
        # Cloned, because the tensors lie in `data` at any address, and some kernels give other
        # last bits for memory that is aligned differently.
        tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load(data).items()}
        latents, expected = tensors.pop("latents"), tensors.pop("expected", None)
        velocities = {
            int(name.removeprefix(VELOCITY)): tensors.pop(name)
            for name in list(tensors)
            if name.startswith(VELOCITY)
        }
        return cls(int(metadata["step"]), latents, tensors, velocities, expected)


def model_fingerprint(model_dir: Path) -> str:
    """Tells one set of weights from another without reading gigabytes.

    Covers the name and size of each component's files and the megabyte at either end: all of a
    config, and the table of contents of a safetensors file.
    """
    digest = hashlib.sha256()
    for path in sorted(model_dir.glob("*/*")):
        if path.is_file():
            size = path.stat().st_size
            digest.update(f"{path.relative_to(model_dir)}\0{size}\0".encode())
            with path.open("rb") as file:
                digest.update(file.read(FINGERPRINTED_BYTES))
                file.seek(max(0, size - FINGERPRINTED_BYTES))
                digest.update(file.read())
    return digest.hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    """A safetensors file begins with the length of its JSON header, 8 bytes little-endian."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
