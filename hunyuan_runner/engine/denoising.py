"""The denoising loop: from noise to latents, one state after each step.

Computes bit for bit what diffusers' pipelines do, to which tests/test_denoising.py compares it. The
caller owns progress, previews, checkpoints and stopping: to stop, it asks for no
further state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from hunyuan_runner.engine.checkpoint import Checkpoint
from hunyuan_runner.engine.implementation import Guided
from hunyuan_runner.engine.step_cache import Predictor, Velocities
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
    guided: Guided,
    scheduler: FlowMatchEulerDiscreteScheduler,
    start: Checkpoint,
    params: GenerationParams,
) -> Iterator[State]:
    """Compute the steps after `start`, and yield the state after each."""
    scheduler.set_shift(params.flow_shift)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.0, params.num_inference_steps + 1)[:-1])
    scheduler.set_begin_index(start.step)
    guided.prepare(scheduler.timesteps)
    predictor = Predictor(params)
    latents, velocities = start.latents, start.velocities
    for step in range(start.step, params.num_inference_steps):
        timestep = scheduler.timesteps[step]
        velocity = predictor.predict(step, velocities)
        if velocity is None:
            velocity = guided.velocity(latents, timestep)
        before = latents
        (latents,) = scheduler.step(velocity, timestep, before, return_dict=False)
        sigma, next_sigma = scheduler.sigmas[step : step + 2].tolist()
        # Differs from `velocity` in the last bits. Clips and checkpoints made so far rest on it.
        moved = (latents - before) / (next_sigma - sigma)
        velocities = predictor.remember(step, moved, velocities)
        yield State(step + 1, latents, velocity, next_sigma, velocities)
