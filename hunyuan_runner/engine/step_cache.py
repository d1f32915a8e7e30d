"""Predicts the velocity of steps that are not computed from the last two that were.

A step moves the latents by its velocity, the transformer's output, times the change of the noise
level. Between neighbouring steps the velocity is nearly linear in the noise level, so it is
extrapolated along that line, as TaylorSeer (https://arxiv.org/abs/2503.06923) does with the
features inside the blocks. Predicting only the output needs two tensors of the size of the
latents, little enough for every checkpoint. If there is a negative prompt, the combination of both
outputs is predicted.
"""

from __future__ import annotations

import torch

from hunyuan_runner.params import GenerationParams

Velocities = dict[int, torch.Tensor]  # NCTHW float32, by the step they belong to

# A prediction reaches at most as far beyond the last computed step as that is from the one before.
# After two neighbouring steps, the line would otherwise be extended to many times its length.
MAX_REACH = 1.0


class Predictor:
    """Knows which steps of a clip are computed, and predicts the others."""

    def __init__(self, params: GenerationParams) -> None:
        self._computed = frozenset(params.computed_steps)
        self._predicts = len(self._computed) < params.num_inference_steps
        self._sigmas = params.sigmas

    def predict(self, step: int, velocities: Velocities) -> torch.Tensor | None:
        """The velocity at `step`, counted from 0, or None if it has to be computed."""
        if step in self._computed:
            return None
        *earlier, last = sorted(velocities)
        velocity = velocities[last]
        if earlier:
            stride = self._sigmas[last] - self._sigmas[earlier[-1]]
            reach = (self._sigmas[step] - self._sigmas[last]) / stride
            slope = velocity - velocities[earlier[-1]]
            velocity = velocity + min(reach, MAX_REACH) * slope
        return velocity

    def remember(self, step: int, velocity: torch.Tensor, velocities: Velocities) -> Velocities:
        """The velocities to predict from after `step`, which had `velocity`."""
        if not self._predicts or step not in self._computed:
            return velocities
        last = {max(velocities): velocities[max(velocities)]} if velocities else {}
        return last | {step: velocity}
