"""The denoising loop gives what diffusers' pipelines give, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import HunyuanVideoPipeline

from hunyuan_runner.engine.checkpoint import Checkpoint, Conditioning
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.denoising import State, denoise
from hunyuan_runner.engine.hunyuan.encoding import encode
from hunyuan_runner.engine.hunyuan.guided import GuidedTransformer
from hunyuan_runner.engine.step_cache import Predictor
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Cpu, Precision
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.schedule import StepCache
from hunyuan_runner.settings import BUNDLED_MODELS
from tests import double15, tiny

STEPS = 8
NEGATIVE = {"negative_prompt": "a dog", "true_cfg_scale": 3.3}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_model(folder / "tiny")
    (folder / "demo").symlink_to(BUNDLED_MODELS / "demo")
    double15.save_model(folder / "hunyuanvideo15")
    return folder


@pytest.fixture(scope="module")
def load(models_dir: Path) -> Callable[[str, Precision], Components]:
    """The components of a model, loaded once in each precision."""
    loaded: dict[tuple[str, Precision], Components] = {}

    def load(model: str, precision: Precision) -> Components:
        if (obstacle := Cpu.here().obstacle(precision)) is not None:
            pytest.skip(obstacle)
        if (model, precision) not in loaded:
            folder, kernels = models_dir / model, WantedKernels(models_dir / "kernels")
            loaded[model, precision] = Components(folder, precision, threads=1, kernels=kernels)
        return loaded[model, precision]

    return load


def params(**changes: object) -> GenerationParams:
    # A guidance scale that bfloat16 has to round.
    defaults = {"num_inference_steps": STEPS, "num_frames": 5, "guidance_scale": 5.3}
    return tiny.params(**defaults | changes)


def beginning(components: Components, clip: GenerationParams) -> Checkpoint:
    """Noise, and what the text encoders make of the prompts."""
    pipeline = components.text_encoders(lambda: None)
    with torch.no_grad():
        conditioning = encode(pipeline, clip.prompt)
        if clip.negative_prompt:
            negative = encode(pipeline, clip.negative_prompt)
            conditioning |= {f"negative_{name}": tensor for name, tensor in negative.items()}
    channels = components.decoder.config.latent_channels
    return Checkpoint(0, noise(channels), conditioning)


def steps_from(
    start: Checkpoint, transformer: torch.nn.Module, scheduler: Any, clip: GenerationParams
) -> Iterator[State]:
    guided = GuidedTransformer(transformer, start.conditioning, clip)
    return denoise(guided, scheduler, start, clip)


def noise(channels: int) -> torch.Tensor:
    return torch.randn(1, channels, 2, 8, 8, generator=torch.Generator().manual_seed(1))


class Reference:
    """diffusers' own pipeline, whose steps a callback sees; with its transformer's output in
    float32, as the scheduler rounds latents to what that is in."""

    def __init__(self, transformer: torch.nn.Module, scheduler: Any) -> None:
        nothing = dict.fromkeys(
            ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
        )
        self._pipeline = HunyuanVideoPipeline(
            transformer=transformer, scheduler=scheduler, **nothing
        )
        self._pipeline.set_progress_bar_config(disable=True)

    def checkpoints(self, clip: GenerationParams, start: Checkpoint) -> list[Checkpoint]:
        """After each step. The step cache predicts from the movements of the latents, in place of
        what the transformer would compute."""
        transformer, scheduler = self._pipeline.transformer, self._pipeline.scheduler
        seen = [start]
        predictor = Predictor(clip)
        forward = transformer.forward

        def predict_or_compute(*arguments: Any, **named: Any) -> tuple[torch.Tensor]:
            predicted = predictor.predict(seen[-1].step, seen[-1].velocities)
            return (forward(*arguments, **named)[0].float() if predicted is None else predicted,)

        def on_step_end(
            _: HunyuanVideoPipeline, step: int, __: torch.Tensor, tensors: dict[str, torch.Tensor]
        ) -> dict[str, torch.Tensor]:
            latents = tensors["latents"]
            sigma, next_sigma = scheduler.sigmas[step : step + 2].tolist()
            moved = (latents - seen[-1].latents) / (next_sigma - sigma)
            velocities = predictor.remember(step, moved, seen[-1].velocities)
            seen.append(Checkpoint(step + 1, latents, start.conditioning, velocities))
            return {}

        scheduler.set_shift(clip.flow_shift)
        transformer.forward = predict_or_compute
        try:
            self._pipeline(
                height=64,
                width=64,
                num_frames=clip.num_frames,
                num_inference_steps=clip.num_inference_steps,
                guidance_scale=clip.guidance_scale,
                true_cfg_scale=clip.true_cfg_scale,
                latents=start.latents,
                output_type="latent",
                callback_on_step_end=on_step_end,
                **start.conditioning,
            )
        finally:
            transformer.forward = forward
        return seen[1:]


def assert_equal(states: list[State], checkpoints: list[Checkpoint]) -> None:
    assert [state.step for state in states] == list(range(1, STEPS + 1))
    for state, checkpoint in zip(states, checkpoints, strict=True):
        assert state.latents.dtype == torch.float32
        assert torch.equal(state.latents, checkpoint.latents), state.step
        assert state.velocities.keys() == checkpoint.velocities.keys()
        for step, velocity in state.velocities.items():
            assert torch.equal(velocity, checkpoint.velocities[step]), state.step


@pytest.mark.parametrize("guidance", [{}, NEGATIVE], ids=["plain", "negative"])
@pytest.mark.parametrize("step_cache", get_args(StepCache))
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("model", ["tiny", "demo"])
def test_each_step_is_that_of_diffusers_pipeline(
    load: Callable[[str, Precision], Components],
    model: str,
    precision: Precision,
    step_cache: StepCache,
    guidance: dict[str, object],
) -> None:
    components = load(model, precision)
    clip = params(step_cache=step_cache, **guidance)
    start = beginning(components, clip)
    transformer = components.transformer(lambda: None)
    assert components.precision is precision
    states = list(steps_from(start, transformer, components.scheduler, clip))
    assert_equal(states, Reference(transformer, components.scheduler).checkpoints(clip, start))


@pytest.mark.parametrize("guidance", [{}, NEGATIVE], ids=["plain", "negative"])
def test_padding_is_masked_as_in_diffusers_pipeline(
    models_dir: Path, guidance: dict[str, object]
) -> None:
    """With diffusers' own transformer, which looks at the mask, and its own schedule."""
    pipeline = HunyuanVideoPipeline.from_pretrained(models_dir / "tiny")
    clip = params(**guidance)
    generator = torch.Generator().manual_seed(2)

    def padded(prefix: str, words: int) -> Conditioning:
        width = tiny.TEXT_WIDTH
        return {
            f"{prefix}prompt_embeds": torch.randn(1, 10, width, generator=generator),
            f"{prefix}pooled_prompt_embeds": torch.randn(1, 8, generator=generator),
            f"{prefix}prompt_attention_mask": (torch.arange(10) < words).long()[None],
        }

    conditioning = padded("", 6) | (padded("negative_", 3) if guidance else {})
    start = Checkpoint(0, noise(4), conditioning)
    states = list(steps_from(start, pipeline.transformer, pipeline.scheduler, clip))
    expected = Reference(pipeline.transformer, pipeline.scheduler).checkpoints(clip, start)
    assert_equal(states, expected)


@pytest.mark.parametrize("step_cache", get_args(StepCache))
@pytest.mark.parametrize("precision", list(Precision))
def test_from_any_step_the_rest_is_the_same(
    load: Callable[[str, Precision], Components], precision: Precision, step_cache: StepCache
) -> None:
    components = load("tiny", precision)
    clip = params(step_cache=step_cache, **NEGATIVE)
    start = beginning(components, clip)
    transformer = components.transformer(lambda: None)
    whole = list(steps_from(start, transformer, components.scheduler, clip))
    for state in whole[:-1]:
        here = Checkpoint(state.step, state.latents, start.conditioning, state.velocities)
        rest = steps_from(here, transformer, components.scheduler, clip)
        latents = [later.latents for later in rest]
        assert all(map(torch.equal, latents, [later.latents for later in whole[state.step :]]))
        assert len(latents) == STEPS - state.step


def test_the_expected_latents_are_those_of_a_straight_line(
    load: Callable[[str, Precision], Components],
) -> None:
    components = load("tiny", Precision.FP32)
    clip = params()
    start = beginning(components, clip)
    transformer = components.transformer(lambda: None)
    *states, last = steps_from(start, transformer, components.scheduler, clip)
    assert torch.equal(last.expected, last.latents)
    before = [start.latents, *(state.latents for state in states)]
    for earlier, state in zip(before, states, strict=False):
        sigma = clip.sigmas[state.step - 1]
        slope = (state.latents - earlier) / (clip.sigmas[state.step] - sigma)
        expected = state.latents - clip.sigmas[state.step] * slope
        np.testing.assert_allclose(state.expected, expected, rtol=1e-3, atol=1e-4)


class Reference15:
    """diffusers' pipeline of HunyuanVideo-1.5 with our transformer and what we encoded. It gets no
    tokens of an image, which it would mask. Its scheduler is listened to: it takes no callback."""

    def __init__(self, model_dir: Path, transformer: torch.nn.Module) -> None:
        self._pipeline = double15.reference(model_dir)
        self._pipeline.register_modules(transformer=transformer)
        self._pipeline.vision_num_semantic_tokens = 0
        self._pipeline.encode_prompt = self._as_given  # it cannot take text without tokens
        self._pipeline.set_progress_bar_config(disable=True)

    @staticmethod
    def _as_given(**arguments: Any) -> tuple[torch.Tensor, ...]:
        names = ("prompt_embeds", "prompt_embeds_mask", "prompt_embeds_2", "prompt_embeds_mask_2")
        return tuple(arguments[name] for name in names)

    def latents(self, clip: GenerationParams, start: Checkpoint) -> list[torch.Tensor]:
        """After each step, of a clip without a step cache."""
        pipeline, scheduler = self._pipeline, self._pipeline.scheduler
        seen: list[torch.Tensor] = []
        step = scheduler.step

        def listen(*arguments: Any, **named: Any) -> tuple[torch.Tensor]:
            stepped: tuple[torch.Tensor] = step(*arguments, **named)
            seen.append(stepped[0])
            return stepped

        scheduler.set_shift(clip.flow_shift)
        scheduler.step = listen
        pipeline.guider = pipeline.guider.new(guidance_scale=clip.guidance_scale)
        try:
            pipeline(
                height=64,
                width=64,
                num_frames=clip.num_frames,
                num_inference_steps=clip.num_inference_steps,
                latents=start.latents,
                output_type="latent",
                **start.conditioning,
            )
        finally:
            scheduler.step = step
        return seen


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
@pytest.mark.parametrize(
    ("guidance_scale", "prompt", "negative_prompt"),
    [(1.0, "A cat walks", None), (6.3, 'A sign: "Hi"', "a dog"), (6.3, "A cat", None)],
    ids=["distilled", "negative", "guided"],
)
def test_each_step_of_hunyuanvideo_15_is_that_of_diffusers_pipeline(
    load: Callable[[str, Precision], Components],
    precision: Precision,
    guidance_scale: float,
    prompt: str,
    negative_prompt: str | None,
) -> None:
    components = load("hunyuanvideo15", precision)
    clip = double15.params(
        prompt=prompt,
        negative_prompt=negative_prompt,
        guidance_scale=guidance_scale,
        num_inference_steps=STEPS,
        num_frames=5,
    )
    start = beginning15(components, clip)
    transformer = components.transformer(lambda: None)
    assert components.precision is precision
    guided = components.implementation.guided(transformer, start.conditioning, clip)
    states = list(denoise(guided, components.scheduler, start, clip))
    expected = Reference15(components.model_dir, transformer).latents(clip, start)
    assert len(states) == len(expected) == STEPS
    for state, latents in zip(states, expected, strict=True):
        assert torch.equal(state.latents, latents), state.step


@pytest.mark.parametrize("step_cache", get_args(StepCache))
@pytest.mark.parametrize("precision", list(Precision))
def test_from_any_step_of_hunyuanvideo_15_the_rest_is_the_same(
    load: Callable[[str, Precision], Components], precision: Precision, step_cache: StepCache
) -> None:
    components = load("hunyuanvideo15", precision)
    clip = double15.params(step_cache=step_cache, num_inference_steps=STEPS, num_frames=5)
    start = beginning15(components, clip)
    transformer = components.transformer(lambda: None)

    def from_here(here: Checkpoint) -> list[State]:
        guided = components.implementation.guided(transformer, here.conditioning, clip)
        return list(denoise(guided, components.scheduler, here, clip))

    whole = from_here(start)
    for state in whole[:-1]:
        here = Checkpoint(state.step, state.latents, start.conditioning, state.velocities)
        rest = [later.latents for later in from_here(here)]
        expected = [later.latents for later in whole[state.step :]]
        assert all(map(torch.equal, rest, expected))
        assert len(rest) == STEPS - state.step


def test_int8_stays_close_to_hunyuanvideo_15_in_float32(
    load: Callable[[str, Precision], Components],
) -> None:
    velocities = []
    for precision in (Precision.FP32, Precision.INT8):
        components = load("hunyuanvideo15", precision)
        clip = double15.params(num_frames=5)
        start = beginning15(components, clip)
        transformer = components.transformer(lambda: None)
        guided = components.implementation.guided(transformer, start.conditioning, clip)
        with torch.no_grad():
            velocities.append(guided.velocity(start.latents, torch.tensor(900.0)))
    plain, int8 = velocities
    assert float((int8 - plain).norm() / plain.norm()) < 0.02


def beginning15(components: Components, clip: GenerationParams) -> Checkpoint:
    """Noise, and what the text encoders make of the prompts."""
    encoders = components.text_encoders(lambda: None)
    negative_prompt = components.family.negative_prompt(clip)
    with torch.no_grad():
        conditioning = components.implementation.encode(encoders, clip.prompt)
        if negative_prompt is not None:
            negative = components.implementation.encode(encoders, negative_prompt)
            conditioning |= {f"negative_{name}": tensor for name, tensor in negative.items()}
    generator = torch.Generator().manual_seed(1)
    return Checkpoint(0, torch.randn(1, 4, 2, 4, 4, generator=generator), conditioning)
