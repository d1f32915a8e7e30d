"""HunyuanVideo: see families/hunyuan.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoPipeline

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.decoder import Decoder, blank_vae, kernels_for, load_vae
from hunyuan_runner.engine.hunyuan import encoding, transformer
from hunyuan_runner.engine.hunyuan.guided import GuidedTransformer
from hunyuan_runner.engine.implementation import Implementation
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams


class Hunyuan(Implementation):
    def text_encoders(self, model_dir: Path, dtype: torch.dtype) -> HunyuanVideoPipeline:
        return encoding.load_encoders(model_dir, dtype)

    def encode(self, encoders: HunyuanVideoPipeline, prompt: str) -> Conditioning:
        return encoding.encode(encoders, prompt)

    def transformer(
        self, model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
    ) -> tuple[torch.nn.Module, Precision]:
        return transformer.load(model_dir, precision, threads, kernels)

    def guided(
        self, transformer: Any, conditioning: Conditioning, params: GenerationParams
    ) -> GuidedTransformer:
        return GuidedTransformer(transformer, conditioning, params)

    def vae(self, model_dir: Path) -> AutoencoderKLHunyuanVideo:
        return load_vae(AutoencoderKLHunyuanVideo, model_dir)

    def blank_vae(self, model_dir: Path) -> AutoencoderKLHunyuanVideo:
        return blank_vae(AutoencoderKLHunyuanVideo, model_dir)

    def decoder(
        self, vae: AutoencoderKLHunyuanVideo, threads: int, kernels: WantedKernels
    ) -> Decoder:
        return Decoder(vae, kernels_for(vae.dtype, threads, kernels))

    def was_encoded_so_before(self, model_dir: Path) -> bool:
        return encoding.was_encoded_so_before(model_dir)


IMPLEMENTATION = Hunyuan()
