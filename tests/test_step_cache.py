"""The step cache: which steps are computed, what is predicted, what a checkpoint keeps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hunyuan_runner.engine.checkpoint import Checkpoint
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.messages import Event, Generate, StepFinished
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.engine.sealed import DIGEST_BYTES
from hunyuan_runner.engine.step_cache import Predictor, Velocities
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams
from tests import tiny


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.save_model(folder)
    return folder


def params(step_cache: str = "balanced", **changes: object) -> GenerationParams:
    return tiny.params(num_inference_steps=12, num_frames=5, step_cache=step_cache, **changes)


@pytest.mark.parametrize(("guidance", "passes"), [({}, 1), ({"negative_prompt": "a dog"}, 2)])
@pytest.mark.parametrize("step_cache", ["off", "balanced", "fast"])
def test_the_blocks_run_at_the_computed_steps_alone(
    model_dir: Path, tmp_path: Path, step_cache: str, guidance: dict[str, object], passes: int
) -> None:
    components = Components(model_dir, Precision.FP32, threads=1, kernels=WantedKernels(tmp_path))
    transformer = components.transformer(lambda: None)
    evaluations, steps = 0, []

    def count(*_: object) -> None:
        nonlocal evaluations
        evaluations += 1

    def report(event: Event) -> None:
        if isinstance(event, StepFinished):
            steps.append((event.step - 1, evaluations))

    transformer.transformer_blocks[0].register_forward_hook(count)
    clip = params(step_cache, true_cfg_scale=3.0 if guidance else 1.0, **guidance)
    frames = tmp_path / "frames.npy"
    request = Generate(1, clip, model_dir, Precision.FP32, None, None, 0, frames)
    VideoPipeline(components, tmp_path / "prompts").generate(request, report)

    computed = clip.computed_steps
    assert steps == [(n, passes * sum(at <= n for at in computed)) for n in range(12)]


def line(steps: tuple[int, ...], sigmas: list[float]) -> Velocities:
    """Velocities that are linear in the noise level."""
    return {step: torch.tensor([1.0, 2.0]) + 3 * sigmas[step] for step in steps}


def test_a_velocity_that_is_linear_in_the_noise_level_is_predicted_exactly() -> None:
    clip = params()
    predictor = Predictor(clip)
    step = next(n for n in range(5, 12) if n not in clip.computed_steps)
    earlier = [n for n in clip.computed_steps if n < step][-2:]
    predicted = predictor.predict(step, line(tuple(earlier), clip.sigmas))
    assert predicted is not None
    torch.testing.assert_close(predicted, line((step,), clip.sigmas)[step])


def test_a_single_velocity_is_held() -> None:
    velocity = torch.tensor([1.0, 2.0])
    assert Predictor(params()).predict(1, {0: velocity}) is velocity


def test_a_prediction_reaches_no_further_than_the_stride_it_rests_on() -> None:
    clip = params()
    predicted = Predictor(clip).predict(8, {0: torch.tensor([5.0]), 1: torch.tensor([6.0])})
    assert predicted == torch.tensor([7.0])


def test_what_is_remembered_are_the_last_two_computed_steps() -> None:
    clip = params()
    predictor, velocities = Predictor(clip), Velocities()
    for step in range(12):
        velocities = predictor.remember(step, torch.tensor([float(step)]), velocities)
    assert set(velocities) == set(clip.computed_steps[-2:])


def test_without_a_cache_nothing_is_remembered() -> None:
    assert Predictor(params("off")).remember(0, torch.tensor([1.0]), {}) == {}


def test_a_checkpoint_keeps_the_velocities() -> None:
    clip = params()
    velocities = {4: torch.rand(1, 4, 2, 8, 8), 10: torch.rand(1, 4, 2, 8, 8)}
    latents, conditioning = torch.rand(1, 4, 2, 8, 8), {"prompt_embeds": torch.rand(1, 2, 3)}
    data = Checkpoint(11, latents, conditioning, velocities).to_bytes(clip, "model")
    read = Checkpoint.from_bytes(data, clip, {"model"})
    assert read.velocities.keys() == velocities.keys()
    assert all(torch.equal(read.velocities[step], velocities[step]) for step in velocities)
    assert read.conditioning.keys() == conditioning.keys()


def test_a_checkpoint_written_before_there_was_a_step_cache_is_usable() -> None:
    clip = params("off")
    written = clip.model_dump()
    del written["step_cache"]
    data = Checkpoint(3, torch.rand(1), {}).to_bytes(clip, "model")[:-DIGEST_BYTES]
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"] | {"params": json.dumps(written)}
    older = safetensors.torch.save(safetensors.torch.load(data), metadata)
    assert Checkpoint.from_bytes(older + hashlib.sha256(older).digest(), clip, {"model"}).step == 3
