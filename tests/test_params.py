"""From a request and a preset to a clip in full."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.params import (
    ALIASES,
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


def test_minus_one_is_a_seed_drawn_at_random() -> None:
    seeds = {resolve(seed=-1).seed for _ in range(20)}
    assert len(seeds) > 1
    assert min(seeds) >= 0


def test_what_people_type_first_is_taken() -> None:
    typed = resolve(size="256 X 144", seconds="2", steps=9, fps=24)
    spelled = {"width": 256, "height": 144, "num_frames": 49, "num_inference_steps": 9}
    assert typed.model_dump(include=set(spelled)) == spelled
    agreeing = resolve(video_length=49, num_frames=49, size="256x144", width=256, seconds=2, fps=24)
    assert agreeing.model_dump(include={"width", "height", "num_frames"}) == {
        "width": 256,
        "height": 144,
        "num_frames": 49,
    }


@pytest.mark.parametrize("fps", [1, 7, 15, 23.976, 24, 60])
@pytest.mark.parametrize("seconds", [0.01, 0.3, 1, 2.5, 4])
def test_seconds_are_met_as_nearly_as_frames_allow(seconds: float, fps: float) -> None:
    frames = resolve(seconds=seconds, fps=fps).num_frames
    assert frames % 4 == 1
    others = (count for count in (frames - 4, frames + 4) if count > 0)
    assert all(abs(frames - seconds * fps) <= abs(count - seconds * fps) for count in others)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"steps": 4, "num_inference_steps": 5}, "steps and num_inference_steps"),
        ({"video_length": 5, "num_frames": 9}, "video_length and num_frames"),
        ({"size": "64x96", "width": 96}, "size and width"),
        ({"size": "64x96", "height": 64}, "size and height"),
        ({"seconds": 1, "num_frames": 129}, "seconds and num_frames"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"{named} contradict each other"):
        resolve(**fields)


@pytest.mark.parametrize("empty", [None, "", "  "], ids=["null", "empty", "blank"])
def test_an_optional_field_left_empty_is_as_if_left_out(empty: str | None) -> None:
    optional = [*(GenerationRequest.model_fields.keys() - {"prompt"}), *ALIASES]
    asked = {"prompt": "a cat"} | dict.fromkeys(optional, empty)
    assert GenerationRequest.model_validate(asked) == GenerationRequest(prompt="a cat")
    with pytest.raises(ValidationError, match="prompt"):
        GenerationRequest.model_validate({"prompt": empty})
    with pytest.raises(ValidationError, match="promt"):
        GenerationRequest.model_validate({"prompt": "a cat", "promt": empty})


@pytest.mark.parametrize(
    ("fps", "written"), [(24, "24"), (24.0, "24"), ("24", "24"), (23.976, "23.976"), (7.5, "7.5")]
)
def test_a_whole_rate_is_written_as_when_all_rates_were_whole(fps: object, written: str) -> None:
    assert f'"fps":{written},' in resolve(fps=fps).model_dump_json()
    assert json.dumps(resolve(fps=fps).model_dump()["fps"]) == written


@pytest.mark.parametrize(("asked", "generated"), [(64, 64), (65, 80), (100, 112), (360, 368)])
def test_sizes_are_generated_at_the_next_multiple_of_16(asked: int, generated: int) -> None:
    params = resolve(width=asked, height=asked)
    assert DEMO.family.generated_side(asked) == generated
    assert DEMO.family.generated_pixels(params) == generated**2


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


@pytest.mark.parametrize(
    ("asked", "installed", "decoder"),
    [
        ({}, True, "full"),
        ({"decoder": "auto", "preset": "high"}, True, "full"),
        ({"preset": "fast"}, True, "fast"),
        ({"decoder": "auto", "preset": "fast"}, True, "fast"),
        ({"preset": "fast"}, False, "full"),
        ({"decoder": "full", "preset": "fast"}, True, "full"),
        ({"decoder": "fast"}, True, "fast"),
    ],
)
def test_the_decoder_is_settled_when_the_clip_is_queued(
    asked: dict[str, str], installed: bool, decoder: str
) -> None:
    model = MODELS["hunyuanvideo"]
    request = GenerationRequest.model_validate({"prompt": "a cat"} | asked)
    params = request.resolve(model.id, model.presets, has_fast_decoder=installed)
    assert params.decoder == decoder


def test_params_written_before_there_was_a_fast_decoder_are_of_a_full_one() -> None:
    written = GenerationRequest(prompt="a cat").resolve("demo", MODELS["demo"].presets).model_dump()
    del written["decoder"]
    assert GenerationParams.model_validate(written).decoder == "full"
