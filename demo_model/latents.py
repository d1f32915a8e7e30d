"""Latents in closed form: scaled principal components of blocks of 4x8x8 pixels.

This linear map *defines* the autoencoder's latents. So the transformer can be trained on drawings
without waiting for the autoencoder, and the linear inverse can show its results at any time. As in
HunyuanVideo, the first latent frame stands for one frame (here it is repeated four times), and
every other one for four.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo_model.scenes import Array, draw, random_scene

CHANNELS = 8
TIME, SPACE = 4, 8  # compression ratios
PIXELS = 3 * TIME * SPACE * SPACE  # numbers in a block
FLATTEST = 0.4  # smallest standard deviation of a channel; the largest is 1


def to_blocks(clip: Array) -> Array:
    """Clip CTHW in 0..1 to blocks (frames, rows, columns, PIXELS) in -1..1."""
    padded = np.concatenate([clip[:, :1].repeat(TIME - 1, axis=1), clip], axis=1)
    _, frames, height, width = padded.shape
    split = padded.reshape(3, frames // TIME, TIME, height // SPACE, SPACE, width // SPACE, SPACE)
    grouped = split.transpose(1, 3, 5, 0, 2, 4, 6)
    blocks: Array = grouped.reshape(*grouped.shape[:3], PIXELS)
    return blocks * 2 - 1


def from_blocks(blocks: Array) -> Array:
    """Blocks to a clip CTHW in 0..1."""
    frames, rows, columns, _ = blocks.shape
    split = blocks.reshape(frames, rows, columns, 3, TIME, SPACE, SPACE)
    clip = split.transpose(3, 0, 4, 1, 5, 2, 6).reshape(3, frames * TIME, rows * SPACE, -1)
    return np.clip(clip[:, TIME - 1 :] / 2 + 0.5, 0, 1)


@dataclass(frozen=True)
class Basis:
    """The linear map between blocks and latents."""

    mean: Array  # (PIXELS,)
    analysis: Array  # (PIXELS, CHANNELS)
    synthesis: Array  # (CHANNELS, PIXELS)

    def encode(self, clip: Array) -> Array:
        """Clip CTHW in 0..1 to latents CTHW."""
        latents: Array = (to_blocks(clip) - self.mean) @ self.analysis
        return latents.transpose(3, 0, 1, 2)

    def decode(self, latents: Array) -> Array:
        """Latents CTHW to the nearest clip CTHW in 0..1."""
        return from_blocks(latents.transpose(1, 2, 3, 0) @ self.synthesis + self.mean)

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, analysis=self.analysis, synthesis=self.synthesis)

    @classmethod
    def load(cls, path: Path) -> "Basis":
        with np.load(path) as arrays:
            return cls(arrays["mean"], arrays["analysis"], arrays["synthesis"])


def fit_basis(seed: int, clips: int = 300) -> Basis:
    """Principal components of drawn clips.

    Channels are scaled to the fourth root of their variance: flat colour has unit variance and
    detail less, so that the training loss weighs errors as the eye does.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros(PIXELS)
    products = np.zeros((PIXELS, PIXELS))
    count = 0
    for _ in range(clips):
        blocks = to_blocks(draw(random_scene(rng), rng, 192, 128, 33)).reshape(-1, PIXELS)
        blocks = blocks[rng.choice(len(blocks), 1000, replace=False)]
        total += blocks.sum(0)
        products += blocks.T @ blocks
        count += len(blocks)
    mean = total / count
    variances, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    variances, vectors = variances[::-1][:CHANNELS], vectors[:, ::-1][:, :CHANNELS]
    # Libraries choose the sign of an eigenvector differently: make its largest number positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), range(CHANNELS)])
    spread = np.clip((variances / variances[0]) ** 0.25, FLATTEST, 1)
    scale = spread / np.sqrt(variances)
    return Basis(
        mean.astype(np.float32),
        (vectors * scale).astype(np.float32),
        (vectors / scale).T.astype(np.float32),
    )
