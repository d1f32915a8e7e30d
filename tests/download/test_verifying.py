"""What `download_models.py` says of the models that are installed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hunyuan_runner.catalogue import MODELS
from tests import tiny
from tests.download.conftest import (
    FIRST,
    Hub,
    cut_short,
    download_models,
    flip_a_byte,
    install,
)


@pytest.mark.parametrize("with_manifest", [True, False], ids=["downloaded", "put there by hand"])
@pytest.mark.parametrize(
    ("path", "damage", "problem"),
    [
        (FIRST, Path.unlink, "is missing"),
        (FIRST, cut_short, "(has .* bytes, not|is broken)"),
        ("tokenizer/tokenizer_config.json", Path.unlink, "(is missing|has no configuration)"),
        ("model_index.json", cut_short, "is not JSON"),
        ("transformer/model.safetensors.index.json", cut_short, "is not an index of weights"),
    ],
    ids=["shard gone", "shard cut short", "config gone", "index broken", "weight index broken"],
)
def test_verify_finds_missing_and_broken_files(
    hub: Hub,
    models: Path,
    path: str,
    damage: Callable[[Path], None],
    problem: str,
    with_manifest: bool,
) -> None:
    install()
    folder = models / "hunyuanvideo"
    if not with_manifest:
        (folder / "manifest.json").unlink()
    assert download_models("hunyuanvideo", "--verify").returncode == 0
    damage(folder / path)
    result = download_models("hunyuanvideo", "--verify")
    assert result.returncode == 1
    assert path.split("/")[0] in result.stderr
    assert re.search(problem, result.stderr)


def test_verify_finds_a_single_altered_byte(hub: Hub, models: Path) -> None:
    install()
    flip_a_byte(models / "hunyuanvideo" / FIRST)
    result = download_models("hunyuanvideo", "--verify")
    assert result.returncode == 1
    assert f"{FIRST} differs from the published file" in result.stderr


def test_only_an_installed_model_can_be_verified(models: Path) -> None:
    result = download_models("hunyuanvideo", "--verify")
    assert result.returncode == 1
    assert "is not installed" in result.stderr


def test_the_list_says_which_models_are_installed(hub: Hub, models: Path) -> None:
    install()
    lines = {line.split()[0]: line for line in download_models("--list").stdout.splitlines()}
    assert MODELS.keys() <= lines.keys()
    assert "25.2 MB" in lines["hunyuanvideo"]
    assert "not installed" in lines["fasthunyuan"]
    assert all(model.licence in lines[model.id] for model in MODELS.values())


def test_a_model_in_int8_is_complete_without_the_original(models: Path) -> None:
    folder = models / "hunyuanvideo"
    tiny.save_model(folder)
    result = download_models("hunyuanvideo", "--quantise", "int8")
    assert result.returncode == 0, result.stderr
    assert f"{folder / 'transformer'}" in result.stdout
    assert "already" in download_models("hunyuanvideo", "--quantise", "int8").stdout
    shutil.rmtree(folder / "transformer")
    assert download_models("hunyuanvideo", "--verify").returncode == 0
    cut_short(folder / "transformer_int8" / "block-000.safetensors")
    result = download_models("hunyuanvideo", "--verify")
    assert result.returncode == 1
    assert "transformer_int8/block-000.safetensors is broken" in result.stderr


def test_a_broken_original_is_not_quantised(models: Path) -> None:
    folder = models / "hunyuanvideo"
    tiny.save_model(folder)
    cut_short(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    result = download_models("hunyuanvideo", "--quantise", "int8")
    assert result.returncode == 1
    assert "Error: hunyuanvideo could not be quantised" in result.stderr
    assert not (folder / "transformer_int8").exists()
