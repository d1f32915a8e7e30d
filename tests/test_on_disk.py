"""Large text encoders, whose weights stay on the disk: shown on doubles that count as large."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5Config,
    T5EncoderModel,
)

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine import components as components_module
from hunyuan_runner.engine import hunyuan, hunyuan15, loading
from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.components import Components, ModelIncomplete
from hunyuan_runner.engine.messages import Event, Generate, Resumed, StageStarted, StepFinished
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.engine.prompts import PromptCache
from hunyuan_runner.engine.sealed import seal, unseal
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import BF16_FLAGS, Precision, text_encoder_precision
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.quoting.memory import PROCESS_BYTES, peak_bytes
from tests import double, double15, tiny

PROMPT = 'A cat walks on grass beside a sign that says "猫 & café"'
Family = tuple[Any, ModuleType]

FAMILIES: dict[str, Family] = {"hunyuan": (double, hunyuan), "hunyuan15": (double15, hunyuan15)}
BETWEEN = 20_000  # parameters: fewer than in the doubles of Llama and Qwen, more than in the others
LEAST_DB = 40


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    for name, (package, _) in FAMILIES.items():
        package.save_model(folder / name)
    return folder


@pytest.fixture
def model_dir(request: pytest.FixtureRequest, packages: Path, tmp_path: Path) -> Path:
    """A copy, which a test may spoil."""
    return Path(
        shutil.copytree(packages / request.node.callspec.params["family"], tmp_path / "model")
    )


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama and Qwen count as large, also on CPUs where they would be computed in bf16."""
    monkeypatch.setattr(loading, "LARGE_PARAMETERS", BETWEEN)


def embeds(family: Family, folder: Path, dtype: torch.dtype) -> Conditioning:
    implementation = family[1].IMPLEMENTATION
    with torch.no_grad():
        encoded: Conditioning = implementation.encode(
            implementation.text_encoders(folder, dtype), PROMPT
        )
    return encoded


def decibels(found: torch.Tensor, expected: torch.Tensor) -> float:
    """How far the error is below the signal: both by their mean squares."""
    error = (found - expected).square().mean()
    return float(10 * torch.log10(expected.square().mean() / error.clamp_min(1e-30)))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    for path in folder.glob("*.safetensors"):
        weights = load_file(path)
        edit(weights)
        save_file(weights, path, metadata={"format": "pt"})


def with_outliers(weights: dict[str, torch.Tensor]) -> None:
    """As in Llama, a few channels are a hundred times as large as the others."""
    for name, weight in weights.items():
        if name.endswith(("down_proj.weight", "o_proj.weight")):
            weight[3] *= 100
        elif "layernorm" in name:
            weight[5] *= 30


@pytest.mark.parametrize("outliers", [False, True])
def test_a_large_encoder_gives_the_embeddings_of_fp32(
    family: Family,
    model_dir: Path,
    outliers: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if outliers:
        edit_weights(model_dir / "text_encoder", with_outliers)
    whole = embeds(family, model_dir, torch.float32)
    monkeypatch.setattr(loading, "LARGE_PARAMETERS", BETWEEN)
    read = embeds(family, model_dir, torch.float32)
    assert read.keys() == whole.keys()
    for name, expected in whole.items():
        assert decibels(read[name].float(), expected.float()) > 2 * LEAST_DB, name


@pytest.mark.usefixtures("large")
def test_in_bf16_a_large_encoder_computes_as_a_small_one(
    family: Family, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = embeds(family, model_dir, torch.bfloat16)
    monkeypatch.setattr(loading, "LARGE_PARAMETERS", 1e9)
    held = embeds(family, model_dir, torch.bfloat16)
    assert decibels(read["prompt_embeds"], held["prompt_embeds"]) > LEAST_DB


@pytest.mark.usefixtures("large")
def test_of_a_large_encoder_only_norms_and_biases_are_held(family: Family, model_dir: Path) -> None:
    encoders = family[1].IMPLEMENTATION.text_encoders(model_dir, torch.float32)
    held = dict(encoders.text_encoder.named_parameters())
    assert held
    assert all("norm" in name and weight.ndim == 1 for name, weight in held.items())
    counted = sum(map(loading.held_parameters, loading.encoder_folders(model_dir)))
    assert counted == sum(weight.numel() for weight in encoders.text_encoder_2.parameters())


@pytest.mark.usefixtures("large")
def test_layers_that_are_not_computed_are_not_read(family: Family, model_dir: Path) -> None:
    before = embeds(family, model_dir, torch.float32)["prompt_embeds"]
    layers = 3 if family[0] is double else 4

    def spoil(weights: dict[str, torch.Tensor]) -> None:
        for name, weight in weights.items():
            if name.startswith((f"layers.{layers - 1}.", f"layers.{layers - 2}.", "norm.")):
                weight.fill_(float("nan"))

    edit_weights(model_dir / "text_encoder", spoil)
    assert torch.equal(embeds(family, model_dir, torch.float32)["prompt_embeds"], before)


@pytest.mark.usefixtures("large")
def test_an_encoder_that_was_saved_as_part_of_a_model_is_the_same(
    family: Family, model_dir: Path
) -> None:
    before = embeds(family, model_dir, torch.float32)["prompt_embeds"]
    folder = model_dir / "text_encoder"
    weights = {f"model.{name}": weight for name, weight in every_weight(folder).items()}
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
        path.unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(embeds(family, model_dir, torch.float32)["prompt_embeds"], before)


def every_weight(folder: Path) -> dict[str, torch.Tensor]:
    files = folder.glob("*.safetensors")
    return {name: weight for path in files for name, weight in load_file(path).items()}


@pytest.mark.usefixtures("large")
def test_weights_that_are_missing_or_misshapen_are_named(family: Family, model_dir: Path) -> None:
    name, folder = "layers.0.mlp.up_proj.weight", model_dir / "text_encoder"

    def cut(weights: dict[str, torch.Tensor]) -> None:
        if name in weights:
            weights[name] = weights[name][1:].contiguous()

    def remove(weights: dict[str, torch.Tensor]) -> None:
        weights.pop(name, None)

    edit_weights(folder, cut)
    with pytest.raises(ValueError, match=rf"text_encoder: {name} is \[.*\], not \["):
        family[1].IMPLEMENTATION.text_encoders(model_dir, torch.float32)
    edit_weights(folder, remove)
    with pytest.raises(ValueError, match=rf"text_encoder lacks 1 weights, such as {name}"):
        family[1].IMPLEMENTATION.text_encoders(model_dir, torch.float32)


def test_bf16_is_used_where_the_cpu_multiplies_it() -> None:
    assert text_encoder_precision(8e9, BF16_FLAGS) is Precision.BF16
    assert text_encoder_precision(8e9, frozenset({"avx2", "avx512_vnni"})) is Precision.FP32
    assert text_encoder_precision(1e6, BF16_FLAGS) is Precision.FP32


@pytest.fixture
def components(
    model_dir: Path, large: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Components]:
    """With so little memory that nothing stays loaded without need."""
    monkeypatch.setattr(components_module, "NOTICED_BYTES", 0)
    monkeypatch.setattr(components_module, "available_memory_bytes", lambda: 0)
    threads = torch.get_num_threads()
    yield Components(model_dir, Precision.FP32, threads=1, kernels=WantedKernels(model_dir))
    torch.set_num_threads(threads)


Render = Callable[[Path, bytes | None], list[Event]]


@pytest.fixture
def render(components: Components, family: Family, tmp_path: Path) -> Render:
    """Renders a small clip into a file, and returns the events."""
    pipeline = VideoPipeline(components, tmp_path / "prompts")
    params = double15.params() if family[0] is double15 else tiny.params(num_frames=5)

    def render(frames: Path, checkpoint: bytes | None = None) -> list[Event]:
        events: list[Event] = []
        request = Generate(
            1, params, components.model_dir, Precision.FP32, checkpoint, None, 0, frames
        )
        pipeline.generate(request, events.append)
        return events

    return render


def stages(events: list[Event]) -> list[Stage]:
    return [event.stage for event in events if isinstance(event, StageStarted)]


def checkpoints(events: list[Event]) -> list[bytes]:
    return [event.checkpoint for event in events if isinstance(event, StepFinished)]


def test_encoding_begins_once_the_encoders_are_loaded(render: Render, tmp_path: Path) -> None:
    """So the time that it is seen to take is its own."""
    entered = stages(render(tmp_path / "frames.npy", None))
    assert entered[:2] == [Stage.LOADING, Stage.ENCODING]
    assert entered.count(Stage.ENCODING) == 1


def test_a_prompt_that_was_encoded_before_says_nothing_of_how_long_encoding_takes(
    render: Render, tmp_path: Path
) -> None:
    render(tmp_path / "first.npy", None)
    assert Stage.ENCODING not in stages(render(tmp_path / "again.npy", None))


def test_files_that_are_gone_when_a_prompt_comes_are_reported(
    components: Components, render: Render, tmp_path: Path
) -> None:
    components.text_encoders(lambda: None)
    for path in (components.model_dir / "text_encoder").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ModelIncomplete):
        render(tmp_path / "frames.npy", None)


def test_a_clip_goes_on_with_the_embeddings_that_it_began_with(
    render: Render, tmp_path: Path
) -> None:
    """They may have been made in another precision, by an earlier version or on another CPU."""
    whole, again = tmp_path / "whole.npy", tmp_path / "again.npy"
    tensors, metadata = unseal(checkpoints(render(whole, None))[0])
    names = [name for name in tensors if "prompt_embeds" in name and tensors[name].numel()]
    rounded = {name: tensors[name].to(torch.float8_e4m3fn).float() for name in names}

    events = render(again, seal(tensors | rounded, metadata))
    assert any(isinstance(event, Resumed) for event in events)
    assert Stage.ENCODING not in stages(events)
    kept, _ = unseal(checkpoints(events)[-1])
    assert all(torch.equal(kept[name], rounded[name]) for name in names)
    assert not np.array_equal(np.load(again), np.load(whole))


def test_a_prompt_that_was_encoded_in_another_precision_is_encoded_anew(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "text_encoder_precision", text_precision_of_large)
    encoded: list[str] = []

    def encode(prompt: str) -> Conditioning:
        encoded.append(prompt)
        return {"prompt_embeds": torch.zeros(1, 1, 8)}

    for flags in (frozenset[str](), BF16_FLAGS, frozenset[str]()):
        monkeypatch.setattr(loading, "cpu_flags", lambda flags=flags: flags)
        PromptCache(tmp_path / "prompts", packages / "hunyuan").conditioning(PROMPT, encode)
    assert len(encoded) == 2


def text_precision_of_large(_parameters: float, flags: frozenset[str]) -> Precision:
    return text_encoder_precision(8e9, flags)


def parameters(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def real_encoders() -> Mapping[str, tuple[torch.nn.Module, torch.nn.Module]]:
    """The text encoders by model, with their real sizes and without memory."""
    llama = LlamaConfig(
        vocab_size=128320,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    )
    clip = CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072)
    qwen = Qwen2_5_VLTextConfig(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        bos_token_id=None,
        eos_token_id=None,
    )
    byt5 = T5Config(
        vocab_size=1510,
        d_model=1472,
        d_kv=64,
        d_ff=3584,
        num_layers=12,
        num_heads=6,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        return {
            "hunyuanvideo": (LlamaModel(llama), CLIPTextModel(clip)),
            "hunyuanvideo15": (Qwen2_5_VLTextModel(qwen), T5EncoderModel(byt5)),
        }


@pytest.mark.parametrize("model", ["hunyuanvideo", "hunyuanvideo15"])
def test_the_sizes_of_real_encoders_are_those_that_quotes_are_made_of(
    real_encoders: Mapping[str, tuple[Any, torch.nn.Module]], model: str
) -> None:
    large, small = real_encoders[model]
    architecture = MODELS[model].architecture
    read = parameters(large.layers[:-2])
    assert architecture.text_layer_parameters == pytest.approx(read, rel=0.01)
    assert architecture.held_text_parameters == pytest.approx(parameters(small), rel=0.02)
    on_disk = 2 * (parameters(large) + parameters(small))
    assert architecture.text_encoder_bytes == pytest.approx(on_disk, rel=0.01)


def test_a_small_model_is_not_quoted_the_room_for_layers_on_the_disk() -> None:
    demo = MODELS["demo"]
    request = GenerationRequest(prompt="a cat", seed=1, model="demo", width=64, height=64)
    params = request.resolve("demo", demo.presets)
    assert peak_bytes(params, demo, Precision.FP32) < PROCESS_BYTES + 0.25e9


def test_encoding_is_not_what_takes_the_most_memory() -> None:
    for model, most in (("hunyuanvideo", 18e9), ("hunyuanvideo15", 12e9)):
        quoted = MODELS[model]
        request = GenerationRequest(prompt="a cat", seed=1, model=model)
        params = request.resolve(model, quoted.presets)
        small = replace(quoted, architecture=replace(quoted.architecture, held_text_parameters=0))
        peak = peak_bytes(params, quoted, Precision.INT8)
        assert peak == peak_bytes(params, small, Precision.INT8) < most
