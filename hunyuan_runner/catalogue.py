"""The models this service can run: whence they come, under which licence, with which presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hunyuan_runner.params import Preset, PresetName
from hunyuan_runner.schedule import StepCache

TRANSFORMER, QUANTIZED_TRANSFORMER = "transformer", "transformer_int8"  # in a model's folder
HUNYUAN_LICENCE = "Tencent Hunyuan Community License"


@dataclass(frozen=True)
class Model:
    """One model. `repo` is a hub repository; None means the weights come with this project."""

    id: str
    title: str
    repo: str | None
    revision: str | None
    licence: str
    parameters: float
    # What one clip costs, for the estimate; per denoising step and per frame of the file.
    step_flops_per_token: float
    step_flops_per_token_pair: float
    decode_flops_per_pixel: float
    presets: Mapping[PresetName, Preset]


def _hunyuan_presets(
    guidance_scale: float, flow_shift: float, step_cache: StepCache, steps: tuple[int, int, int]
) -> Mapping[PresetName, Preset]:
    fast, standard, high = steps
    return {
        "fast": Preset(480, 360, 61, 15, fast, guidance_scale, flow_shift, step_cache),
        "standard": Preset(640, 480, 61, 15, standard, guidance_scale, flow_shift, step_cache),
        "high": Preset(720, 480, 61, 15, high, guidance_scale, flow_shift, step_cache),
    }


# 264 TFLOP in the linears and 279 in attention for one step of 19,200 tokens (640x480x61);
# 331 TFLOP to decode them untiled.
_HUNYUAN_13B_COSTS = {
    "step_flops_per_token": 264e12 / 19_200,
    "step_flops_per_token_pair": 279e12 / 19_200**2,
    "decode_flops_per_pixel": 331e12 / (640 * 480 * 61),
}

_MODELS = (
    Model(
        id="demo",
        title="Demo: the same architecture, tiny, trained on drawn scenes",
        repo=None,
        revision=None,
        licence="Apache-2.0",
        parameters=5.3e6,
        step_flops_per_token=4.4e6,
        step_flops_per_token_pair=4.6e3,
        decode_flops_per_pixel=0.1e6,
        presets={
            "fast": Preset(128, 96, 17, 15, 8, 6.0, 5.0, "balanced"),
            "standard": Preset(192, 128, 33, 15, 12, 6.0, 5.0, "balanced"),
            "high": Preset(192, 128, 33, 15, 24, 6.0, 5.0, "balanced"),
        },
    ),
    Model(
        id="hunyuanvideo",
        title="HunyuanVideo 13B, guidance-distilled",
        repo="hunyuanvideo-community/HunyuanVideo",
        revision=None,
        licence=HUNYUAN_LICENCE,
        parameters=12.8e9,
        **_HUNYUAN_13B_COSTS,
        presets=_hunyuan_presets(6.0, 7.0, "balanced", (25, 30, 35)),
    ),
    Model(
        id="fasthunyuan",
        title="FastHunyuan 13B, distilled to six steps",
        repo="FastVideo/FastHunyuan-diffusers",
        revision=None,
        licence=HUNYUAN_LICENCE,
        parameters=12.8e9,
        **_HUNYUAN_13B_COSTS,
        presets=_hunyuan_presets(6.0, 17.0, "off", (6, 6, 8)),  # each of these few steps counts
    ),
)

MODELS: Mapping[str, Model] = {model.id: model for model in _MODELS}
