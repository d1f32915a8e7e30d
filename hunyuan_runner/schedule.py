"""Which steps of a clip the transformer computes, and at which noise level each one is.

The direction in which a step moves the latents, their velocity, changes slowly enough that at some
steps it need not be computed: engine/step_cache.py predicts it from the last two that were. Which
steps those are depends on nothing but the request, so the work is known before it begins. How the
schedule was chosen, and what others gave, is in docs/step-cache.md.
"""

from __future__ import annotations

from typing import Literal

StepCache = Literal["off", "balanced", "fast"]

# Of so many steps, one is computed; a little fewer, where it does not divide.
STEPS_PER_COMPUTED_STEP: dict[StepCache, float] = {"off": 1, "balanced": 1.8, "fast": 2.5}
LEAST_COMPUTED_STEPS = 3  # two to predict from, and the last one, which is the longest
WARM_UP_STEPS = 0.1  # of all, computed one by one: HunyuanVideo's velocity changes fastest there
NOISE_WEIGHT = 2 / 3  # of the noise a step is behind, against its number, in spacing the others


def shifted_sigmas(num_inference_steps: int, flow_shift: float) -> list[float]:
    """The share of noise, 1 to 0, before each step and after the last, as the scheduler has it."""
    unshifted = (1 - step / num_inference_steps for step in range(num_inference_steps + 1))
    return [flow_shift * sigma / (1 + (flow_shift - 1) * sigma) for sigma in unshifted]


def computed_steps(
    num_inference_steps: int, flow_shift: float, step_cache: StepCache
) -> tuple[int, ...]:
    """The steps, counted from 0, that the transformer computes: the first and the last among them.

    A prediction errs by how far the noise level is from those it rests on, so the steps are spaced
    evenly by noise, mostly: the last ones, which move furthest, are all computed.
    """
    steps_per_computed = STEPS_PER_COMPUTED_STEP[step_cache]
    count = int(num_inference_steps / steps_per_computed)
    count = max(count, min(num_inference_steps, LEAST_COMPUTED_STEPS))
    sigmas = shifted_sigmas(num_inference_steps, flow_shift)
    places = [
        NOISE_WEIGHT * (1 - sigmas[step]) + (1 - NOISE_WEIGHT) * step / num_inference_steps
        for step in range(num_inference_steps)
    ]
    steps = list(range(max(1, int(num_inference_steps * WARM_UP_STEPS))))
    for left in range(count - len(steps), 0, -1):
        here = places[steps[-1]]
        stride = (places[-1] - here) / left
        candidates = range(steps[-1] + 1, num_inference_steps - left + 1)
        steps.append(min(candidates, key=lambda step: abs(places[step] - here - stride)))
    return tuple(steps)
