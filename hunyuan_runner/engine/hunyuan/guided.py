"""One evaluation of HunyuanVideo's transformer for the prompts of a clip."""

from __future__ import annotations

import torch
from diffusers import HunyuanVideoTransformer3DModel

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.implementation import NEGATIVE
from hunyuan_runner.engine.int8 import modulation_of
from hunyuan_runner.params import GenerationParams


class GuidedTransformer:
    """The transformer with the prompt, and the negative prompt if there is one, of a clip."""

    def __init__(
        self,
        transformer: HunyuanVideoTransformer3DModel,
        conditioning: Conditioning,
        params: GenerationParams,
    ) -> None:
        self._transformer = transformer
        self._dtype = transformer.dtype
        self._true_cfg_scale = params.true_cfg_scale
        self._guidance = torch.tensor([params.guidance_scale], dtype=self._dtype) * 1000.0
        self._prompt = self._arguments(conditioning, "")
        has_negative = f"{NEGATIVE}prompt_embeds" in conditioning
        self._negative = self._arguments(conditioning, NEGATIVE) if has_negative else None

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        velocity = self._predict(latents, timestep, self._prompt)
        if self._negative is None:
            return velocity
        negative = self._predict(latents, timestep, self._negative)
        return negative + self._true_cfg_scale * (velocity - negative)

    def prepare(self, timesteps: torch.Tensor) -> None:
        """Compute the modulation of all steps, also for a resumed clip: the last bits may depend on
        how many are computed at once."""
        if (modulation := modulation_of(self._transformer)) is None:
            return
        prompts = [self._prompt] if self._negative is None else [self._prompt, self._negative]
        embed = self._transformer.time_text_embed
        tembs = [
            embed(timestep.expand(1), prompt["pooled_projections"], self._guidance)[0]
            for timestep in timesteps
            for prompt in prompts
        ]
        modulation.prepare(torch.cat(tembs))

    def _predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, prompt: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        velocity: torch.Tensor
        (velocity,) = self._transformer(
            hidden_states=latents.to(self._dtype),
            timestep=timestep.expand(1),
            guidance=self._guidance,
            **prompt,
            return_dict=False,
        )
        return velocity.float()

    def _arguments(self, conditioning: Conditioning, prefix: str) -> dict[str, torch.Tensor]:
        names = {
            "encoder_hidden_states": "prompt_embeds",
            "encoder_attention_mask": "prompt_attention_mask",
            "pooled_projections": "pooled_prompt_embeds",
        }
        return {
            argument: conditioning[prefix + name].to(self._dtype)
            for argument, name in names.items()
        }
