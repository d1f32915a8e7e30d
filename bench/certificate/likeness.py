"""How alike two clips are, and how certain the mean over several prompts is."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import flip_evaluator
import numpy as np
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from torch.nn import functional

from hunyuan_runner.media import publish

Frames = NDArray[np.uint8]  # THWC, RGB

LEVELS = 255
SSIM_SIDE, SSIM_SIGMA = 11, 1.5  # of the window, in pixels
SSIM_STABILISERS = (0.01 * LEVELS) ** 2, (0.03 * LEVELS) ** 2
LUMA = 0.299, 0.587, 0.114  # of red, green and blue, as in BT.601
FLIP_FRAMES = 12  # of a clip; each takes as long as a hundred others take for everything else

RESAMPLES = 10_000
CONFIDENCE = 95  # percent
FEWEST_PROMPTS = 5  # of fewer, a bootstrap knows nothing
ENOUGH_PROMPTS = 20  # of fewer, percentile intervals are too narrow


@dataclass(frozen=True)
class Likeness:
    """How alike a clip is to the reference of the same prompt and seed."""

    psnr: float  # dB over all frames; infinite for the same frames
    ssim: float  # mean of all frames, 1 for the same ones
    flip: float  # mean of some frames, from 0 for the same ones to 1
    flicker: float  # how much more or less pixels change from frame to frame, in levels of 255


MEASURES = ("psnr", "ssim", "flip", "flicker")


def likeness(clip: Frames, reference: Frames) -> Likeness:
    """Raises ValueError if the clips differ in size."""
    if clip.shape != reference.shape:
        raise ValueError(f"clips of different sizes: {clip.shape} and {reference.shape}")
    return Likeness(
        psnr=psnr(clip, reference),
        ssim=ssim(clip, reference),
        flip=flip(clip, reference),
        flicker=flicker(clip, reference),
    )


def psnr(clip: Frames, reference: Frames) -> float:
    """Peak signal-to-noise ratio in dB, over all frames."""
    pairs = zip(clip, reference, strict=True)
    error = fmean(float(np.mean((a.astype(np.float64) - b) ** 2)) for a, b in pairs)
    return 10 * math.log10(LEVELS**2 / error) if error > 0 else math.inf


def ssim(clip: Frames, reference: Frames) -> float:
    """The mean structural similarity of the frames' luma.

    Wang, Bovik, Sheikh and Simoncelli: Image quality assessment, from error visibility to
    structural similarity, IEEE Transactions on Image Processing 13 (4), 2004.
    """
    return fmean(_ssim_of_frames(a, b) for a, b in zip(clip, reference, strict=True))


def _ssim_of_frames(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    x, y = (torch.from_numpy(frame @ np.array(LUMA)) for frame in (a, b))
    mean_x, mean_y, xx, yy, xy = _blurred(torch.stack([x, y, x * x, y * y, x * y]))
    first, second = SSIM_STABILISERS
    luminance = (2 * mean_x * mean_y + first) / (mean_x**2 + mean_y**2 + first)
    variances = xx - mean_x**2 + yy - mean_y**2
    structure = (2 * (xy - mean_x * mean_y) + second) / (variances + second)
    return float((luminance * structure).mean())


def _blurred(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (NHW) under a Gaussian window, where all of it lies inside the picture."""
    places = torch.arange(SSIM_SIDE, dtype=pictures.dtype) - SSIM_SIDE // 2
    weights = torch.exp(-(places**2) / (2 * SSIM_SIGMA**2))
    weights /= weights.sum()
    rows = functional.conv2d(pictures[:, None], weights[None, None, :, None])
    return functional.conv2d(rows, weights[None, None, None])[:, 0]


def flip(clip: Frames, reference: Frames) -> float:
    """The mean difference that a viewer sees who flips between two frames.

    Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström and Fairchild: FLIP, a difference
    evaluator for alternating images, Proceedings of the ACM on Computer Graphics and Interactive
    Techniques 3 (2), 2020. At its authors' viewing distance, 67 pixels per degree.
    """
    shown = np.unique(np.linspace(0, len(clip) - 1, FLIP_FRAMES).round().astype(int))
    return fmean(
        flip_evaluator.evaluate(_unit(reference[i]), _unit(clip[i]), "LDR", applyMagma=False)[1]
        for i in shown
    )


def _unit(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(frame, LEVELS, dtype=np.float32)


def flicker(clip: Frames, reference: Frames) -> float:
    """The mean difference between the changes from frame to frame, in levels of 255.

    A clip that is as steady as the reference has 0, whatever else it shows. So has a single frame.
    """
    changes = zip(_changes(clip), _changes(reference), strict=True)
    differences = [float(np.abs(a - b).mean()) for a, b in changes]
    return fmean(differences) if differences else 0.0


def _changes(clip: Frames) -> Iterator[NDArray[np.int16]]:
    return (np.subtract(after, before, dtype=np.int16) for before, after in pairwise(clip))


@dataclass(frozen=True)
class Mean:
    """The mean of one measure over the prompts, and the interval in which it lies.

    The mean is None if there is no finite value. The interval is None for fewer than
    FEWEST_PROMPTS. `identical` counts values that are infinite, which the mean leaves out.
    """

    mean: float | None
    interval: tuple[float, float] | None
    identical: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return cls(None, None, len(values))
        interval = bootstrap(finite) if len(finite) >= FEWEST_PROMPTS else None
        return cls(fmean(finite), interval, len(values) - len(finite))


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The interval that holds the middle 95 % of the means of resampled values.

    Each value compares two clips of the same prompt and seed, so resampling them resamples pairs.
    The seed is that of the resampling. Efron and Tibshirani: An introduction to the bootstrap,
    1993, chapter 13.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(values), size=(RESAMPLES, len(values)))
    tail = (100 - CONFIDENCE) / 2
    low, high = np.percentile(np.array(values)[chosen].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)


def as_mp4(frames: Frames, fps: float) -> Frames:
    """The frames that a viewer sees of the MP4 that the service makes of these."""
    with tempfile.TemporaryDirectory() as folder:
        video = publish(frames, fps, {}, Path(folder)).video
        shown = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        command = [get_ffmpeg_exe(), "-v", "error", "-i", str(video), *shown]
        pixels = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(pixels, np.uint8).reshape(frames.shape)
