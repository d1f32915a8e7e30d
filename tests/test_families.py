"""A model is computed as it was trained, or refused by the name of what is unknown in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hunyuan_runner.catalogue import unknown_settings
from hunyuan_runner.engine.blocks import Int8Blocks, Modulation
from hunyuan_runner.engine.checkpoint import fingerprint
from hunyuan_runner.engine.child import describe_failure
from hunyuan_runner.engine.components import Components, ModelIncomplete
from hunyuan_runner.engine.messages import Generate
from hunyuan_runner.families.configuration import UnknownModel
from hunyuan_runner.families.hunyuan import HUNYUAN
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.models.checking import problems_of
from hunyuan_runner.settings import BUNDLED_MODELS
from tests import double, tiny
from tests.conftest import ROOT

# What the repository of the 13B model says, written by diffusers 0.32.
REAL_TRANSFORMER = {
    "_class_name": "HunyuanVideoTransformer3DModel",
    "_diffusers_version": "0.32.0.dev0",
    "attention_head_dim": 128,
    "guidance_embeds": True,
    "in_channels": 16,
    "mlp_ratio": 4.0,
    "num_attention_heads": 24,
    "num_layers": 20,
    "num_refiner_layers": 2,
    "num_single_layers": 40,
    "out_channels": 16,
    "patch_size": 2,
    "patch_size_t": 1,
    "pooled_projection_dim": 768,
    "qk_norm": "rms_norm",
    "rope_axes_dim": [16, 56, 56],
    "rope_theta": 256.0,
    "text_embed_dim": 4096,
}


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.save_model(folder)
    return folder


@pytest.fixture
def model_dir(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of its own, with configurations to write in."""
    folder: Path = shutil.copytree(tiny_model, tmp_path / "hunyuanvideo")
    return folder


def change(path: Path, **settings: object) -> None:
    configuration: dict[str, Any] = json.loads(path.read_text()) | settings
    kept = {name: value for name, value in configuration.items() if value is not ...}
    path.write_text(json.dumps(kept))


def load(model_dir: Path) -> Components:
    return Components(model_dir, Precision.FP32, threads=1, kernels=WantedKernels(model_dir))


@pytest.mark.parametrize(
    ("file", "settings", "problem"),
    [
        ("model_index.json", {"_class_name": "HunyuanVideoImageToVideoPipeline"}, "pipeline"),
        ("model_index.json", {"image_encoder": ["transformers", "Siglip"]}, "image_encoder"),
        ("transformer/config.json", {"image_condition_type": "token_replace"}, "token_replace"),
        ("transformer/config.json", {"in_channels": 33}, "in_channels = 33"),
        ("transformer/config.json", {"in_channels": ...}, "lacks in_channels"),
        ("transformer/config.json", {"num_single_layers": ...}, "lacks num_single_layers"),
        ("transformer/config.json", {"guidance_embeds": False}, "guidance_embeds = false"),
        ("transformer/config.json", {"patch_size": 1}, "patch_size = 1"),
        ("transformer/config.json", {"qk_norm": "layer_norm"}, "qk_norm"),
        ("transformer/config.json", {"use_meanflow": True}, "use_meanflow = true"),
        ("transformer/config.json", {"_class_name": "SkyReelsTransformer"}, "SkyReelsTransformer"),
        ("transformer/config.json", {"text_embed_dim": 9}, "text_embed_dim = 9"),
        ("vae/config.json", {"spatial_compression_ratio": 16}, "spatial_compression_ratio"),
        ("vae/config.json", {"act_fn": "gelu"}, "act_fn"),
        ("text_encoder/config.json", {"model_type": "qwen2"}, "qwen2"),
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": True}, "dynamic_shifting"),
        ("scheduler/scheduler_config.json", {"_class_name": "UniPC"}, "UniPC"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_what_is_unknown_in_a_model_is_named_at_load_and_by_verify(
    model_dir: Path, file: str, settings: dict[str, object], problem: str
) -> None:
    assert problems_of(model_dir) == {}
    change(model_dir / file, **settings)
    found = problems_of(model_dir)
    assert problem in found[file]
    with pytest.raises(UnknownModel, match=file) as refused:
        load(model_dir)
    request = Generate(1, tiny.params(), model_dir, Precision.FP32, None, None, 0, model_dir)
    failure = describe_failure(refused.value, request)
    assert failure.code == "model_unavailable"
    assert found[file] in failure.message


@pytest.mark.parametrize("save", [tiny.save_model, double.save_model], ids=["tiny", "double"])
def test_a_model_of_the_family_is_known(save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path)
    assert unknown_settings(tmp_path) == {}


def test_the_bundled_and_the_real_models_are_known(tmp_path: Path) -> None:
    assert problems_of(BUNDLED_MODELS / "demo") == {}
    index = {"_class_name": "HunyuanVideoPipeline", "transformer": ["diffusers", "…"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(REAL_TRANSFORMER))
    assert unknown_settings(tmp_path) == {}


def test_a_transformer_that_is_there_in_int8_only_is_looked_at_too(model_dir: Path) -> None:
    (model_dir / "transformer").rename(model_dir / "transformer_int8")
    path = model_dir / "transformer_int8" / "config.json"
    change(path, quantized="hunyuan-runner int8 1")
    assert unknown_settings(model_dir) == {}
    change(path, image_condition_type="latent_concat")
    assert "latent_concat" in unknown_settings(model_dir)["transformer_int8/config.json"]


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_weights_that_no_configuration_announces_are_refused(model_dir: Path, part: str) -> None:
    path = model_dir / part / "diffusion_pytorch_model.safetensors"
    weights = load_file(path) | {"image_embedder.weight": torch.zeros(1)}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelIncomplete, match=r"unknown weights.*image_embedder\.weight"):
        load(model_dir).transformer(lambda: None)


def test_int8_blocks_refuse_what_they_would_have_to_pass_over() -> None:
    blocks = Int8Blocks(None, [], [], Modulation([]), heads=1)  # type: ignore[arg-type]
    nothing = torch.zeros(1, 1, 1)
    with pytest.raises(NotImplementedError, match="token_replace_emb"):
        blocks(nothing, nothing, nothing, None, (nothing, nothing), nothing, 1)
    with pytest.raises(TypeError):
        blocks(nothing, nothing, nothing, None, (nothing, nothing), None, 1, nothing)


def test_checkpoints_of_earlier_versions_are_still_of_the_same_model() -> None:
    """What version c341df3 wrote into the checkpoints of the demo model."""
    assert fingerprint(BUNDLED_MODELS / "demo") == (
        "8ef4dc4c4ecfb239a79daf7a27014d4f6da15b80c9ef247e2cb373166af836a0 "
        "2f4f6839e88b5472338273488afdd88394125606959481b714d7f836597802c1"
    )


def test_sizes_and_numbers_of_frames_are_those_of_the_family() -> None:
    clip = tiny.params(width=360, height=100, num_frames=61)
    assert HUNYUAN.generated_pixels(clip) == 368 * 112
    assert HUNYUAN.latent_shape(clip) == (16, 14, 46)
    assert HUNYUAN.tokens(clip) == 16 * 7 * 23
    assert [HUNYUAN.nearest_num_frames(frames) for frames in (0, 1, 48, 51.5)] == [1, 1, 49, 53]
    assert HUNYUAN.tokens(tiny.params(width=640, height=480, num_frames=61)) == 19_200


TOY = """
_MODELS += (
    Model(
        id="toy",
        title="A toy",
        repo=None,
        revision=None,
        licence="Apache-2.0",
        parameters=36,
        family=TOYS,
        architecture=Architecture(0, 1, 6, 1, 1.0, 6e3, 6e3, (6,), False, 1e3),
        presets=dict.fromkeys(
            ("fast", "standard", "high"), Preset(66, 64, 17, 15, 4, 2.0, 3.0, "balanced")
        ),
    ),
)

MODELS: """


@pytest.fixture(scope="module")
def with_toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the toys: two files more, and a model in the catalogue."""
    copy = tmp_path_factory.mktemp("copy")
    package = copy / "hunyuan_runner"
    shutil.copytree(
        ROOT / "hunyuan_runner", package, ignore=shutil.ignore_patterns("bundled", "__pycache__")
    )
    (package / "bundled").symlink_to(ROOT / "hunyuan_runner" / "bundled")
    shutil.copy(ROOT / "tests" / "toy" / "family.py", package / "families" / "toy.py")
    shutil.copy(ROOT / "tests" / "toy" / "engine.py", package / "engine" / "toy.py")
    catalogue = (package / "catalogue.py").read_text()
    imported = "from hunyuan_runner.families.hunyuan import HUNYUAN\n"
    added = catalogue.replace(
        imported, f"{imported}from hunyuan_runner.families.toy import TOYS\n"
    ).replace("\nMODELS: ", TOY)
    assert added.count("TOYS") == 2
    (package / "catalogue.py").write_text(added)
    return copy


def test_a_third_family_needs_its_own_files_and_a_line_of_the_catalogue(
    with_toys: Path, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "tests" / "toy" / "scenario.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(with_toys)}
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["shape"] == [17, 64, 66, 3]
    assert seen["varies"] > 10
    assert seen["same"]  # as the clip that ran through
    assert seen["resumed"] == [2]
    assert seen["previews"] > 0
    assert seen["verified"] == {}
    assert "transformer/config.json has image = true" in seen["refused"]
    assert "image = true" in seen["problems"]["transformer/config.json"]
    good, bad = seen["frames"]
    assert good == "none"
    assert "must be 8k+1, such as 1 or 9" in bad
    assert seen["seconds"] == 17
    assert seen["evaluations"] == 2 * 3  # with the step cache, and two passes each
    assert seen["peak"] > 1e9
    assert seen["profile"]
    assert seen["warnings"] == []
