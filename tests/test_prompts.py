"""A prompt is encoded once: what is cached, for which models, and how much of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.messages import Generate
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.engine.prompts import PromptCache
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from tests import tiny


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.save_model(folder)
    return folder


@pytest.fixture(scope="module")
def components(model_dir: Path) -> Components:
    return Components(model_dir, Precision.FP32, threads=1, kernels=WantedKernels(model_dir))


@pytest.fixture
def encoded(components: Components) -> Iterator[list[object]]:
    """Something for each run of the text encoder."""
    runs: list[object] = []
    encoder = components.text_encoders(lambda: None).text_encoder
    hook = encoder.register_forward_hook(lambda *_: runs.append(None))
    yield runs
    hook.remove()


Render = Callable[[Path], npt.NDArray[np.uint8]]


@pytest.fixture
def render(model_dir: Path, components: Components, tmp_path: Path) -> Render:
    """Renders a clip with a negative prompt, keeping what was encoded in a folder."""
    params = tiny.params(negative_prompt="a dog", true_cfg_scale=3.0, num_frames=5)

    def render(prompts: Path) -> npt.NDArray[np.uint8]:
        frames = tmp_path / "frames.npy"
        request = Generate(1, params, model_dir, Precision.FP32, None, None, 0, frames)
        VideoPipeline(components, prompts).generate(request, lambda event: None)
        clip: npt.NDArray[np.uint8] = np.load(frames)
        return clip

    return render


def test_a_prompt_that_comes_again_is_not_encoded_and_gives_the_same_clip(
    render: Render, encoded: list[object], tmp_path: Path
) -> None:
    first = render(tmp_path / "prompts")
    assert len(encoded) == 2
    assert np.array_equal(render(tmp_path / "prompts"), first)
    assert len(encoded) == 2
    assert np.array_equal(render(tmp_path / "another"), first)
    assert len(encoded) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-1], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[::-1], id="another"),
    ],
)
def test_a_damaged_file_is_made_anew(
    render: Render, encoded: list[object], tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    first = render(tmp_path / "prompts")
    for path in (tmp_path / "prompts").iterdir():
        path.write_bytes(spoil(path.read_bytes()))
    assert np.array_equal(render(tmp_path / "prompts"), first)
    assert len(encoded) == 4
    assert np.array_equal(render(tmp_path / "prompts"), first)
    assert len(encoded) == 4


def test_a_folder_that_cannot_be_written_costs_the_time_not_the_clip(
    render: Render, encoded: list[object], tmp_path: Path
) -> None:
    in_the_way = tmp_path / "prompts"
    in_the_way.touch()
    first = render(in_the_way)
    assert np.array_equal(render(in_the_way), first)
    assert len(encoded) == 4


class Encoder:
    """Encodes any prompt as a kilobyte, and counts."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> Conditioning:
        self.prompts.append(prompt)
        return {"prompt_embeds": torch.full((1, 1, 256), float(len(prompt)))}


def age(folder: Path) -> None:
    """Make everything kept so far an hour older."""
    for path in folder.iterdir():
        used = path.stat().st_mtime
        os.utime(path, (used - 3600, used - 3600))


def test_what_was_not_used_for_longest_goes_first(model_dir: Path, tmp_path: Path) -> None:
    encode = Encoder()
    folder = tmp_path / "prompts"
    cache = PromptCache(folder, model_dir, max_bytes=3000)  # two, not three
    for prompt in ("a", "b", "a", "c"):
        cache.conditioning(prompt, encode)
        age(folder)
    assert encode.prompts == ["a", "b", "c"]
    assert len([*folder.iterdir()]) == 2
    assert cache.conditioning("a", encode)["prompt_embeds"][0, 0, 0] == 1
    assert encode.prompts == ["a", "b", "c"]
    cache.conditioning("b", encode)
    assert encode.prompts == ["a", "b", "c", "b"]


def test_other_encoders_make_their_own(model_dir: Path, tmp_path: Path) -> None:
    encode = Encoder()
    tiny.save_model(tmp_path / "other", seed=1)
    for folder in (model_dir, tmp_path / "other", model_dir):
        PromptCache(tmp_path / "prompts", folder).conditioning("a", encode)
    assert len(encode.prompts) == 2


def test_with_other_threads_last_bits_may_differ_so_they_make_their_own(
    model_dir: Path, tmp_path: Path
) -> None:
    encode, threads = Encoder(), torch.get_num_threads()
    cache = PromptCache(tmp_path / "prompts", model_dir)
    try:
        for number in (1, 2, 1):
            torch.set_num_threads(number)
            cache.conditioning("a", encode)
    finally:
        torch.set_num_threads(threads)
    assert len(encode.prompts) == 2
