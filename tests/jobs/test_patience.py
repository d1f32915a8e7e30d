"""How long an engine may report nothing before it counts as hung."""

from __future__ import annotations

import pytest

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.messages import StageStarted, TileFinished
from hunyuan_runner.jobs.patience import GENEROSITY, Patience
from hunyuan_runner.params import GenerationParams, GenerationRequest, Stage
from hunyuan_runner.quoting.estimate import Expectation

LEAST = 600.0
SECONDS = {Stage.ENCODING: 10.0, Stage.DENOISING: 20_000.0, Stage.DECODING: 3_000.0}


def clip(model: str) -> GenerationParams:
    request = GenerationRequest(prompt="a cat", num_inference_steps=20, step_cache="off")
    return request.resolve(model, MODELS[model].presets)


def patience(model: str, high: float = 1.0) -> Patience:
    return Patience(Expectation(SECONDS, high=high), clip(model), MODELS[model], LEAST)


def test_a_step_may_take_many_times_what_it_should() -> None:
    demo = patience("demo")
    demo.heed(StageStarted(Stage.DENOISING))
    assert demo.seconds == pytest.approx(LEAST + GENEROSITY * 1_000, rel=0.01)
    unsure = patience("demo", high=2.5)
    unsure.heed(StageStarted(Stage.DENOISING))
    assert unsure.seconds > 2 * demo.seconds


def test_a_tile_may_take_less_once_it_is_known_how_many_there_are() -> None:
    demo = patience("demo")
    demo.heed(StageStarted(Stage.DECODING))
    whole = demo.seconds
    demo.heed(TileFinished(1, 10))
    assert LEAST < demo.seconds < whole / 5


def test_a_large_model_is_waited_for_though_its_disk_is_slow() -> None:
    hours = patience("hunyuanvideo").seconds / 3600
    assert 2 < hours < 6
    assert patience("demo").seconds < LEAST + 60


def test_encoding_reads_the_weights_of_a_large_model_for_each_prompt() -> None:
    large, demo = patience("hunyuanvideo"), patience("demo")
    for each in (large, demo):
        each.heed(StageStarted(Stage.ENCODING))
    assert large.seconds > demo.seconds + 3600


def test_what_was_taken_for_hung_gets_more_time_and_the_next_engine_has_to_load() -> None:
    demo = patience("demo")
    loading = demo.seconds
    demo.heed(StageStarted(Stage.DENOISING))
    demo.begin()
    assert demo.seconds == loading
    demo.double()
    assert demo.seconds == 2 * loading
