"""HunyuanVideo-1.5: see families/hunyuan15.py."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLHunyuanVideo15, HunyuanVideo15Transformer3DModel

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.decoder import blank_vae, kernels_for, load_vae
from hunyuan_runner.engine.hunyuan15 import encoding
from hunyuan_runner.engine.hunyuan15.decoder import Decoder
from hunyuan_runner.engine.hunyuan15.transformer import GuidedTransformer
from hunyuan_runner.engine.hunyuan15.transformer import load as load_transformer
from hunyuan_runner.engine.implementation import Implementation
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams


class Hunyuan15(Implementation):
    def text_encoders(self, model_dir: Path, dtype: torch.dtype) -> encoding.TextEncoders:
        return encoding.load_encoders(model_dir, dtype)

    def encode(self, encoders: encoding.TextEncoders, prompt: str) -> Conditioning:
        return encoding.encode(encoders, prompt)

    def transformer(
        self, model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
    ) -> tuple[HunyuanVideo15Transformer3DModel, Precision]:
        return load_transformer(model_dir, precision, threads, kernels)

    def guided(
        self,
        transformer: HunyuanVideo15Transformer3DModel,
        conditioning: Conditioning,
        params: GenerationParams,
    ) -> GuidedTransformer:
        return GuidedTransformer(transformer, conditioning, params)

    def vae(self, model_dir: Path) -> AutoencoderKLHunyuanVideo15:
        return load_vae(AutoencoderKLHunyuanVideo15, model_dir)

    def blank_vae(self, model_dir: Path) -> AutoencoderKLHunyuanVideo15:
        return blank_vae(AutoencoderKLHunyuanVideo15, model_dir)

    def decoder(
        self, vae: AutoencoderKLHunyuanVideo15, threads: int, kernels: WantedKernels
    ) -> Decoder:
        return Decoder(vae, kernels_for(vae.dtype, threads, kernels))


IMPLEMENTATION = Hunyuan15()
