"""How toys are computed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hunyuan_runner.families.toy import TOYS  # type: ignore[import-not-found]
from safetensors.torch import load_file

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.implementation import NEGATIVE, Implementation
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams

CHANNELS, PIXELS = 6, 3 * 8 * 4 * 4


class Guided:
    def __init__(self, weight: torch.Tensor, conditioning: Conditioning, scale: float) -> None:
        self._weight = weight
        self._prompt, self._negative = conditioning["embeds"], conditioning[f"{NEGATIVE}embeds"]
        self._scale = scale

    def prepare(self, timesteps: torch.Tensor) -> None:
        pass

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        wanted = self._negative + self._scale * (self._prompt - self._negative)
        mixed = torch.einsum("nc...,dc->nd...", latents, self._weight)
        return torch.tanh(mixed - wanted[:, :, None, None, None]) * timestep / 1000


class Decoder:
    config = SimpleNamespace(
        latent_channels=CHANNELS,
        out_channels=3,
        block_out_channels=(CHANNELS,),
        scaling_factor=1.0,
        temporal_compression_ratio=8,
        spatial_compression_ratio=4,
    )
    dtype = torch.float32
    tiles = TOYS.tiles

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        _, frames, height, width = latents.shape
        made = torch.einsum("cthw,pc->pthw", latents, self._weight)
        made = made.view(3, 8, 4, 4, frames, height, width).permute(0, 4, 1, 5, 2, 6, 3)
        return torch.tanh(made.reshape(3, 8 * frames, 4 * height, 4 * width)[:, 7:])


class Toy(Implementation):
    def text_encoders(self, model_dir: Path, dtype: torch.dtype) -> torch.Tensor:
        return load_file(model_dir / "text_encoder" / "model.safetensors")["weight"]

    def encode(self, encoders: torch.Tensor, prompt: str) -> Conditioning:
        return {"embeds": encoders[list(prompt.encode())].mean(0, keepdim=True)}

    def transformer(
        self, model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
    ) -> tuple[torch.Tensor, Precision]:
        path = model_dir / "transformer" / "diffusion_pytorch_model.safetensors"
        return load_file(path)["weight"], Precision.FP32

    def guided(
        self, transformer: torch.Tensor, conditioning: Conditioning, params: GenerationParams
    ) -> Guided:
        return Guided(transformer, conditioning, params.guidance_scale)

    def vae(self, model_dir: Path) -> torch.Tensor:
        return load_file(model_dir / "vae" / "diffusion_pytorch_model.safetensors")["weight"]

    def blank_vae(self, model_dir: Path) -> Any:
        return torch.nn.Linear(CHANNELS, PIXELS)

    def decoder(self, vae: Any, threads: int, kernels: WantedKernels) -> Decoder:
        return Decoder(vae.weight if isinstance(vae, torch.nn.Linear) else vae)


IMPLEMENTATION = Toy()
