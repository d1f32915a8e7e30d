"""Expected times: how they follow from the work, and what teaches them."""

from __future__ import annotations

import pytest

from hunyuan_runner import estimate
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.estimate import TIMED_STAGES, Rate, Work, expect, progress
from hunyuan_runner.params import GenerationRequest, Stage

MODEL = MODELS["hunyuanvideo"]


def work(**fields: object) -> Work:
    request = GenerationRequest.model_validate({"prompt": "a cat", "seed": 1} | fields)
    return Work.of(request.resolve(MODEL.id, MODEL.presets), MODEL)


def test_the_13b_model_costs_what_was_counted() -> None:
    """640x480x61 is 19,200 tokens: 543 TFLOP a step, 331 TFLOP to decode (docs of the model)."""
    clip = work(width=640, height=480, num_frames=61, num_inference_steps=30, step_cache="off")
    assert clip.denoise_flops / 30 == pytest.approx(543e12, rel=0.01)
    assert clip.decode_flops == pytest.approx(331e12, rel=0.01)


def test_a_negative_prompt_doubles_the_denoising() -> None:
    assert work(negative_prompt="a dog").denoise_flops == 2 * work().denoise_flops


def test_twice_the_pixels_cost_more_than_twice_the_denoising() -> None:
    half, whole = work(width=640, height=320), work(width=640, height=640)
    assert whole.denoise_flops > 2 * half.denoise_flops
    assert whole.decode_flops == pytest.approx(2 * half.decode_flops)


def test_one_observation_after_the_other_moves_a_rate_towards_the_truth() -> None:
    rate = Rate(1.0, 1.5)
    for _ in range(20):
        rate = rate.observe(3.0)
    assert rate.seconds_per_unit == pytest.approx(3.0, rel=0.01)
    assert rate.spread == pytest.approx(estimate.MIN_SPREAD, abs=0.02)


def test_progress_grows_from_nothing_to_all_but_the_end() -> None:
    rates = {stage: Rate(1.0, 0.1) for stage in TIMED_STAGES}
    expectation = expect(Work(clips=1, denoise_flops=6, decode_flops=2, pixels=1), rates)
    points = [
        progress(expectation, None, 0, 3, 0),
        progress(expectation, Stage.LOADING, 0, 1, 9),
        progress(expectation, Stage.ENCODING, 0, 1, 0.5),
        progress(expectation, Stage.DENOISING, 0, 3, 0),
        progress(expectation, Stage.DENOISING, 0, 3, 1),
        progress(expectation, Stage.DENOISING, 2, 3, 0),
        progress(expectation, Stage.DECODING, 0, 1, 0),
        progress(expectation, Stage.DECODING, 1, 4, 0),
        progress(expectation, Stage.DECODING, 1, 4, 0.25),
        progress(expectation, Stage.DECODING, 2, 4, 99),
        progress(expectation, Stage.PUBLISHING, 0, 1, 99),
    ]
    assert points == pytest.approx([0, 0, 0.05, 0.1, 0.2, 0.5, 0.7, 0.75, 0.775, 0.85, 0.99])


def test_a_step_that_takes_longer_than_expected_does_not_run_ahead() -> None:
    rates = {stage: Rate(1.0, 0.1) for stage in TIMED_STAGES}
    expectation = expect(Work(clips=1, denoise_flops=6, decode_flops=2, pixels=1), rates)
    assert progress(expectation, Stage.DENOISING, 1, 3, 1000) == progress(
        expectation, Stage.DENOISING, 2, 3, 0
    )


def test_steps_that_are_predicted_cost_nothing() -> None:
    off, balanced = work(step_cache="off"), work(step_cache="balanced")
    assert off.denoise_flops >= 1.8 * balanced.denoise_flops
    assert off.decode_flops == balanced.decode_flops
