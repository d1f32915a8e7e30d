"""HunyuanVideo-1.5: its prompts, its VAE, its quotes, and a clip that is interrupted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

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
from hunyuan_runner.engine.quantize import quantize
from hunyuan_runner.engine.vae import Tiling, choose_tiling, decode_tiles, needed_bytes
from hunyuan_runner.families.hunyuan15 import HUNYUAN15, QUOTED
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.models.checking import problems_of
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.prompts.tokens import TokenizerUnusable, quoted_text, unread
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.quoting.memory import peak_bytes, transformer_bytes
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
    whole, tiled = (
        torch.stack(
            [*decode_tiles(decoder, latents, Tiling.of(latents.shape[1:], counts, decoder.tiles))],
            dim=1,
        )
        for counts in ((1, 1, 1), (1, 2, 2))
    )
    torch.testing.assert_close(whole, decoder(latents))
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
    tiling = choose_tiling(real, standard, gigabytes * 1e9)
    assert needed_bytes(real, standard, tiling) <= gigabytes * 1e9


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


@pytest.fixture
def single_file(models_dir: Path, tmp_path: Path) -> Path:
    """The double with its transformer in one file in half precision, under the authors' names."""
    folder = tmp_path / MODEL.id
    shutil.copytree(models_dir / MODEL.id / "transformer", folder / "transformer")
    double15.put_into_one_file(folder / "transformer")
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
    named = double15.with_authors_names(transformer.state_dict())
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
