"""Loads the transformer of HunyuanVideo-1.5, and evaluates it for the prompts of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.embeddings import apply_rotary_emb
from torch.nn import functional

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.implementation import NEGATIVE
from hunyuan_runner.engine.int8 import load_int8_or_fp32, modulation_of
from hunyuan_runner.engine.loading import DTYPES, load_whole
from hunyuan_runner.engine.original import Renamed, open_weights
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams


class UnmaskedAttention:
    """What diffusers' processor computes if nothing is masked. Our sequences have no padding, and a
    mask of ones costs time."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Video and text ([1, tokens, width]) after attention to each other."""

        def heads(projected: torch.Tensor) -> torch.Tensor:
            split: torch.Tensor = projected.unflatten(2, (attn.heads, -1))
            return split

        query = attn.norm_q(heads(attn.to_q(hidden_states)))
        key = attn.norm_k(heads(attn.to_k(hidden_states)))
        value = heads(attn.to_v(hidden_states))
        query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
        key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        text_query = attn.norm_added_q(heads(attn.add_q_proj(encoder_hidden_states)))
        text_key = attn.norm_added_k(heads(attn.add_k_proj(encoder_hidden_states)))
        text_value = heads(attn.add_v_proj(encoder_hidden_states))
        mixed = functional.scaled_dot_product_attention(
            torch.cat([query, text_query], dim=1).transpose(1, 2),
            torch.cat([key, text_key], dim=1).transpose(1, 2),
            torch.cat([value, text_value], dim=1).transpose(1, 2),
        )
        mixed = mixed.transpose(1, 2).flatten(2, 3).to(query.dtype)
        video, text = mixed.split([query.shape[1], text_query.shape[1]], dim=1)
        return attn.to_out[1](attn.to_out[0](video)), attn.to_add_out(text)


def load(
    model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
) -> tuple[HunyuanVideo15Transformer3DModel, Precision]:
    """See Implementation.transformer."""

    def load_plain(dtype: torch.dtype) -> HunyuanVideo15Transformer3DModel:
        transformer = _load_as_named(model_dir / TRANSFORMER, dtype)
        for block in transformer.transformer_blocks:
            block.attn.set_processor(UnmaskedAttention())
        return transformer

    if precision is Precision.INT8:
        return load_int8_or_fp32(model_dir, threads, kernels, load_plain)
    return load_plain(DTYPES[precision]), precision


def _load_as_named(folder: Path, dtype: torch.dtype) -> HunyuanVideo15Transformer3DModel:
    """From weights with diffusers' names or the authors'. Raises ValueError if some are missing."""
    weights = open_weights(folder)
    if not isinstance(weights, Renamed):
        return load_whole(HunyuanVideo15Transformer3DModel, folder, dtype)
    config = HunyuanVideo15Transformer3DModel.load_config(folder)
    with torch.device("meta"):
        transformer = HunyuanVideo15Transformer3DModel.from_config(config)
    if missing := transformer.state_dict().keys() - set(weights):
        raise ValueError(f"{folder} lacks {len(missing)} weights, such as {min(missing)}")
    transformer.load_state_dict({name: weights[name].to(dtype) for name in weights}, assign=True)
    return transformer.eval()


class GuidedTransformer:
    """The transformer with the prompt of a clip, and the negative prompt if it is guided."""

    def __init__(
        self,
        transformer: HunyuanVideo15Transformer3DModel,
        conditioning: Conditioning,
        params: GenerationParams,
    ) -> None:
        self._transformer = transformer
        self._dtype = transformer.dtype
        self._guidance_scale = params.guidance_scale
        self._prompt = self._arguments(conditioning, "")
        is_guided = f"{NEGATIVE}prompt_embeds" in conditioning
        self._negative = self._arguments(conditioning, NEGATIVE) if is_guided else None
        # There is no image: none of its tokens, which would be masked, is computed.
        self._image_embeds = torch.zeros(
            1, 0, transformer.config.image_embed_dim, dtype=self._dtype
        )

    def prepare(self, timesteps: torch.Tensor) -> None:
        """Compute the modulation of all steps, also for a resumed clip: the last bits may depend on
        how many are computed at once."""
        if (modulation := modulation_of(self._transformer)) is not None:
            embed = self._transformer.time_embed
            modulation.prepare(torch.cat([embed(self._expanded(t)) for t in timesteps]))

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        channels = self._transformer.config.in_channels - latents.shape[1]
        no_image = torch.zeros(1, channels, *latents.shape[2:])  # nor a mask of it
        given = torch.cat([latents, no_image], dim=1).to(self._dtype)
        velocity = self._predict(given, timestep, self._prompt)
        if self._negative is None:
            return velocity
        negative = self._predict(given, timestep, self._negative)
        return negative + self._guidance_scale * (velocity - negative)

    def _predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, prompt: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        velocity: torch.Tensor
        (velocity,) = self._transformer(
            hidden_states=latents,
            timestep=self._expanded(timestep),
            image_embeds=self._image_embeds,
            **prompt,
            return_dict=False,
        )
        return velocity.float()

    def _expanded(self, timestep: torch.Tensor) -> torch.Tensor:
        return timestep.expand(1).to(self._dtype)

    def _arguments(self, conditioning: Conditioning, prefix: str) -> dict[str, torch.Tensor]:
        names = {
            "encoder_hidden_states": "prompt_embeds",
            "encoder_attention_mask": "prompt_embeds_mask",
            "encoder_hidden_states_2": "prompt_embeds_2",
            "encoder_attention_mask_2": "prompt_embeds_mask_2",
        }
        return {
            argument: conditioning[prefix + name].to(self._dtype)
            for argument, name in names.items()
        }
