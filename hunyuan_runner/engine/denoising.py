"""HunyuanVideo's denoising loop: from noise to latents, one state after each step.

Computes bit for bit what diffusers' HunyuanVideoPipeline does, to which tests/test_denoising.py
compares it. The caller owns progress, previews, checkpoints and stopping: to stop, it asks for no
further state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoTransformer3DModel

from hunyuan_runner.engine.checkpoint import Checkpoint, Conditioning
from hunyuan_runner.engine.step_cache import Predictor, Velocities
from hunyuan_runner.engine.transformer import modulation_of
from hunyuan_runner.params import GenerationParams


@dataclass(frozen=True)
class State:
    """A clip after `step` steps.

    `latents` and `velocity`, the direction of the last step, are NCTHW float32; `sigma` is the
    share of noise that is left, 1 to 0. The step cache predicts from `velocities`.
    """

    step: int
    latents: torch.Tensor
    velocity: torch.Tensor
    sigma: float
    velocities: Velocities

    @property
    def expected(self) -> torch.Tensor:
        """The latents that the clip ends with if the direction of the last step holds."""
        return self.latents - self.sigma * self.velocity


@torch.no_grad()
def denoise(
    transformer: HunyuanVideoTransformer3DModel,
    scheduler: FlowMatchEulerDiscreteScheduler,
    start: Checkpoint,
    params: GenerationParams,
) -> Iterator[State]:
    """Compute the steps after `start`, and yield the state after each."""
    scheduler.set_shift(params.flow_shift)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.0, params.num_inference_steps + 1)[:-1])
    scheduler.set_begin_index(start.step)
    model = _GuidedTransformer(transformer, start.conditioning, params)
    model.prepare_modulation(scheduler.timesteps)
    predictor = Predictor(params)
    latents, velocities = start.latents, start.velocities
    for step in range(start.step, params.num_inference_steps):
        timestep = scheduler.timesteps[step]
        velocity = predictor.predict(step, velocities)
        if velocity is None:
            velocity = model.velocity(latents, timestep)
        before = latents
        (latents,) = scheduler.step(velocity, timestep, before, return_dict=False)
        sigma, next_sigma = scheduler.sigmas[step : step + 2].tolist()
        # Differs from `velocity` in the last bits. Clips and checkpoints made so far rest on it.
        moved = (latents - before) / (next_sigma - sigma)
        velocities = predictor.remember(step, moved, velocities)
        yield State(step + 1, latents, velocity, next_sigma, velocities)


class _GuidedTransformer:
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
        has_negative = "negative_prompt_embeds" in conditioning
        self._negative = self._arguments(conditioning, "negative_") if has_negative else None

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The direction (NCTHW float32) in which `latents` (NCTHW) lose their noise.

        float32 whatever the transformer computes in: the scheduler gives latents the type of the
        velocity, and they add up many small steps.
        """
        velocity = self._predict(latents, timestep, self._prompt)
        if self._negative is None:
            return velocity
        negative = self._predict(latents, timestep, self._negative)
        return negative + self._true_cfg_scale * (velocity - negative)

    def prepare_modulation(self, timesteps: torch.Tensor) -> None:
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
