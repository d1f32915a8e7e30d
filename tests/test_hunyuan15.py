"""HunyuanVideo-1.5: its prompts, its VAE, its quotes, and a clip that is interrupted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
)
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from hunyuan_runner.catalogue import MODELS, unknown_settings
from hunyuan_runner.engine import decoder as decoding
from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.hunyuan15.decoder import Decoder
from hunyuan_runner.engine.hunyuan15.encoding import TextEncoders, encode, load_encoders
from hunyuan_runner.engine.hunyuan15.transformer import load as load_transformer
from hunyuan_runner.engine.messages import Event, Preview, Resumed, StageStarted, StepFinished
from hunyuan_runner.engine.process import EngineDied, EngineProcess
from hunyuan_runner.engine.quantize import quantize
from hunyuan_runner.engine.vae import Tiling, choose_tiling, decode_tiles, tile_bytes
from hunyuan_runner.families.hunyuan15 import HUNYUAN15, QUOTED
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.models.checking import problems_of
from hunyuan_runner.params import GenerationParams, GenerationRequest, Stage
from hunyuan_runner.prompts.tokens import TokenizerUnusable, quoted_text, unread
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.quoting.memory import peak_bytes, transformer_bytes
from hunyuan_runner.settings import Settings
from tests import double15

MODEL = MODELS["hunyuanvideo15"]
PROMPTS = {
    "plain": "A cat walks on grass",
    "quoted": 'A sign says "Hello, you" next to “Wörld” and “Wörld”',
    "colour": 'The text "<color-1> red" in red',
    "empty": "",
    "other letters": "Zwei Äpfel & a naïve café — 猫が歩く {braces}",
    "too long": "x " * 1200,
    "too long a quote": f'"{"long text " * 40}" on a wall',
}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    double15.save_model(folder / MODEL.id)
    return folder


@pytest.fixture(scope="module")
def encoders(models_dir: Path) -> TextEncoders:
    return load_encoders(models_dir / MODEL.id, torch.float32)


@pytest.fixture(scope="module")
def pipeline(models_dir: Path) -> HunyuanVideo15Pipeline:
    pipeline = double15.reference(models_dir / MODEL.id)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_prompts_are_encoded_as_by_diffusers_pipeline_without_its_padding(
    encoders: TextEncoders, pipeline: HunyuanVideo15Pipeline, prompt: str
) -> None:
    ours = encode(encoders, prompt)
    embeds, mask, embeds_2, mask_2 = pipeline.encode_prompt(prompt or None, dtype=torch.float32)
    for name, expected, read in (
        ("prompt_embeds", embeds, mask),
        ("prompt_embeds_2", embeds_2, mask_2),
    ):
        length = int(read.sum())
        assert ours[name].shape[1] == length
        torch.testing.assert_close(ours[name], expected[:, :length], rtol=1e-4, atol=1e-6)


def test_layers_that_are_not_read_are_not_loaded(encoders: TextEncoders) -> None:
    assert len(encoders.text_encoder.layers) == 2  # of four


def test_a_tokenizer_of_another_template_is_refused(models_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / MODEL.id
    shutil.copytree(models_dir / MODEL.id, folder)
    tokenizer = double15.qwen_tokenizer()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = None  # then no word is one token
    double15.write_qwen_tokenizer(folder / "tokenizer", tokenizer)
    with pytest.raises(TokenizerUnusable, match="108 are cropped"):
        load_encoders(folder, torch.float32)
    assert "108 are cropped" in problems_of(folder)["tokenizer"]


def test_what_is_not_read_of_a_prompt_is_named(models_dir: Path) -> None:
    folder = models_dir / MODEL.id
    assert unread(folder, HUNYUAN15.readers, "short") == {}
    assert unread(folder, HUNYUAN15.readers, "f" * 998 + " gh jk")["Qwen"].strip() == "gh jk"
    quote = "y" * 246 + "THE END"
    assert unread(folder, HUNYUAN15.readers, f'"{quote}"') == {"ByT5": "END"}


def test_what_is_quoted_is_read_once() -> None:
    assert quoted_text(QUOTED, "no quotes, it's") is None
    assert quoted_text(QUOTED, '"a" and “b” and "a"') == 'Text "a". Text "b". '


@torch.no_grad()
def test_masked_padding_changes_nothing(
    encoders: TextEncoders, pipeline: HunyuanVideo15Pipeline, models_dir: Path
) -> None:
    """diffusers' transformer with its own attention: padded and masked, with 729 masked tokens of
    no image, and as we call it."""
    transformer = pipeline.transformer
    prompt = PROMPTS["quoted"]
    embeds, mask, embeds_2, mask_2 = pipeline.encode_prompt(prompt, dtype=torch.float32)
    latents = torch.randn(1, 9, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([900.0])

    def predicted(prompt: Conditioning, image_tokens: int) -> torch.Tensor:
        velocity: torch.Tensor = transformer(
            hidden_states=latents,
            timestep=timestep,
            encoder_hidden_states=prompt["prompt_embeds"],
            encoder_attention_mask=prompt["prompt_embeds_mask"],
            encoder_hidden_states_2=prompt["prompt_embeds_2"],
            encoder_attention_mask_2=prompt["prompt_embeds_mask_2"],
            image_embeds=torch.zeros(1, image_tokens, transformer.config.image_embed_dim),
            return_dict=False,
        )[0]
        return velocity

    padded = {
        "prompt_embeds": embeds,
        "prompt_embeds_mask": mask,
        "prompt_embeds_2": embeds_2,
        "prompt_embeds_mask_2": mask_2,
    }
    torch.testing.assert_close(
        predicted(encode(encoders, prompt), 0), predicted(padded, 729), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("piece_bytes", [24e6, 1e4], ids=["at-once", "in-pieces"])
@pytest.mark.parametrize("num_latent_frames", [1, 2, 6])
def test_the_decoder_computes_what_diffusers_does(
    num_latent_frames: int, piece_bytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PIECE_BYTES", piece_bytes)
    torch.manual_seed(0)
    autoencoder = double15.vae()
    for parameter in autoencoder.decoder.parameters():
        parameter.normal_(std=0.1)
    latents = torch.randn(1, 4, num_latent_frames, 5, 7)
    expected = autoencoder.decode(latents, return_dict=False)[0][0]
    torch.testing.assert_close(Decoder(autoencoder)(latents[0]), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_tiles_cover_the_clip() -> None:
    torch.manual_seed(0)
    decoder = Decoder(double15.vae())
    latents = torch.randn(4, 3, 6, 7)
    whole = decode_tiles(decoder, latents, Tiling.of(latents.shape[1:], (1, 1, 1), decoder.tiles))
    torch.testing.assert_close(whole, decoder(latents))
    tiled = decode_tiles(decoder, latents, Tiling.of(latents.shape[1:], (1, 2, 2), decoder.tiles))
    assert tiled.shape == whole.shape == (3, 9, 96, 112)
    assert (tiled != 0).all()


@pytest.fixture(scope="module")
def real() -> Decoder:
    """The real model's decoder, of the right shapes but without weights."""
    with torch.device("meta"):
        return Decoder(AutoencoderKLHunyuanVideo15().to(torch.bfloat16))


@pytest.mark.parametrize("gigabytes", [8, 4, 2, 1, 0.5])
def test_tiles_stay_within_the_memory(real: Decoder, gigabytes: float) -> None:
    standard = torch.Size((16, 30, 40))  # latents of 640x480, 61 frames
    assert tile_bytes(real, choose_tiling(real, standard, gigabytes * 1e9)) <= gigabytes * 1e9


def test_the_real_model_costs_what_was_counted() -> None:
    with torch.device("meta"):
        transformer = HunyuanVideo15Transformer3DModel(task_type="t2v")
        decoder = AutoencoderKLHunyuanVideo15().decoder
    assert MODEL.parameters == pytest.approx(transformer.num_parameters(), rel=0.01)
    sizes = MODEL.architecture
    linears = sizes.block_parameters + sizes.modulation_parameters
    counted = sum(p.numel() for p in transformer.transformer_blocks.parameters())
    assert linears == pytest.approx(counted, rel=0.01)
    assert sizes.vae_bytes == pytest.approx(
        2 * sum(p.numel() for p in decoder.parameters()), rel=0.1
    )
    clip = resolve(width=640, height=480, num_frames=61, num_inference_steps=4)
    one = resolve(width=640, height=480, num_frames=61, num_inference_steps=4, guidance_scale=1)
    assert HUNYUAN15.tokens(clip) == 19_200
    assert Work.of(one, MODEL).denoise_flops / 4 == pytest.approx(267e12, rel=0.01)
    assert Work.of(clip, MODEL).denoise_flops == 2 * Work.of(one, MODEL).denoise_flops
    assert transformer_bytes(MODEL, Precision.INT8) < 6.5e9
    assert peak_bytes(clip, MODEL, Precision.INT8) < 17e9


def resolve(**fields: Any) -> GenerationParams:
    fields = {"prompt": "a cat", "seed": 1, "step_cache": "off"} | fields
    return GenerationRequest.model_validate(fields).resolve(MODEL.id, MODEL.presets)


def test_the_guidance_scale_is_the_weight_against_the_negative_prompt() -> None:
    params = resolve(negative_prompt="a dog")
    assert (params.guidance_scale, params.true_cfg_scale) == (6.0, 1.0)
    assert HUNYUAN15.negative_prompt(params) == "a dog"
    assert HUNYUAN15.negative_prompt(resolve()) == ""
    assert HUNYUAN15.negative_prompt(resolve(guidance_scale=1)) is None
    with pytest.raises(ValidationError, match=r"true_cfg_scale\n.*use guidance_scale"):
        resolve(negative_prompt="a dog", true_cfg_scale=3)
    with pytest.raises(ValidationError, match=r"negative_prompt\n.*has no effect"):
        resolve(negative_prompt="a dog", guidance_scale=1)


@pytest.mark.parametrize(
    ("file", "settings", "problem"),
    [
        ("transformer/config.json", {"task_type": "i2v"}, 'task_type = "i2v"'),
        ("transformer/config.json", {"use_meanflow": True}, "use_meanflow"),
        ("transformer/config.json", {"patch_size": 2}, "patch_size"),
        ("transformer/config.json", {"in_channels": 8}, "must be 9"),
        ("transformer/config.json", {"guidance_embeds": True}, "guidance_embeds"),
        ("guider/guider_config.json", {"stop": 0.5}, "stop = 0.5"),
        ("guider/guider_config.json", {"_class_name": "SkipLayerGuidance"}, "SkipLayer"),
        ("text_encoder/config.json", {"model_type": "qwen2_5_vl"}, "qwen2_5_vl"),
        ("vae/config.json", {"upsample_match_channel": False}, "upsample_match_channel"),
    ],
)
def test_another_model_of_the_same_classes_is_refused(
    models_dir: Path, tmp_path: Path, file: str, settings: dict[str, object], problem: str
) -> None:
    folder = tmp_path / MODEL.id
    shutil.copytree(models_dir / MODEL.id, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    assert unknown_settings(folder) == {}
    configuration = json.loads((folder / file).read_text()) | settings
    (folder / file).write_text(json.dumps(configuration))
    assert problem in unknown_settings(folder)[file]


def test_the_double_is_complete(models_dir: Path) -> None:
    assert problems_of(models_dir / MODEL.id) == {}
    shards = sorted((models_dir / MODEL.id / "transformer").glob("*.safetensors"))
    assert len(shards) > 1
    shards[0].rename(shards[0].with_suffix(".gone"))
    try:
        assert "is missing" in problems_of(models_dir / MODEL.id)[f"transformer/{shards[0].name}"]
    finally:
        shards[0].with_suffix(".gone").rename(shards[0])


@pytest.fixture(scope="module")
def engine(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        models_dir=models_dir,
        threads=1,
        precision="fp32",
        cancel_grace_seconds=60,
    )
    engine = EngineProcess(settings, tmp_path_factory.mktemp("scratch"))
    yield engine
    engine.close()


class Seen:
    """The events of a render whose engine is killed at one of them: at a stage or after a step."""

    def __init__(self, engine: EngineProcess, cue: Stage | int | None = None) -> None:
        self.events: list[Event] = []
        self.checkpoint: bytes | None = None
        self._engine = engine
        self._cue = cue

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case StepFinished(step, checkpoint):
                self.checkpoint = checkpoint
                self._kill_at(step)
            case StageStarted(stage):
                self._kill_at(stage)

    def _kill_at(self, place: Stage | int) -> None:
        if place == self._cue:
            assert self._engine.pid is not None
            os.kill(self._engine.pid, signal.SIGKILL)

    @property
    def resumed_at(self) -> list[int]:
        return [event.step for event in self.events if isinstance(event, Resumed)]


# A checkpoint that is larger than a pipe's buffer, and frames that take a while to decode: so a
# signal arrives before the child goes on.
CLIP = double15.params(
    model=MODEL.id,
    prompt='A sign says "Hello" on the grass' + " and on the grass" * 60,
    width=128,
    height=128,
    num_frames=17,
)


def render(
    engine: EngineProcess,
    seen: Seen,
    checkpoint: bytes | None = None,
    draft_after: int | None = None,
) -> Any:
    path = engine.generate(CLIP, checkpoint, seen, lambda: None, draft_after).frames
    frames = np.load(path)
    path.unlink()
    return frames


def test_a_clip_killed_at_every_stage_is_bit_identical(engine: EngineProcess) -> None:
    checkpoint, steps = None, []
    for cue in (Stage.LOADING, Stage.ENCODING, 2, Stage.DECODING):
        killed = Seen(engine, cue)
        with pytest.raises(EngineDied):
            render(engine, killed, checkpoint)
        steps += killed.resumed_at
        checkpoint = killed.checkpoint
    last = Seen(engine)
    frames = render(engine, last, checkpoint)
    assert steps + last.resumed_at == [2, 4]

    undisturbed = Seen(engine)
    assert np.array_equal(render(engine, undisturbed), frames)
    assert frames.shape == (17, 128, 128, 3)
    assert undisturbed.resumed_at == []
    assert any(isinstance(event, Preview) for event in undisturbed.events)

    draft = Seen(engine)
    assert not np.array_equal(render(engine, draft, draft_after=3), frames)
    assert np.array_equal(render(engine, Seen(engine), draft.checkpoint), frames)


# Of diffusers' names, as patterns, the authors' ones, where they differ.
AUTHORS_NAMES = {
    r"^context_embedder\.token_refiner\.refiner_blocks": "txt_in.individual_token_refiner.blocks",
    r"(blocks\.\d+)\.attn\.to_out\.0": r"\1.self_attn_proj",
    r"(token_refiner\.blocks\.\d+)\.ff\.net\.0\.proj": r"\1.mlp.fc1",
    r"(token_refiner\.blocks\.\d+)\.ff\.net\.2": r"\1.mlp.fc2",
    r"(token_refiner\.blocks\.\d+)\.norm_out\.linear": r"\1.adaLN_modulation.1",
    r"^transformer_blocks\.(\d+)\.self_attn_proj": r"double_blocks.\1.img_attn_proj",
    r"^transformer_blocks": "double_blocks",
    r"norm1\.linear": "img_mod.linear",
    r"norm1_context\.linear": "txt_mod.linear",
    r"attn\.norm_added_(.)": r"txt_attn_\1_norm",
    r"attn\.norm_(.)": r"img_attn_\1_norm",
    r"attn\.add_(.)_proj": r"txt_attn_\1",
    r"attn\.to_add_out": "txt_attn_proj",
    r"attn\.to_(.)\.": r"img_attn_\1.",
    r"ff_context\.net\.0\.proj": "txt_mlp.fc1",
    r"ff_context\.net\.2": "txt_mlp.fc2",
    r"ff\.net\.0\.proj": "img_mlp.fc1",
    r"ff\.net\.2": "img_mlp.fc2",
    r"^time_embed\.timestep_embedder\.linear_1": "time_in.mlp.0",
    r"^time_embed\.timestep_embedder\.linear_2": "time_in.mlp.2",
    r"^context_embedder\.time_text_embed\.timestep_embedder\.linear_1": "txt_in.t_embedder.mlp.0",
    r"^context_embedder\.time_text_embed\.timestep_embedder\.linear_2": "txt_in.t_embedder.mlp.2",
    r"^context_embedder\.time_text_embed\.text_embedder": "txt_in.c_embedder",
    r"^context_embedder\.proj_in": "txt_in.input_embedder",
    r"^context_embedder_2\.norm": "byt5_in.layernorm",
    r"^context_embedder_2\.linear_": "byt5_in.fc",
    r"^image_embedder\.norm_in": "vision_in.proj.0",
    r"^image_embedder\.linear_1": "vision_in.proj.1",
    r"^image_embedder\.linear_2": "vision_in.proj.3",
    r"^image_embedder\.norm_out": "vision_in.proj.4",
    r"^x_embedder": "img_in",
    r"^cond_type_embed": "cond_type_embedding",
    r"^norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"^proj_out": "final_layer.linear",
}


def with_authors_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Query, key and value of the text refiner as one, and the last shift before the scale."""
    named: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        for ours, theirs in AUTHORS_NAMES.items():
            name = re.sub(ours, theirs, name)
        if match := re.fullmatch(r"(txt_in.*)\.img_attn_[qkv]\.(\w+)", name):
            name = f"{match[1]}.self_attn_qkv.{match[2]}"
            tensor = torch.cat([named[name], tensor]) if name in named else tensor
        if name.startswith("final_layer.adaLN"):
            tensor = torch.cat(tensor.chunk(2)[::-1])
        named[name] = tensor
    return named


@pytest.fixture
def single_file(models_dir: Path, tmp_path: Path) -> Path:
    """The double with its transformer in one file in half precision, under the authors' names."""
    folder = tmp_path / MODEL.id
    skipped = shutil.ignore_patterns("diffusion_pytorch_model*")
    shutil.copytree(models_dir / MODEL.id / "transformer", folder / "transformer", ignore=skipped)
    weights = double15.reference(models_dir / MODEL.id).transformer.half().state_dict()
    named = {name: tensor.contiguous() for name, tensor in with_authors_names(weights).items()}
    save_file(named, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    return folder


def test_weights_under_the_authors_names_are_the_same_weights(
    models_dir: Path, single_file: Path
) -> None:
    expected = double15.reference(models_dir / MODEL.id).transformer.half().state_dict()
    loaded, _ = load_transformer(single_file, Precision.FP32, 1, WantedKernels(single_file))
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor.float()), name

    quantize(single_file, lambda done, of: None)
    by_diffusers = single_file.with_name("by_diffusers")
    shutil.copytree(single_file / "transformer", by_diffusers / "transformer")
    file = by_diffusers / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, file)
    quantize(by_diffusers, lambda done, of: None)
    digests = [
        (folder / "transformer_int8" / "digests.json").read_text()
        for folder in (single_file, by_diffusers)
    ]
    assert digests[0] == digests[1]


def test_the_authors_file_has_as_many_tensors_as_the_real_one() -> None:
    with torch.device("meta"):
        transformer = HunyuanVideo15Transformer3DModel(task_type="t2v")
    named = with_authors_names(transformer.state_dict())
    assert len(named) == 1793
    for name in ("double_blocks.53.img_attn_q_norm.weight", "vision_in.proj.4.bias"):
        assert name in named


def test_a_name_that_no_one_knows_is_refused(single_file: Path) -> None:
    path = single_file / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(path) | {"time_r_in.mlp.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"unknown weights.*time_r_in\.mlp\.0"):
        load_transformer(single_file, Precision.FP32, 1, WantedKernels(single_file))
    weights = load_file(path)
    del weights["time_r_in.mlp.0.weight"], weights["img_in.proj.bias"]
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"lacks 1 weights.*x_embedder\.proj\.bias"):
        load_transformer(single_file, Precision.FP32, 1, WantedKernels(single_file))
