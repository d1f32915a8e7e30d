"""Which files hold a model's weights, and that damaged ones render nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hunyuan_runner.engine.process import EngineProcess, GenerationFailed
from hunyuan_runner.engine.quantize import quantize
from hunyuan_runner.settings import BUNDLED_MODELS, Settings
from hunyuan_runner.weights import (
    DOWNLOAD_NOTE,
    WeightsAltered,
    file_sha256,
    verify_weights,
    weight_files,
)
from tests import tiny
from tests.conftest import SHORT

VAE = "vae/diffusion_pytorch_model.safetensors"
SINGLE, SHARDS = "model.safetensors", ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]


def flip_a_byte(path: Path, at: int = -1000) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "demo"
    shutil.copytree(BUNDLED_MODELS / "demo", folder)
    return folder


@pytest.mark.parametrize(
    "others",
    [["model.fp16.safetensors"], ["model-q8_0.gguf", "model.bin"], ["ema.safetensors"]],
)
def test_variants_and_other_formats_are_no_weights(tmp_path: Path, others: list[str]) -> None:
    for name in (SINGLE, *others):
        (tmp_path / name).write_bytes(b"")
    assert weight_files(tmp_path) == [tmp_path / SINGLE]


def test_the_shards_of_an_index_are_the_weights(tmp_path: Path) -> None:
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[0]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model.fp16-1-of-1.safetensors").touch()
    assert weight_files(tmp_path) == [tmp_path / name for name in SHARDS]


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": "../b"}}']
)
def test_an_index_that_names_no_files_of_its_folder_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match="index"):
        weight_files(tmp_path)


@pytest.mark.slow
def test_a_variant_beside_the_weights_changes_nothing(tmp_path: Path) -> None:
    models = tmp_path / "models"
    tiny.save_model(models / "tiny")
    noise = {"nonsense": np.zeros(1000, np.float32)}
    for component in ("transformer", "vae", "text_encoder"):
        save_file(noise, models / "tiny" / component / "model.fp16.safetensors")
    settings = Settings(data_dir=tmp_path, models_dir=models, threads=1)
    engine = EngineProcess(settings, tmp_path / "scratch")
    try:
        engine.generate(tiny.params(), None, lambda event: None, lambda: None)
    finally:
        engine.close()


def test_the_bundled_model_is_intact(tmp_path: Path) -> None:
    listed = json.loads((BUNDLED_MODELS / "demo" / DOWNLOAD_NOTE).read_text())["files"]
    digests = {file["path"]: file["digest"] for file in listed}
    folder = BUNDLED_MODELS / "demo"
    files = [path for path in folder.glob("*/*") if path.is_file()]
    assert {str(path.relative_to(folder)): file_sha256(path) for path in files} == {
        path: digest for path, digest in digests.items() if "/" in path
    }
    verify_weights(folder, quantized=False, note=tmp_path / "note")


@pytest.mark.slow
def test_a_clip_of_damaged_weights_fails_and_says_which_they_are(
    model_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, models_dir=model_dir.parent, threads=1)
    params = tiny.params(**SHORT, model="demo")
    engine = EngineProcess(settings, tmp_path / "scratch")
    try:
        engine.generate(params, None, lambda event: None, lambda: None)
        engine.close()
        flip_a_byte(model_dir / VAE)
        engine = EngineProcess(settings, tmp_path / "scratch")
        with pytest.raises(GenerationFailed, match=VAE) as failure:
            engine.generate(params, None, lambda event: None, lambda: None)
    finally:
        engine.close()
    assert failure.value.code == "model_unavailable"
    assert "models verify demo" in failure.value.message


def test_weights_are_compared_once_and_again_when_they_change(
    model_dir: Path, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    verify_weights(model_dir, quantized=False, note=note)
    path = model_dir / VAE
    stat = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    verify_weights(model_dir, quantized=False, note=note)  # not read again: it looks the same
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(WeightsAltered, match=VAE):
        verify_weights(model_dir, quantized=False, note=note)
    note.write_text("{")
    with pytest.raises(WeightsAltered, match=VAE):
        verify_weights(model_dir, quantized=False, note=note)


def test_the_int8_form_is_compared_where_it_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny.save_model(folder)
    quantize(folder, lambda done, of: None)
    verify_weights(folder, quantized=True, note=tmp_path / "first")
    flip_a_byte(folder / "transformer_int8" / "block-000.safetensors")
    verify_weights(folder, quantized=False, note=tmp_path / "second")
    with pytest.raises(WeightsAltered, match="transformer_int8/block-000"):
        verify_weights(folder, quantized=True, note=tmp_path / "third")
