"""From a prompt to frames, resumable after every step. The torch side of the engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import diffusers
import numpy as np
import torch
import transformers
from diffusers import HunyuanVideoPipeline

from hunyuan_runner.engine import transformer, vae
from hunyuan_runner.engine.checkpoint import (
    Checkpoint,
    Conditioning,
    UnusableCheckpoint,
    model_fingerprint,
)
from hunyuan_runner.engine.events import (
    Event,
    Finished,
    Preview,
    Resumed,
    StageStarted,
    StepFinished,
)
from hunyuan_runner.engine.frames import write_frames
from hunyuan_runner.engine.messages import Generate
from hunyuan_runner.engine.precision import Precision
from hunyuan_runner.engine.preview import Previews, expected_latents
from hunyuan_runner.engine.prompts import PromptCache
from hunyuan_runner.engine.step_cache import Predictor, predicting
from hunyuan_runner.params import GenerationParams, Stage

logger = logging.getLogger(__name__)

Report = Callable[[Event], None]


class VideoPipeline:
    """HunyuanVideo, loaded. The same request on the same machine with as many threads gives the
    same frames, whether it ran through or was resumed."""

    def __init__(
        self, model_dir: Path, pipeline: HunyuanVideoPipeline, precision: Precision, prompts: Path
    ) -> None:
        self.model_dir = model_dir
        self._pipeline = pipeline
        self._precision = precision
        self._prompts = PromptCache(prompts, model_dir)
        self._fingerprint = model_fingerprint(model_dir)

    @classmethod
    def load(
        cls, model_dir: Path, precision: Precision, threads: int, kernels: Path, prompts: Path
    ) -> Self:
        """Load a diffusers folder, with its transformer in `precision`; see transformer.load.

        In the folder `prompts` is kept what its text encoders make of prompts.
        OSError, ValueError or SafetensorError: it is not complete.
        """
        _hush_libraries()
        _require_configs(model_dir)
        torch.set_num_threads(threads)
        loaded, precision = transformer.load(model_dir, precision, threads, kernels)
        pipeline = HunyuanVideoPipeline.from_pretrained(
            model_dir, local_files_only=True, dtype=torch.float32, transformer=loaded
        )
        pipeline.set_progress_bar_config(disable=True)
        return cls(model_dir, pipeline, precision, prompts)

    @torch.no_grad()
    def generate(self, request: Generate, report: Report) -> None:
        """Render the clip, or the draft asked for, into `request.frames`.

        What `report` raises ends the generation.
        """
        params = request.params
        if state := self._recover(request):
            report(Resumed(state.step))
        else:
            report(StageStarted(Stage.ENCODING))
            state = Checkpoint(0, self._noise(params), self._encode(params))
        last_step = request.draft_after or params.num_inference_steps
        if state.step < last_step:
            report(StageStarted(Stage.DENOISING))
            state = self._denoise(state, params, last_step, report)
        report(StageStarted(Stage.DECODING))
        latents = state.latents
        if request.draft_after is not None:
            assert state.expected is not None
            latents = state.expected
        pixels = vae.decode(self._pipeline.vae, latents, request.decode_attempt)
        write_frames(request.frames, pixels, params.width, params.height)
        report(Finished(request.frames, self._precision, torch.get_num_threads()))

    def _recover(self, request: Generate) -> Checkpoint | None:
        if request.checkpoint is None:
            return None
        try:
            return Checkpoint.from_bytes(request.checkpoint, request.params, self._fingerprint)
        except UnusableCheckpoint as reason:
            logger.warning("Starting over, the checkpoint cannot be used: %s", reason)
            return None

    def _noise(self, params: GenerationParams) -> torch.Tensor:
        """The latents (NCTHW) of pure noise that the seed stands for."""
        latents: torch.Tensor = self._pipeline.prepare_latents(
            batch_size=1,
            num_channels_latents=self._pipeline.transformer.config.in_channels,
            height=params.generated_height,
            width=params.generated_width,
            num_frames=params.num_frames,
            dtype=torch.float32,
            device=torch.device("cpu"),
            generator=torch.Generator("cpu").manual_seed(params.seed),
        )
        return latents

    def _encode(self, params: GenerationParams) -> Conditioning:
        conditioning = self._prompts.conditioning(params.prompt, self._encode_prompt)
        if params.negative_prompt and params.true_cfg_scale > 1:
            negative = self._prompts.conditioning(params.negative_prompt, self._encode_prompt)
            conditioning |= {f"negative_{name}": tensor for name, tensor in negative.items()}
        return conditioning

    def _encode_prompt(self, prompt: str) -> Conditioning:
        prompt_embeds, pooled_prompt_embeds, mask = self._pipeline.encode_prompt(prompt)
        # Behind the prompt comes padding, to which no token attends and which every block computes.
        length = int(mask.sum())
        return {
            "prompt_embeds": prompt_embeds[:, :length].contiguous(),
            "pooled_prompt_embeds": pooled_prompt_embeds.contiguous(),
            "prompt_attention_mask": mask[:, :length].contiguous(),
        }

    def _denoise(
        self, start: Checkpoint, params: GenerationParams, last_step: int, report: Report
    ) -> Checkpoint:
        state = start
        predictor = Predictor(params)
        previews = Previews(self._pipeline.vae, start.latents, params.width, params.height)
        scheduler = self._pipeline.scheduler
        scheduler.set_shift(params.flow_shift)
        self._compute_modulation_ahead(params, start.conditioning)
        # the pipeline's own schedule; it shifts these one by one, so the rest of it can stand alone
        sigmas = np.linspace(1.0, 0.0, params.num_inference_steps + 1)[start.step : -1]

        def on_step_end(
            _: HunyuanVideoPipeline, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
        ) -> dict[str, torch.Tensor]:
            nonlocal state
            step, latents = state.step + 1, tensors["latents"]
            sigma, next_sigma = scheduler.sigmas[index : index + 2].tolist()
            velocity = (latents - state.latents) / (next_sigma - sigma)
            velocities = predictor.remember(state.step, velocity, state.velocities)
            expected = None
            if step == last_step < params.num_inference_steps:
                expected = expected_latents(state.latents, latents, sigma, next_sigma)
                self._pipeline._interrupt = True  # as diffusers' own guide says: its steps end here
            state = Checkpoint(step, latents, start.conditioning, velocities, expected)
            report(StepFinished(step, state.to_bytes(params, self._fingerprint)))
            if step < last_step and (image := previews.after_step(latents, sigma, next_sigma)):
                report(Preview(image))
            return {"latents": latents}

        with predicting(
            self._pipeline.transformer, lambda: predictor.predict(state.step, state.velocities)
        ):
            self._pipeline(
                height=params.generated_height,
                width=params.generated_width,
                num_frames=params.num_frames,
                sigmas=sigmas,
                guidance_scale=params.guidance_scale,
                true_cfg_scale=params.true_cfg_scale,
                latents=start.latents,
                output_type="latent",
                callback_on_step_end=on_step_end,
                **start.conditioning,
            )
        return state

    def _compute_modulation_ahead(
        self, params: GenerationParams, conditioning: Conditioning
    ) -> None:
        """For all steps of the clip, also where it is resumed: last bits may depend on how many
        are computed at once."""
        if (modulation := transformer.modulation_of(self._pipeline.transformer)) is None:
            return
        scheduler = self._pipeline.scheduler
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.0, params.num_inference_steps + 1)[:-1])
        guidance = torch.tensor([params.guidance_scale]) * 1000.0
        prompts = [conditioning["pooled_prompt_embeds"]]
        if "negative_pooled_prompt_embeds" in conditioning:
            prompts.append(conditioning["negative_pooled_prompt_embeds"])
        embed = self._pipeline.transformer.time_text_embed
        modulation.prepare(
            torch.cat(
                [
                    embed(timestep.expand(1), pooled, guidance)[0]
                    for timestep in scheduler.timesteps
                    for pooled in prompts
                ]
            )
        )


def _require_configs(model_dir: Path) -> None:
    """Raises FileNotFoundError where a component has no configuration.

    transformers would make one up, of a text encoder with billions of random weights.
    """
    index = json.loads((model_dir / "model_index.json").read_text())
    for component, (library, _) in ((k, v) for k, v in index.items() if isinstance(v, list)):
        if library is not None and not any((model_dir / component).glob("*config.json")):
            raise FileNotFoundError(f"{model_dir / component} has no configuration")


def _hush_libraries() -> None:
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
