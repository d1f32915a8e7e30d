"""From a request and a preset to a clip in full."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.params import (
    MAX_SEED,
    NEGATIVE_PROMPT_CFG_SCALE,
    GenerationParams,
    GenerationRequest,
)

DEMO = MODELS["demo"]


def resolve(**fields: Any) -> GenerationParams:
    request = GenerationRequest.model_validate({"prompt": "a cat"} | fields)
    return request.resolve("demo", DEMO.presets)


def test_what_is_named_wins_over_the_preset() -> None:
    params = resolve(preset="fast", width=100, num_inference_steps=3)
    fast = DEMO.presets["fast"]
    assert (params.width, params.num_inference_steps) == (100, 3)
    assert (params.height, params.num_frames, params.fps) == (
        fast.height,
        fast.num_frames,
        fast.fps,
    )


def test_the_standard_preset_is_the_default() -> None:
    assert resolve(seed=1) == resolve(seed=1, preset="standard")


def test_a_seed_is_drawn_where_none_is_given() -> None:
    seeds = {resolve().seed for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_a_negative_prompt_turns_guidance_on() -> None:
    assert resolve().true_cfg_scale == 1
    assert resolve(negative_prompt="a dog").true_cfg_scale == NEGATIVE_PROMPT_CFG_SCALE
    assert resolve(negative_prompt="a dog", true_cfg_scale=5).true_cfg_scale == 5


@pytest.mark.parametrize(("asked", "generated"), [(64, 64), (65, 80), (100, 112), (360, 368)])
def test_sizes_are_generated_at_the_next_multiple_of_16(asked: int, generated: int) -> None:
    params = resolve(width=asked, height=asked)
    assert (params.generated_width, params.generated_height) == (generated, generated)


@pytest.mark.parametrize(("asked", "made"), [(64, 64), (97, 98), (65, 66), (1279, 1280)])
def test_an_odd_side_is_rounded_up_to_an_even_one(asked: int, made: int) -> None:
    params = resolve(width=asked, height=asked)
    assert (params.width, params.height) == (made, made)
    # As are those of jobs and checkpoints that were written down before.
    written = params.model_dump() | {"width": asked, "height": asked}
    assert GenerationParams.model_validate(written) == params


@pytest.mark.parametrize("outside", [63, 1281])
def test_rounding_moves_no_bound(outside: int) -> None:
    with pytest.raises(ValidationError):
        resolve(width=outside)


@pytest.mark.parametrize(("frames", "nearest"), [(2, "1 or 5"), (50, "49 or 53"), (52, "49 or 53")])
def test_frames_that_are_not_4k_1_are_refused_with_the_nearest(frames: int, nearest: str) -> None:
    with pytest.raises(ValidationError, match=nearest):
        resolve(num_frames=frames)


def test_params_survive_being_written_down() -> None:
    params = resolve(seed=3, negative_prompt="a dog")
    assert GenerationParams.model_validate_json(params.model_dump_json()) == params


def test_params_written_before_there_was_a_step_cache_are_of_a_clip_without() -> None:
    written = resolve(seed=3).model_dump()
    del written["step_cache"]
    assert GenerationParams.model_validate(written).step_cache == "off"


def test_every_preset_of_every_model_is_within_bounds() -> None:
    for model in MODELS.values():
        for preset in model.presets:
            request = GenerationRequest(prompt="a cat", preset=preset, seed=1)
            assert request.resolve(model.id, model.presets).num_frames % 4 == 1
