"""How long a clip takes on a machine.

The time of each stage is predicted from what the machine computes per second (`Rates`), and then
corrected by how much longer finished jobs took than predicted (`Correction`). A correction is a
factor, so it holds for clips of other sizes too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from hunyuan_runner.catalogue import Model
from hunyuan_runner.families.family import Architecture
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, Stage

OBSERVATION_WEIGHT = 0.3  # of a new observation; the older ones have the rest
MIN_SPREAD = 0.1
MEASURED_SPREAD = 0.3
GUESS_SPREAD = 1.5

TEXT_TOKENS = 200  # of a prompt within the template
ENCODE_SECONDS = 0.02  # even for the smallest text encoder
PUBLISH_SECONDS = 0.1  # even for the shortest clip
PUBLISH_PIXELS = 5.5e6  # per second: one thread makes the files


@dataclass(frozen=True)
class Work:
    """What one or more clips of a model cost, independent of the machine."""

    clips: float
    evaluations: float  # of the transformer
    denoise_flops: float  # with attention
    attention_flops: float
    decode_flops: float
    pixels: float  # of all frames

    @classmethod
    def of(cls, params: GenerationParams, model: Model) -> Self:
        architecture, family = model.architecture, model.family
        times = evaluations(params) * family.passes(params)
        tokens = family.tokens(params)
        attention = architecture.step_flops_per_token_pair * tokens**2 * times
        pixels = params.num_frames * family.generated_pixels(params)
        return cls(
            clips=1,
            evaluations=times,
            denoise_flops=architecture.step_flops_per_token * tokens * times + attention,
            attention_flops=attention,
            decode_flops=architecture.decode_flops_per_pixel * pixels,
            pixels=pixels,
        )


def evaluations(params: GenerationParams) -> int:
    """How often the transformer is evaluated for each prompt."""
    return len(params.computed_steps)


WORK_FIELDS = tuple(field.name for field in fields(Work))
TIMED_STAGES = (Stage.ENCODING, Stage.DENOISING, Stage.DECODING, Stage.PUBLISHING)


@dataclass(frozen=True)
class Rates:
    """How fast a machine computes one model in one precision."""

    linears: float  # FLOP/s of a block without its attention
    attention: float  # FLOP/s
    convolutions: float  # FLOP/s of the VAE's decoder
    block_seconds: float  # fixed cost of a single block, even with few tokens
    decode_seconds: float  # fixed cost of decoding, even for a small clip
    spread: float  # predictions may be off by a factor of 1 + spread

    def predict(self, work: Work, model: Model) -> dict[Stage, float]:
        """Seconds by stage."""
        architecture = model.architecture
        encode_flops = TEXT_TOKENS * architecture.text_encoder_bytes  # 2 FLOP for 2 bytes a weight
        linear_flops = work.denoise_flops - work.attention_flops
        return {
            Stage.ENCODING: work.clips * (ENCODE_SECONDS + encode_flops / self.linears),
            Stage.DENOISING: linear_flops / self.linears
            + work.attention_flops / self.attention
            + work.evaluations * _starts(architecture) * self.block_seconds,
            Stage.DECODING: work.clips * self.decode_seconds
            + work.decode_flops / self.convolutions,
            Stage.PUBLISHING: work.clips * PUBLISH_SECONDS + work.pixels / PUBLISH_PIXELS,
        }


# What is measured in one piece, and the rates that this gives.
MEASURED_PARTS = {
    "transformer": ("linears", "attention", "block_seconds"),
    "decoder": ("convolutions", "decode_seconds"),
}

# GFLOP/s of a Zen4 core in linears, attention and convolutions.
_CORE_GFLOPS = {
    Precision.FP32: (60, 40, 30),
    Precision.BF16: (150, 60, 70),
    Precision.INT8: (300, 100, 70),
}
SMALL_WIDTH_SHARE = 0.25  # of a large model's speed


def guess(model: Model, precision: Precision, threads: int) -> Rates:
    """Rough rates for a machine that was not measured yet."""
    share = 1.0 if model.architecture.width >= 1024 else SMALL_WIDTH_SHARE
    linears, attention, convolutions = (
        gflops * 1e9 * threads * share for gflops in _CORE_GFLOPS[precision]
    )
    return Rates(linears, attention, convolutions, 0.001, 0.0, spread=GUESS_SPREAD)


@dataclass(frozen=True)
class Correction:
    """By which factor a stage takes longer than predicted, and how uncertain that is."""

    factor: float
    spread: float

    def observe(self, factor: float, weight: float = OBSERVATION_WEIGHT) -> Correction:
        """This correction after one more observation, averaged in logarithms."""
        ratio = factor / self.factor
        spread = (1 - weight) * self.spread + weight * abs(math.log(ratio))
        return Correction(self.factor * ratio**weight, max(MIN_SPREAD, spread))


def first_correction(factor: float, spread: float) -> Correction:
    """After the first observation, which weighs more if the prediction was less certain."""
    weight = spread / (spread + MEASURED_SPREAD)
    return Correction(1.0, spread).observe(factor, weight)


@dataclass(frozen=True)
class Expectation:
    """Seconds by stage. The sum may be off by a factor of 1 + `spread`."""

    seconds: Mapping[Stage, float]
    spread: float

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Range:
    """Expected seconds, and the range in which they should fall."""

    low: float
    expected: float
    high: float

    @classmethod
    def about(cls, seconds: float, spread: float) -> Self:
        return cls(seconds / (1 + spread), seconds, seconds * (1 + spread))


def expect(
    work: Work, model: Model, rates: Rates, corrections: Mapping[Stage, Correction]
) -> Expectation:
    """The time `work` takes on a machine with these rates and corrections."""
    known = {stage: corrections.get(stage, Correction(1.0, rates.spread)) for stage in TIMED_STAGES}
    predicted = rates.predict(work, model)
    seconds = {stage: predicted[stage] * known[stage].factor for stage in TIMED_STAGES}
    longest = max(seconds, key=lambda stage: seconds[stage])
    return Expectation(seconds, known[longest].spread)


def progress(
    expectation: Expectation,
    stage: Stage | None,
    part: int,
    parts: int,
    elapsed: float,
) -> float:
    """The share, 0 to 1, of the expected time that a job at `stage` has used.

    Of the stage's `parts`, all equal, `part` are done: steps while denoising, tiles while decoding.
    `elapsed` is the seconds since then, and counts for no more than one part.
    """
    if stage not in TIMED_STAGES:
        return 0.0
    before = TIMED_STAGES.index(stage)
    done = sum(expectation.seconds[earlier] for earlier in TIMED_STAGES[:before])
    part_seconds = expectation.seconds[stage] / parts
    done += part * part_seconds + min(elapsed, part_seconds)
    return min(done / expectation.total, 0.99)


def _starts(architecture: Architecture) -> int:
    """The fixed cost of one evaluation, in single blocks: a double block has two streams, and the
    text refiner and the embedders come on top."""
    return 2 * architecture.double_blocks + architecture.single_blocks + 4
