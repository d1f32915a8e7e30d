"""The models that this service can run: their sources, licences, sizes and presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hunyuan_runner.families.configuration import INDEX, UnknownModel, unknown_in
from hunyuan_runner.families.family import Architecture, Family
from hunyuan_runner.families.hunyuan import HUNYUAN
from hunyuan_runner.families.hunyuan15 import HUNYUAN15
from hunyuan_runner.schedule import StepCache

HUNYUAN_LICENCE = "Tencent Hunyuan Community License"


PresetName = Literal["fast", "standard", "high"]


@dataclass(frozen=True)
class Preset:
    """The settings that a model uses if the request names none."""

    width: int
    height: int
    num_frames: int
    fps: float
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    step_cache: StepCache


@dataclass(frozen=True)
class WeightsFile:
    """A file with weights in a repository on the hub. Without a revision, it is the newest."""

    repo: str
    revision: str | None
    path: str


@dataclass(frozen=True)
class PinnedFile:
    """A file that is fetched from this URL, and must have this size and SHA-256."""

    name: str
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FastDecoder:
    """A small network that decodes the latents of some models in place of their VAEs.

    It is installed by itself, in a folder of its id beside the models.
    """

    id: str
    title: str
    licence: str
    parameters: float
    weights: PinnedFile
    notice: PinnedFile  # its licence
    flops_per_pixel: float  # per pixel and frame
    bytes_per_pixel: float  # in memory, per pixel of one frame, however many there are

    def file_in(self, models_dir: Path) -> Path:
        """Where its weights are, or would be."""
        return models_dir / self.id / self.weights.name


@dataclass(frozen=True)
class Model:
    """A model. `repo` is its repository on the hub and `revision` the commit that is downloaded.

    Both are None if the weights are bundled with this project. `parameters` counts those of the
    transformer.
    """

    id: str
    title: str
    repo: str | None
    revision: str | None
    licence: str
    parameters: float
    family: Family
    architecture: Architecture
    presets: Mapping[PresetName, Preset]
    transformer: WeightsFile | None = None  # if its weights are not in `repo`
    fast_decoder: FastDecoder | None = None  # if there is one for its latents

    def fast_decoder_in(self, models_dir: Path) -> Path | None:
        """The weights of its fast decoder, if that is installed in this folder."""
        if self.fast_decoder is None:
            return None
        file = self.fast_decoder.file_in(models_dir)
        return file if file.is_file() else None


def _hunyuan_presets(
    guidance_scale: float, flow_shift: float, step_cache: StepCache, steps: tuple[int, int, int]
) -> Mapping[PresetName, Preset]:
    fast, standard, high = steps
    return {
        "fast": Preset(480, 360, 61, 15, fast, guidance_scale, flow_shift, step_cache),
        "standard": Preset(640, 480, 61, 15, standard, guidance_scale, flow_shift, step_cache),
        "high": Preset(720, 480, 61, 15, high, guidance_scale, flow_shift, step_cache),
    }


# One step of 640x480x61, which is 19,200 tokens, is 261 TFLOP in the linears and 272 in attention;
# decoding it is 331 TFLOP.
_HUNYUAN_13B = Architecture(
    double_blocks=20,
    single_blocks=40,
    width=3072,
    heads=24,
    mlp_ratio=4.0,
    text_encoder_bytes=15.3e9,  # Llama 8B without its head, and CLIP's
    text_layer_parameters=6.54e9,  # 30 of Llama's 32 layers
    held_text_parameters=0.123e9,  # CLIP's
    vae_bytes=0.5e9,
    vae_channels=(128, 256, 512, 512),
    vae_attention=True,
    decode_flops_per_pixel=331e12 / (640 * 480 * 61),
)

# One step of 640x480x61 is 267 TFLOP, decoding it 471 TFLOP.
_HUNYUAN_1_5 = Architecture(
    double_blocks=54,
    single_blocks=0,
    width=2048,
    heads=16,
    mlp_ratio=4.0,
    text_encoder_bytes=14.6e9,  # Qwen 7B without its head, and ByT5's
    text_layer_parameters=6.06e9,  # 26 of Qwen's 28 layers
    held_text_parameters=0.217e9,  # ByT5's
    vae_bytes=1.8e9,
    vae_channels=(128, 256, 512, 1024, 1024),
    vae_attention=True,
    decode_flops_per_pixel=471e12 / (640 * 480 * 61),
)

# The SHA-256 of the weights are those that others pin for this commit; the licence was read.
_TAEHV = "https://raw.githubusercontent.com/madebyollin/taehv"
_TAEHV_WEIGHTS = f"{_TAEHV}/011dfc2112197741c540e0bdd5b7b67bcc930771/safetensors"
_TAEHV_LICENCE = PinnedFile(
    name="LICENSE",
    url=f"{_TAEHV}/1f14a568f24bf8811e0a0ac601613e04fc1581e8/LICENSE",
    size=1073,
    sha256="532f9e394518ffddecd294a517d5b41d79d3d3866c3fb95a6cb0e8bcc02370bf",
)

# 640x480, 61 frames: 5.3 and 1.4 TFLOP.
TAEHV = FastDecoder(
    id="taehv",
    title="TAEHV: a fast decoder for HunyuanVideo and FastHunyuan",
    licence="MIT",
    parameters=9.8e6,
    weights=PinnedFile(
        name="taehv.safetensors",
        url=f"{_TAEHV_WEIGHTS}/taehv.safetensors",
        size=22_642_902,
        sha256="032ad4ddc689513287ce02fcc099b5278592526ed1eac0324a7fab94bb690ed9",
    ),
    notice=_TAEHV_LICENCE,
    flops_per_pixel=270e3,
    bytes_per_pixel=1000,
)
TAEHV_1_5 = FastDecoder(
    id="taehv1_5",
    title="TAEHV: a fast decoder for HunyuanVideo-1.5",
    licence="MIT",
    parameters=9.9e6,
    weights=PinnedFile(
        name="taehv1_5.safetensors",
        url=f"{_TAEHV_WEIGHTS}/taehv1_5.safetensors",
        size=22_755_856,
        sha256="b52e245bb86c62e159f50338e2e8f422d4b6f98b467164939c1c031c7d61352e",
    ),
    notice=_TAEHV_LICENCE,
    flops_per_pixel=70e3,
    bytes_per_pixel=300,
)
FAST_DECODERS: Mapping[str, FastDecoder] = {each.id: each for each in (TAEHV, TAEHV_1_5)}

_MODELS = (
    Model(
        id="demo",
        title="Demo: the same architecture, tiny, trained on drawn scenes",
        repo=None,
        revision=None,
        licence="Apache-2.0",
        parameters=5.3e6,
        family=HUNYUAN,
        architecture=Architecture(
            double_blocks=2,
            single_blocks=4,
            width=192,
            heads=4,
            mlp_ratio=3.0,
            text_encoder_bytes=2.6e6,
            text_layer_parameters=0.49e6,
            held_text_parameters=1.0e6,
            vae_bytes=4e6,
            vae_channels=(8, 16, 32, 64),
            vae_attention=False,
            decode_flops_per_pixel=70e3,
        ),
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
        revision="e8c2aaa66fe3742a32c11a6766aecbf07c56e773",
        licence=HUNYUAN_LICENCE,
        parameters=12.8e9,
        family=HUNYUAN,
        architecture=_HUNYUAN_13B,
        presets=_hunyuan_presets(6.0, 7.0, "balanced", (25, 30, 35)),
        fast_decoder=TAEHV,
    ),
    Model(
        id="fasthunyuan",
        title="FastHunyuan 13B, distilled to six steps",
        repo="FastVideo/FastHunyuan-diffusers",
        revision="7e948fca38562e218ae34485e005956592d36d9b",
        licence=HUNYUAN_LICENCE,
        parameters=12.8e9,
        family=HUNYUAN,
        architecture=_HUNYUAN_13B,
        presets=_hunyuan_presets(6.0, 17.0, "off", (6, 6, 8)),  # of few steps, none is skipped
        fast_decoder=TAEHV,
    ),
    Model(
        id="hunyuanvideo15",
        title="HunyuanVideo-1.5 8B, 480p",
        repo="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
        revision="286be7ce72277246578a3e3cc2487e95ddae5bcf",
        licence=HUNYUAN_LICENCE,
        parameters=8.3e9,
        family=HUNYUAN15,
        architecture=_HUNYUAN_1_5,
        presets=_hunyuan_presets(6.0, 5.0, "balanced", (30, 40, 50)),
        fast_decoder=TAEHV_1_5,
    ),
    Model(
        id="hunyuanvideo15-4step",
        title="HunyuanVideo-1.5 8B, 480p, distilled to four steps",
        repo="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
        revision="286be7ce72277246578a3e3cc2487e95ddae5bcf",
        licence=HUNYUAN_LICENCE,
        parameters=8.3e9,
        family=HUNYUAN15,
        architecture=_HUNYUAN_1_5,
        presets=_hunyuan_presets(1.0, 5.0, "off", (4, 4, 4)),  # distilled from what is guided
        fast_decoder=TAEHV_1_5,
        transformer=WeightsFile(
            repo="lightx2v/Hy1.5-Distill-Models",
            revision=None,
            path="hy1.5_t2v_480p_lightx2v_4step.safetensors",
        ),
    ),
)

MODELS: Mapping[str, Model] = {model.id: model for model in _MODELS}
_FAMILIES: Mapping[str, Family] = {model.family.pipeline: model.family for model in _MODELS}


def family_in(model_dir: Path) -> Family:
    """The family of the model in this folder.

    Raises UnknownModel if this version does not know it, OSError or ValueError if its index cannot
    be read.
    """
    index = json.loads((model_dir / INDEX).read_text())
    pipeline = str(index.get("_class_name")) if isinstance(index, dict) else "nothing"
    if (family := _FAMILIES.get(pipeline)) is None:
        known = " or ".join(_FAMILIES)
        raise UnknownModel({INDEX: f"is of the pipeline {pipeline}, not {known}"})
    return family


def unknown_settings(model_dir: Path) -> dict[str, str]:
    """What this version does not know of the model in this folder, by file. Raises as family_in."""
    family = family_in(model_dir)
    return unknown_in(model_dir, family.components, family.agreements)


def download_command(model_id: str) -> str:
    """The command that fetches a model, or a fast decoder."""
    if model_id in FAST_DECODERS:
        return f"hunyuan models download {model_id}"
    return f"hunyuan models download {model_id} --accept-licence --quantise int8"


def verify_command(model_id: str) -> str:
    """The command that says what is wrong with an installed model's files."""
    return f"hunyuan models verify {model_id}"
