"""The training set of the transformer: latents of drawn clips, cut into tokens, with captions."""

import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from demo_model.captions import caption, words
from demo_model.latents import CHANNELS, SPACE, TIME, Basis
from demo_model.scenes import Array, draw, random_scene
from demo_model.text import SLOTS, WIDTH, Encoded, TextEncoders

logger = logging.getLogger(__name__)

PATCH = 2
TOKEN = CHANNELS * PATCH * PATCH  # numbers in a token
CHUNK = 100  # clips drawn by one call of a worker
LONGEST_CAPTION = 20  # in words; longer ones are replaced


@dataclass(frozen=True)
class Size:
    """Width and height in pixels, and frames, of all clips of a pool."""

    width: int
    height: int
    num_frames: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, height and width."""
        stride = SPACE * PATCH
        return (self.num_frames - 1) // TIME + 1, self.height // stride, self.width // stride

    @property
    def tokens(self) -> int:
        frames, rows, columns = self.grid
        return frames * rows * columns

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.num_frames}"


def to_tokens(latents: Array) -> Array:
    """Latents CTHW to (tokens, TOKEN), in the transformer's order."""
    channels, frames, height, width = latents.shape
    split = latents.reshape(channels, frames, height // PATCH, PATCH, width // PATCH, PATCH)
    return split.transpose(1, 2, 4, 0, 3, 5).reshape(-1, channels * PATCH * PATCH)


def from_tokens(tokens: Array, size: Size) -> Array:
    """Tokens of a whole clip (tokens, TOKEN) to latents CTHW."""
    frames, rows, columns = size.grid
    split = tokens.reshape(frames, rows, columns, CHANNELS, PATCH, PATCH)
    return split.transpose(3, 0, 1, 4, 2, 5).reshape(
        CHANNELS, frames, rows * PATCH, columns * PATCH
    )


def draw_chunk(path: Path, basis: Basis, size: Size, seed: int, chunk: int) -> list[str]:
    """Draw one chunk of the pool into the file at `path`; returns its captions."""
    rng = np.random.default_rng((seed, chunk))
    file = open_memmap(path, mode="r+")
    captions = []
    for index in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        scene = random_scene(rng)
        clip = draw(scene, rng, size.width, size.height, size.num_frames)
        file[index] = to_tokens(basis.encode(clip))
        text = caption(scene, rng)
        while len(text.split()) > LONGEST_CAPTION:
            text = caption(scene, rng)
        captions.append(text)
    return captions


def draw_pool(folder: Path, basis: Basis, size: Size, count: int, seed: int, workers: int) -> None:
    """Draw `count` clips of one size into the folder, if they are not there yet."""
    captions_file = folder / f"{size}.json"
    if captions_file.exists():
        return
    start = time.monotonic()
    path = folder / f"{size}.npy"
    open_memmap(path, mode="w+", dtype=np.float16, shape=(count, size.tokens, TOKEN)).flush()
    with ProcessPoolExecutor(workers) as executor:
        parts = executor.map(partial(draw_chunk, path, basis, size, seed), range(count // CHUNK))
        captions = [text for part in parts for text in part]
    captions_file.write_text(json.dumps(captions))
    logger.info("drew %d clips of %s in %.0f s", count, size, time.monotonic() - start)


@dataclass(frozen=True)
class Batch:
    tokens: Tensor  # (batch, tokens, TOKEN)
    text: Encoded


class Pool:
    """Clips of one size with their encoded captions."""

    def __init__(self, folder: Path, size: Size, encoders: TextEncoders) -> None:
        self.size = size
        captions = json.loads((folder / f"{size}.json").read_text())
        lengths = [len(words(text)) for text in captions]
        self.tokens = torch.from_numpy(np.load(folder / f"{size}.npy", mmap_mode="c"))
        self.states = torch.zeros(len(captions), max(lengths) + SLOTS, WIDTH)
        self.mask = torch.zeros(len(captions), max(lengths) + SLOTS, dtype=torch.long)
        self.pooled = torch.zeros(len(captions), WIDTH)
        with torch.no_grad():
            for rows in np.array_split(np.argsort(lengths), max(len(captions) // 128, 1)):
                encoded = encoders([captions[row] for row in rows])
                length = encoded.mask.shape[1]
                self.states[rows, :length] = encoded.states * encoded.mask.unsqueeze(-1)
                self.mask[rows, :length] = encoded.mask
                self.pooled[rows] = encoded.pooled

    def batch(self, rng: np.random.Generator, size: int, positions: Tensor) -> Batch:
        """Random clips, with only the tokens at `positions`."""
        rows = torch.from_numpy(rng.integers(len(self.tokens), size=size))
        tokens = self.tokens[rows[:, None], positions].float()
        return Batch(tokens, self.text(rows))

    def text(self, rows: Tensor) -> Encoded:
        """The encoded captions of these clips, padded to the longest of them."""
        mask = self.mask[rows]
        length = int(mask.sum(1).max())
        return Encoded(self.states[rows, :length], mask[:, :length], self.pooled[rows])
