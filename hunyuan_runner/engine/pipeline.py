"""From a prompt to frames, resumable after every step. The torch side of the engine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import HunyuanVideoPipeline

from hunyuan_runner.engine import transformer, vae
from hunyuan_runner.engine.checkpoint import (
    Checkpoint,
    Conditioning,
    UnusableCheckpoint,
    fingerprint,
    model_fingerprint,
)
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.encoding import encode, was_encoded_so_before
from hunyuan_runner.engine.frames import reserve_frames, write_frames
from hunyuan_runner.engine.messages import (
    Finished,
    Generate,
    OnEvent,
    Preview,
    Resumed,
    StageStarted,
    StepFinished,
    TileFinished,
)
from hunyuan_runner.engine.preview import Previews, expected_latents
from hunyuan_runner.engine.prompts import PromptCache
from hunyuan_runner.engine.step_cache import Predictor, predicting
from hunyuan_runner.params import GenerationParams, Stage

logger = logging.getLogger(__name__)


class VideoPipeline:
    """HunyuanVideo, loaded. The same request on the same machine with as many threads gives the
    same frames, whether it ran through or was resumed."""

    def __init__(self, components: Components, prompts: Path) -> None:
        """In the folder `prompts` is kept what the text encoders make of prompts."""
        self.model_dir = components.model_dir
        self._components = components
        self._prompts = PromptCache(prompts, self.model_dir)
        self._fingerprint = fingerprint(self.model_dir)
        self._usable = {self._fingerprint}  # of checkpoints to go on from
        if was_encoded_so_before(self.model_dir):  # versions that did not note how
            self._usable.add(model_fingerprint(self.model_dir))

    @torch.no_grad()
    def generate(self, request: Generate, on_event: OnEvent) -> None:
        """Render the clip, or the draft asked for, into `request.frames`.

        What `on_event` raises ends the generation. Raises ModelIncomplete.
        """
        params = request.params
        if state := self._recover(request):
            on_event(Resumed(state.step))
        else:
            on_event(StageStarted(Stage.ENCODING))
            conditioning = self._encode(params, on_event)
            state = Checkpoint(0, self._noise(params), conditioning)
        last_step = request.draft_after or params.num_inference_steps
        if state.step < last_step:
            pipeline = self._components.denoising(lambda: on_event(StageStarted(Stage.LOADING)))
            on_event(StageStarted(Stage.DENOISING))
            state = self._denoise(pipeline, state, params, last_step, on_event)
        on_event(StageStarted(Stage.DECODING))
        reserve_frames(request.frames, params.num_frames, params.width, params.height)
        latents = state.latents
        if request.draft_after is not None:
            assert state.expected is not None
            latents = state.expected
        self._components.make_room_for_decoding(vae.MOST_BYTES)
        pixels = vae.decode(
            self._components.decoder,
            latents,
            request.decode_attempt,
            lambda tile, tiles: on_event(TileFinished(tile, tiles)),
        )
        write_frames(request.frames, pixels, params.width, params.height)
        on_event(Finished(request.frames, self._components.precision, torch.get_num_threads()))

    def _recover(self, request: Generate) -> Checkpoint | None:
        if request.checkpoint is None:
            return None
        try:
            return Checkpoint.from_bytes(request.checkpoint, request.params, self._usable)
        except UnusableCheckpoint as reason:
            logger.warning("Starting over, the checkpoint cannot be used: %s", reason)
            return None

    def _noise(self, params: GenerationParams) -> torch.Tensor:
        """The latents (NCTHW) of pure noise that the seed stands for."""
        config = self._components.decoder.config
        shape = (
            1,
            config.latent_channels,
            (params.num_frames - 1) // config.temporal_compression_ratio + 1,
            params.generated_height // config.spatial_compression_ratio,
            params.generated_width // config.spatial_compression_ratio,
        )
        return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(params.seed))

    def _encode(self, params: GenerationParams, on_event: OnEvent) -> Conditioning:
        def load_and_encode(prompt: str) -> Conditioning:
            pipeline = self._components.encoding(lambda: on_event(StageStarted(Stage.LOADING)))
            return encode(pipeline, prompt)

        conditioning = self._prompts.conditioning(params.prompt, load_and_encode)
        if params.negative_prompt and params.true_cfg_scale > 1:
            negative = self._prompts.conditioning(params.negative_prompt, load_and_encode)
            conditioning |= {f"negative_{name}": tensor for name, tensor in negative.items()}
        return conditioning

    def _denoise(
        self,
        pipeline: HunyuanVideoPipeline,
        start: Checkpoint,
        params: GenerationParams,
        last_step: int,
        on_event: OnEvent,
    ) -> Checkpoint:
        state = start
        predictor = Predictor(params)
        previews = Previews(self._components.decoder, start.latents, params.width, params.height)
        scheduler = pipeline.scheduler
        scheduler.set_shift(params.flow_shift)
        _compute_modulation_ahead(pipeline, params, start.conditioning)
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
                pipeline._interrupt = True  # as diffusers' own guide says: its steps end here
            state = Checkpoint(step, latents, start.conditioning, velocities, expected)
            on_event(StepFinished(step, state.to_bytes(params, self._fingerprint)))
            if step < last_step and (image := previews.after_step(latents, sigma, next_sigma)):
                on_event(Preview(image))
            return {"latents": latents}

        with predicting(
            pipeline.transformer, lambda: predictor.predict(state.step, state.velocities)
        ):
            pipeline(
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
    pipeline: HunyuanVideoPipeline, params: GenerationParams, conditioning: Conditioning
) -> None:
    """For all steps of the clip, also where it is resumed: last bits may depend on how many are
    computed at once."""
    if (modulation := transformer.modulation_of(pipeline.transformer)) is None:
        return
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.0, params.num_inference_steps + 1)[:-1])
    guidance = torch.tensor([params.guidance_scale]) * 1000.0
    prompts = [conditioning["pooled_prompt_embeds"]]
    if "negative_pooled_prompt_embeds" in conditioning:
        prompts.append(conditioning["negative_pooled_prompt_embeds"])
    modulation.prepare(
        torch.cat(
            [
                pipeline.transformer.time_text_embed(timestep.expand(1), pooled, guidance)[0]
                for timestep in scheduler.timesteps
                for pooled in prompts
            ]
        )
    )
