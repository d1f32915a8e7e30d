"""The field that a refusal suggests for a name that is not a field."""

from __future__ import annotations

import httpx
import pytest

from hunyuan_runner.api.names import LONGEST_NAME, nearest
from hunyuan_runner.params import EstimateRequest, GenerationRequest
from tests.conftest import SHORT

FIELDS = GenerationRequest.model_fields


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("widht", "width"),
        ("heigth", "height"),
        ("Width", "width"),
        ("sed", "seed"),
        ("promt", "prompt"),
        ("prompts", "prompt"),
        ("text", "prompt"),
        ("negativePrompt", "negative_prompt"),
        ("prompt_negative", "negative_prompt"),
        ("negative", "negative_prompt"),
        ("guidance", "guidance_scale"),
        ("cfg", "guidance_scale"),
        ("cfg_scale", "guidance_scale"),
        ("guidanceScale", "guidance_scale"),
        ("true_cfg", "true_cfg_scale"),
        ("frames", "num_frames"),
        ("nframes", "num_frames"),
        ("num-frames", "num_frames"),
        ("frame_count", "num_frames"),
        ("duration", "seconds"),
        ("durations", "seconds"),
        ("second", "seconds"),
        ("length", "num_frames or seconds"),
        ("lenght", "num_frames or seconds"),
        ("resolution", "size"),
        ("aspect_ratio", "size"),
        ("framerate", "fps"),
        ("frame_rate", "fps"),
        ("step", "num_inference_steps"),
        ("sampling_steps", "num_inference_steps"),
        ("numInferenceSteps", "num_inference_steps"),
        ("shift", "flow_shift"),
        ("random_seed", "seed"),
        ("webhook", "webhook_url"),
        ("callback_url", "webhook_url"),
        ("tags", "metadata"),
        ("presets", "preset"),
    ],
)
def test_the_field_that_was_meant_is_named(typed: str, meant: str) -> None:
    assert nearest(typed, FIELDS) == meant


@pytest.mark.parametrize("name", ["user", "quality", "style", "response_format", "x", "", "\0"])
def test_no_field_is_named_for_what_is_like_none(name: str) -> None:
    assert nearest(name, FIELDS) is None


def test_only_what_is_known_there_is_named() -> None:
    assert nearest("deadline", FIELDS) is None
    assert nearest("deadline", EstimateRequest.model_fields) == "deadline_seconds"
    assert nearest("state", ("status", "limit", "after")) == "status"


def test_a_long_name_is_not_looked_up() -> None:
    assert nearest("num_frames" + "s" * LONGEST_NAME, FIELDS) is None


@pytest.mark.parametrize(
    ("method", "path", "name", "meant"),
    [
        ("POST", "/api/generate", "lenght", "num_frames or seconds"),
        ("POST", "/api/estimate", "deadline", "deadline_seconds"),
        ("GET", "/api/jobs", "state", "status"),
        ("GET", "/api/jobs", "per_page", "limit"),
        ("GET", "/api/jobs", "cursor", "after"),
        ("POST", "/v1/videos", "frames", "num_frames"),
    ],
)
def test_a_route_names_a_field_that_it_takes(
    client: httpx.Client, method: str, path: str, name: str, meant: str
) -> None:
    where = {"params": {name: "1"}} if method == "GET" else {"json": SHORT | {name: "1"}}
    error = client.request(method, path, **where).json()["error"]
    assert (error["code"], error["param"]) == ("unknown_field", name)
    assert error["message"] == f"{name} is not a known field; did you mean {meant}?"
