"""How long a clip takes on a machine.

The time of each stage is predicted from what the machine computes per second (`Rates`), and then
corrected by how much longer the latest finished jobs took than predicted (`Experience`). That is a
factor, so it holds for clips of other sizes too. How much these jobs differed says how wide the
range must be: on a machine that others use, a clip takes several times as long as another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

from hunyuan_runner.catalogue import Model
from hunyuan_runner.families.family import Architecture
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, Stage

REMEMBERED_JOBS = 10
AGING = 0.85  # the weight of a job, relative to that of the next one
LEAST_SPREAD = 0.15  # beyond the fastest and the slowest of the remembered jobs
UNSEEN_SPREAD = 1.0  # more, divided by their number: the next one may be faster or slower than all
MEASURED_SPREAD = 0.3
GUESS_SPREAD = 1.5

ENCODE_SECONDS = 0.02  # even for the smallest text encoder
PUBLISH_SECONDS = 0.1  # even for the shortest clip
PUBLISH_PIXELS = 5.5e6  # per second: one thread makes the files
IMPORT_SECONDS = 4.0  # until an engine that starts has its libraries
READ_BYTES = 5e8  # of weights, per second
STORED_BYTES = 2  # of each parameter of a transformer


@dataclass(frozen=True)
class Work:
    """What one or more clips of a model cost, independent of the machine."""

    clips: float
    evaluations: float  # of the transformer
    denoise_flops: float  # with attention
    attention_flops: float
    decode_flops: float
    pixels: float  # of all frames
    encode_flops: float = 0.0

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
            decode_flops=decode_flops_per_pixel(params, model) * pixels,
            pixels=pixels,
            encode_flops=2 * architecture.text_layer_parameters * text_tokens(params, model),
        )


def decode_flops_per_pixel(params: GenerationParams, model: Model) -> float:
    """Per pixel and frame. Both decoders are convolutions, and compute about as many per second."""
    if params.decoder == "full" or model.fast_decoder is None:
        return model.architecture.decode_flops_per_pixel
    return model.fast_decoder.flops_per_pixel


def text_tokens(params: GenerationParams, model: Model) -> int:
    """About how many tokens the largest text encoder reads: the first of the family's readers."""
    prompts = [params.prompt, model.family.negative_prompt(params)]
    readers = model.family.readers[:1]
    return sum(
        reader.about_tokens(prompt)
        for prompt in prompts
        for reader in readers
        if prompt is not None
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
    spread: float  # predictions of them alone may be off by a factor of 1 + spread
    encoding: float | None = None  # FLOP/s of the text encoder; None from an earlier version

    def predict(self, work: Work, model: Model) -> dict[Stage, float]:
        """Seconds by stage."""
        architecture = model.architecture
        linear_flops = work.denoise_flops - work.attention_flops
        return {
            Stage.ENCODING: work.clips * ENCODE_SECONDS
            + work.encode_flops / (self.encoding or self.linears),
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
    "text encoder": ("encoding",),
}

# GFLOP/s of a core without AMX in linears, attention and convolutions.
_CORE_GFLOPS = {
    Precision.FP32: (60, 40, 30),
    Precision.BF16: (150, 60, 70),
    Precision.INT8: (300, 100, 70),
}
_BLOCK_SECONDS = 0.004


def guess(model: Model, precision: Precision, threads: int) -> Rates:
    """Rough rates for a machine that was not measured yet."""
    linears, attention, convolutions = (
        gflops * 1e9 * threads for gflops in _CORE_GFLOPS[precision]
    )
    encoding = _CORE_GFLOPS[Precision.FP32][0] * 1e9 * threads
    return Rates(
        linears, attention, convolutions, _BLOCK_SECONDS, 0.0, GUESS_SPREAD, encoding=encoding
    )


def guess_loading(model: Model) -> float:
    """Seconds until an engine holds a model that it has never loaded."""
    read = STORED_BYTES * model.parameters + model.architecture.vae_bytes
    return IMPORT_SECONDS + read / READ_BYTES


@dataclass(frozen=True)
class Timing:
    """What the stages of a finished job took, in seconds; not those that were interrupted."""

    work: Work
    seconds: Mapping[Stage, float]


@dataclass(frozen=True)
class Experience:
    """By which factors clips take longer than predicted."""

    factors: Mapping[Stage, float]
    low: float  # of the time that is expected with these factors
    high: float
    guess: bool  # neither was the machine measured, nor was a clip rendered
    learnt: bool  # from at least one job

    @classmethod
    def of(cls, timings: Sequence[Timing], model: Model, rates: Rates) -> Self:
        """From jobs on the machine of these rates, the latest first."""
        timings = timings[:REMEMBERED_JOBS]
        weights = [AGING**age for age in range(len(timings))]
        predicted = [rates.predict(timing.work, model) for timing in timings]

        # The prediction counts as another job; a guess for less of one.
        factors = {}
        for stage in TIMED_STAGES:
            known, total = MEASURED_SPREAD / rates.spread, 0.0
            for timing, expected, weight in zip(timings, predicted, weights, strict=True):
                if stage in timing.seconds:
                    known += weight
                    total += weight * math.log(timing.seconds[stage] / expected[stage])
            factors[stage] = math.exp(total / known)

        levels = [
            sum(timing.seconds.values())
            / sum(factors[stage] * expected[stage] for stage in timing.seconds)
            for timing, expected in zip(timings, predicted, strict=True)
        ]
        unseen = UNSEEN_SPREAD / len(timings) if timings else rates.spread
        margin = 1 + LEAST_SPREAD + unseen
        return cls(
            factors,
            low=min([1.0, *levels]) / margin,
            high=max([1.0, *levels]) * margin,
            guess=rates.spread == GUESS_SPREAD and not timings,
            learnt=bool(timings),
        )


@dataclass(frozen=True)
class Expectation:
    """Seconds by stage. The sum should be between `low` and `high` times what it is."""

    seconds: Mapping[Stage, float]  # but for loading
    low: float = 1.0
    high: float = 1.0
    guess: bool = False
    learnt: bool = False
    loading: float = 0.0  # seconds before all this; 0 if the machine's engine holds the model

    @property
    def total(self) -> float:
        """Seconds of all stages but loading."""
        return sum(self.seconds.values())

    def after(self, steps: int, denoising_seconds: float) -> Expectation:
        """With what denoising takes by the `steps` that were computed, 1 or more.

        They count for more the more there are. What is left is surer than the whole was, but others
        may still begin to use the machine.
        """
        weight = steps / (steps + 1)
        before = self.seconds[Stage.DENOISING]
        now = before * (denoising_seconds / before) ** weight
        width = 1 - weight / 2
        seconds = {**self.seconds, Stage.DENOISING: now}
        return replace(
            self, seconds=seconds, low=self.low**width, high=self.high**width, guess=False
        )

    def range(self, seconds: float, jobs: int = 1) -> Range:
        """Around so many seconds of this work, or of that of several `jobs` like it.

        What made finished jobs differ is taken to be in equal parts their own, which averages out
        over several, and common to all. An error of a prediction without such jobs is common.
        """
        width = math.sqrt((1 + 1 / jobs) / 2) if self.learnt else 1
        return Range(seconds * self.low**width, seconds, seconds * self.high**width, self.guess)


@dataclass(frozen=True)
class Range:
    """Expected seconds, and the range in which they should fall."""

    low: float
    expected: float
    high: float
    guess: bool = False  # neither was the machine measured, nor was a clip rendered


def expect(work: Work, model: Model, rates: Rates, experience: Experience) -> Expectation:
    """The time `work` takes on a machine with these rates and this experience."""
    predicted = rates.predict(work, model)
    seconds = {stage: predicted[stage] * experience.factors[stage] for stage in TIMED_STAGES}
    known = (experience.low, experience.high, experience.guess, experience.learnt)
    return Expectation(seconds, *known)


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
