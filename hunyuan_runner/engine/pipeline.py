"""From a prompt to frames, resumable after every step."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import torch

from hunyuan_runner.engine import vae
from hunyuan_runner.engine.checkpoint import (
    Checkpoint,
    Conditioning,
    UnusableCheckpoint,
    fingerprint,
    model_fingerprint,
)
from hunyuan_runner.engine.components import Components, FastDecoderUnusable, reading
from hunyuan_runner.engine.denoising import denoise
from hunyuan_runner.engine.frames import reserve_frames, write_frames
from hunyuan_runner.engine.implementation import NEGATIVE
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
from hunyuan_runner.engine.preview import Previews
from hunyuan_runner.engine.prompts import PromptCache
from hunyuan_runner.engine.taehv import FastDecoder
from hunyuan_runner.params import Decoder, GenerationParams, Stage

logger = logging.getLogger(__name__)


class VideoPipeline:
    """A model, loaded.

    On one machine, with one number of threads, a request always gives the same frames, whether it
    ran through or was resumed.
    """

    def __init__(self, components: Components, prompts: Path) -> None:
        """Encoded prompts are kept in the folder `prompts`."""
        self.model_dir = components.model_dir
        self._components = components
        self._prompts = PromptCache(prompts, self.model_dir)
        self._fingerprint = fingerprint(self.model_dir)
        self._usable = {self._fingerprint}  # of checkpoints to resume from
        if components.implementation.was_encoded_so_before(self.model_dir):
            # Versions that did not note how prompts were encoded wrote this one.
            self._usable.add(model_fingerprint(self.model_dir))

    @torch.no_grad()
    def generate(self, request: Generate, on_event: OnEvent) -> None:
        """Render the clip, or the requested draft, into `request.frames`.

        What `on_event` raises ends the generation. Raises ModelIncomplete or TokenizerUnusable.
        """
        params = request.params
        if checkpoint := self._recover(request):
            on_event(Resumed(checkpoint.step))
        else:
            conditioning = self._encode(params, on_event)
            checkpoint = Checkpoint(0, self._noise(params), conditioning)
        last_step = request.draft_after or params.num_inference_steps
        if checkpoint.step < last_step:
            checkpoint = self._denoise(checkpoint, request, last_step, on_event)
        on_event(StageStarted(Stage.DECODING))
        reserve_frames(request.frames, params.num_frames, params.width, params.height)
        latents = checkpoint.latents
        if request.draft_after is not None:
            assert checkpoint.expected is not None
            latents = checkpoint.expected
        decoder = self._decode(request, latents, on_event)
        precision, threads = self._components.precision, torch.get_num_threads()
        instructions, attention = self._components.kernels_used or (None, None)
        on_event(Finished(request.frames, precision, threads, instructions, attention, decoder))

    def _decode(self, request: Generate, latents: torch.Tensor, on_event: OnEvent) -> Decoder:
        """Write the frames of `latents` (NCTHW), and say which decoder made them.

        A draft is made with the fast one where it is installed.
        """
        params = request.params
        keep = partial(write_frames, request.frames, params.width, params.height)

        def report(done: int, of: int) -> None:
            on_event(TileFinished(done, of))

        wants_fast = params.decoder == "fast" or request.draft_after is not None
        if wants_fast and (fast := self._fast_decoder(request)) is not None:
            pixels = self._components.family.generated_pixels(params)
            self._components.make_room_for_decoding(fast.needed_bytes(pixels))
            keep(fast(latents[0], report))
            return "fast"
        self._components.make_room_for_decoding(vae.MOST_BYTES)
        vae.decode(self._components.decoder, latents, keep, request.decode_attempt, report)
        return "full"

    def _fast_decoder(self, request: Generate) -> FastDecoder | None:
        """The fast decoder, or None if there is none and the clip does without.

        Raises FastDecoderUnusable if it does not.
        """
        needed = request.params.decoder == "fast"
        if request.fast_decoder is None and not needed:
            return None
        try:
            return self._components.fast_decoder(request.fast_decoder)
        except FastDecoderUnusable as reason:
            if needed:
                raise
            logger.warning("The fast decoder cannot be used: %s", reason)
            return None

    def _recover(self, request: Generate) -> Checkpoint | None:
        if request.checkpoint is None:
            return None
        try:
            return Checkpoint.from_bytes(request.checkpoint, request.params, self._usable)
        except UnusableCheckpoint as reason:
            logger.warning("Starting over, the checkpoint cannot be used: %s", reason)
            return None

    def _noise(self, params: GenerationParams) -> torch.Tensor:
        """Pure noise drawn with the seed: latents (NCTHW float32)."""
        channels = self._components.decoder.config.latent_channels
        shape = (1, channels, *self._components.family.latent_shape(params))
        return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(params.seed))

    def _encode(self, params: GenerationParams, on_event: OnEvent) -> Conditioning:
        """The stage of encoding is entered for what is not in the cache, and takes its own time."""
        stage: Stage | None = None

        def enter(next_stage: Stage) -> None:
            nonlocal stage
            if stage is not next_stage:
                stage = next_stage
                on_event(StageStarted(stage))

        def load_and_encode(prompt: str) -> Conditioning:
            encoders = self._components.text_encoders(lambda: enter(Stage.LOADING))
            enter(Stage.ENCODING)
            with reading():  # large ones read their weights meanwhile
                return self._components.implementation.encode(encoders, prompt)

        conditioning = self._prompts.conditioning(params.prompt, load_and_encode)
        if (negative_prompt := self._components.family.negative_prompt(params)) is not None:
            negative = self._prompts.conditioning(negative_prompt, load_and_encode)
            conditioning |= {f"{NEGATIVE}{name}": tensor for name, tensor in negative.items()}
        return conditioning

    def _denoise(
        self, start: Checkpoint, request: Generate, last_step: int, on_event: OnEvent
    ) -> Checkpoint:
        """Run the steps up to `last_step`, and return the checkpoint after it."""
        components, params = self._components, request.params
        transformer = components.transformer(lambda: on_event(StageStarted(Stage.LOADING)))
        on_event(StageStarted(Stage.DENOISING))
        fast = self._fast_decoder(request)
        previews = Previews(components.decoder, fast, params.width, params.height)
        checkpoint = start
        guided = components.implementation.guided(transformer, start.conditioning, params)
        for state in denoise(guided, components.scheduler, start, params):
            is_draft = state.step == last_step < params.num_inference_steps
            checkpoint = Checkpoint(
                state.step,
                state.latents,
                start.conditioning,
                state.velocities,
                state.expected if is_draft else None,
            )
            on_event(StepFinished(state.step, checkpoint.to_bytes(params, self._fingerprint)))
            if state.step == last_step:
                break
            if image := previews.after_step(state.expected):
                on_event(Preview(image))
        return checkpoint
