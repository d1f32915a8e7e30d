"""Which steps of a clip the transformer computes, and the noise level of each step.

A step moves the latents in a direction, the velocity, that changes slowly. So at some steps it can
be predicted: engine/step_cache.py does so from the last two that were computed. The choice of steps
depends only on the request, so that the work is known before it begins. docs/step-cache.md explains
how the schedule was chosen and compares it with others.
"""

from __future__ import annotations

from typing import Literal

StepCache = Literal["off", "balanced", "fast"]

# One step in this many is computed, rounded down to whole steps.
STEPS_PER_COMPUTED_STEP: dict[StepCache, float] = {"off": 1, "balanced": 1.8, "fast": 2.5}
LEAST_COMPUTED_STEPS = 3  # two to predict from, and the last step, which is the longest
WARM_UP_STEPS = 0.1  # this share is all computed: HunyuanVideo's velocity changes fastest there
NOISE_WEIGHT = 2 / 3  # the others are spaced by noise level with this weight, else by number


def shifted_sigmas(num_inference_steps: int, flow_shift: float) -> list[float]:
    """The share of noise, from 1 to 0, before each step and after the last one.

    These are the sigmas of the pipeline's scheduler.
    """
    unshifted = (1 - step / num_inference_steps for step in range(num_inference_steps + 1))
    return [flow_shift * sigma / (1 + (flow_shift - 1) * sigma) for sigma in unshifted]


def computed_steps(
    num_inference_steps: int, flow_shift: float, step_cache: StepCache
) -> tuple[int, ...]:
    """The numbers, from 0, of the steps that the transformer computes, with the first and the last.

    The error of a prediction grows with the distance in noise level from the steps it is made from.
    So the computed steps are mostly spaced evenly by noise level, and the last steps, which move
    furthest, are all computed.
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
