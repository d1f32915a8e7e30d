"""How long a clip takes: its work by stage, times what this host was seen to need for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from hunyuan_runner.catalogue import Model
from hunyuan_runner.params import GenerationParams, Stage

LATENT_FRAME = 4  # frames per latent frame
TOKEN_SIDE = 16  # pixels per token side
OBSERVATION_WEIGHT = 0.3  # of a new observation against the older ones
MIN_SPREAD = 0.1


@dataclass(frozen=True)
class Work:
    """What one or more clips cost, in units that do not depend on the host."""

    clips: float
    denoise_flops: float
    decode_flops: float
    pixels: float  # over all frames of the file

    @classmethod
    def of(cls, params: GenerationParams, model: Model) -> Self:
        latent_frames = (params.num_frames - 1) // LATENT_FRAME + 1
        tokens = (
            latent_frames
            * (params.generated_width // TOKEN_SIDE)
            * (params.generated_height // TOKEN_SIDE)
        )
        step_flops = (
            model.step_flops_per_token * tokens + model.step_flops_per_token_pair * tokens**2
        )
        passes = 2 if params.negative_prompt and params.true_cfg_scale > 1 else 1
        pixels = params.num_frames * params.generated_width * params.generated_height
        return cls(
            clips=1,
            denoise_flops=step_flops * len(params.computed_steps) * passes,
            decode_flops=model.decode_flops_per_pixel * pixels,
            pixels=pixels,
        )

    def units(self, stage: Stage) -> float:
        return {
            Stage.ENCODING: self.clips,
            Stage.DENOISING: self.denoise_flops,
            Stage.DECODING: self.decode_flops,
            Stage.PUBLISHING: self.pixels,
        }[stage]


WORK_FIELDS = tuple(field.name for field in fields(Work))
TIMED_STAGES = (Stage.ENCODING, Stage.DENOISING, Stage.DECODING, Stage.PUBLISHING)


@dataclass(frozen=True)
class Rate:
    """Seconds per unit of work of one stage, and how far off, as a factor above 1, it may be."""

    seconds_per_unit: float
    spread: float

    def observe(self, seconds_per_unit: float) -> Rate:
        """This rate, moved towards one more observation."""
        surprise = abs(math.log(seconds_per_unit / self.seconds_per_unit))
        return Rate(
            _blend(self.seconds_per_unit, seconds_per_unit),
            max(MIN_SPREAD, _blend(self.spread, surprise)),
        )


def first_rate(seconds_per_unit: float) -> Rate:
    """A rate known from a single observation."""
    return Rate(seconds_per_unit, spread=0.5)


# Before anything was measured here: about what 2 Zen4 cores do in fp32, give or take a lot.
UNMEASURED: Mapping[Stage, Rate] = {
    Stage.ENCODING: Rate(0.2, 1.5),
    Stage.DENOISING: Rate(1 / 100e9, 1.5),
    Stage.DECODING: Rate(1 / 100e9, 1.5),
    Stage.PUBLISHING: Rate(1 / 5e6, 1.5),
}


@dataclass(frozen=True)
class Expectation:
    """Seconds by stage, with the factor by which the sum may be off."""

    seconds: Mapping[Stage, float]
    spread: float

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def expect(work: Work, rates: Mapping[Stage, Rate]) -> Expectation:
    """The time `work` takes on a host with these rates; stages not measured yet use a guess."""
    used = {stage: rates.get(stage, UNMEASURED[stage]) for stage in TIMED_STAGES}
    seconds = {stage: rate.seconds_per_unit * work.units(stage) for stage, rate in used.items()}
    longest = max(seconds, key=lambda stage: seconds[stage])
    return Expectation(seconds, used[longest].spread)


def progress(
    expectation: Expectation,
    stage: Stage | None,
    part: int,
    parts: int,
    elapsed: float,
) -> float:
    """The share, 0 to 1, of the expected time that lies behind a job at `stage`.

    `part` of the stage's equal `parts` is done: steps while denoising, else what the engine told.
    `elapsed` is the seconds since then; it counts only as far as a part was expected to take.
    """
    if stage not in TIMED_STAGES:
        return 0.0
    before = TIMED_STAGES.index(stage)
    done = sum(expectation.seconds[earlier] for earlier in TIMED_STAGES[:before])
    part_seconds = expectation.seconds[stage] / parts
    done += part * part_seconds + min(elapsed, part_seconds)
    return min(done / expectation.total, 0.99)


def _blend(old: float, new: float) -> float:
    return (1 - OBSERVATION_WEIGHT) * old + OBSERVATION_WEIGHT * new
