"""Previews of a clip while it is denoised."""

from __future__ import annotations

import io
import logging
import math
import time

import torch
from PIL import Image

from hunyuan_runner.engine import vae
from hunyuan_runner.engine.frames import cropped
from hunyuan_runner.engine.taehv import FastDecoder

logger = logging.getLogger(__name__)

TIME_SHARE = 0.05  # of the denoising time, at most
JPEG_QUALITY = 85
REMEMBERED = 2  # latents before the one that is shown


class Previews:
    """Makes a preview if it takes little time compared to the time since the last one."""

    def __init__(
        self, decoder: vae.Decoder, fast: FastDecoder | None, width: int, height: int
    ) -> None:
        """Uses the fast decoder if there is one."""
        self._decoder = decoder
        self._fast = fast
        self._width = width
        self._height = height
        self._cost = 0.0  # seconds that the last one took; the first is always made
        self._since = time.monotonic()

    def after_step(self, latents: torch.Tensor) -> bytes | None:
        """A JPEG of the middle frame of `latents` (NCTHW), or None if it is not due."""
        return self._jpeg(latents) if self._is_due() else None

    def _is_due(self) -> bool:
        return self._cost <= TIME_SHARE * (time.monotonic() - self._since)

    def _jpeg(self, latents: torch.Tensor) -> bytes | None:
        started = time.monotonic()
        try:
            frame = cropped(self._middle_frame(latents), self._width, self._height)
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
        except Exception:
            logger.warning("No preview could be made; rendering continues without", exc_info=True)
            self._cost = math.inf
            return None
        self._since = time.monotonic()
        self._cost = self._since - started
        return buffer.getvalue()

    def _middle_frame(self, latents: torch.Tensor) -> torch.Tensor:
        """The pixels (CHW) of the middle latent frame.

        The VAE decodes it as a clip of its own, which shows little more than colours. The fast
        decoder gets the latents before it as well, for the blocks that remember.
        """
        middle = latents.shape[2] // 2
        if self._fast is None:
            (frame,) = vae.decode(self._decoder, latents[:, :, middle : middle + 1], list)
            return frame
        (*_, last) = self._fast(latents[0, :, max(0, middle - REMEMBERED) : middle + 1])
        return last
