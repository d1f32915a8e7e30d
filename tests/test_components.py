"""Which components of a model are in memory, with plenty of it and with little."""

from __future__ import annotations

from pathlib import Path

import pytest

from hunyuan_runner.engine import components as module
from hunyuan_runner.engine.components import Components, ModelIncomplete
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from tests import tiny


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.save_model(folder)
    return folder


class Loadings:
    """Counts the waits that were reported."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def components_of(model_dir: Path) -> Components:
    return Components(model_dir, Precision.FP32, threads=1, kernels=WantedKernels(model_dir))


def let_memory_be(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr(module, "available_memory_bytes", lambda: size)


def test_with_room_for_all_components_they_stay(model_dir: Path) -> None:
    components, loadings = components_of(model_dir), Loadings()
    text_encoders = components.text_encoders(loadings)
    transformer = components.transformer(loadings)
    components.make_room_for_decoding(5e9)
    assert components.text_encoders(loadings) is text_encoders
    assert components.transformer(loadings) is transformer
    assert loadings.count == 0


def test_small_components_stay_however_little_memory_there_is(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_memory_be(monkeypatch, 0)
    components, loadings = components_of(model_dir), Loadings()
    text_encoders = components.text_encoders(loadings)
    transformer = components.transformer(loadings)
    components.make_room_for_decoding(5e9)
    assert components.text_encoders(loadings) is text_encoders
    assert components.transformer(loadings) is transformer


def test_with_little_memory_what_is_needed_displaces_what_is_not(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTICED_BYTES", 0)  # as if these were large
    let_memory_be(monkeypatch, 0)
    components, loadings = components_of(model_dir), Loadings()
    text_encoders = components.text_encoders(loadings)
    transformer = components.transformer(loadings)
    assert loadings.count == 2
    assert components.text_encoders(loadings) is not text_encoders
    assert components.transformer(loadings) is not transformer
    components.make_room_for_decoding(5e9)
    assert components.transformer(loadings) is not transformer
    assert loadings.count == 5


def test_a_model_that_lacks_a_component_is_incomplete(model_dir: Path, tmp_path: Path) -> None:
    tiny.save_model(tmp_path)
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelIncomplete):
        components_of(tmp_path)
