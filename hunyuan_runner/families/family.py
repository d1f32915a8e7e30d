"""A family: models that are computed in the same way, and differ in size and weights.

Here is what can be known without torch. `Family.engine` names the module that computes the family.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hunyuan_runner.families.configuration import Agreement, Component

BYTES_PER_TOKEN = 4  # of a prompt, on average


class Clip(Protocol):
    """The parameters of a clip that a family looks at; see params.py."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def num_frames(self) -> int: ...
    @property
    def negative_prompt(self) -> str | None: ...
    @property
    def guidance_scale(self) -> float: ...
    @property
    def true_cfg_scale(self) -> float: ...


@dataclass(frozen=True)
class Architecture:
    """The sizes that decide what a clip costs, from the model's configuration files."""

    double_blocks: int  # transformer blocks with separate linears for video and text
    single_blocks: int
    width: int
    heads: int
    mlp_ratio: float
    text_encoder_bytes: float  # all text encoders on disk
    vae_bytes: float
    vae_channels: tuple[int, ...]  # of the decoder's levels, starting at the pixels
    vae_attention: bool  # whether the middle block attends over all positions of a tile
    decode_flops_per_pixel: float  # per pixel and frame, without tiling
    # Of the text encoders: those that each token of a prompt is multiplied with, and those that are
    # held in memory. The layers of a large encoder are read from the disk.
    text_layer_parameters: float = 0.0
    held_text_parameters: float = 0.0

    @property
    def blocks(self) -> int:
        return self.double_blocks + self.single_blocks

    @property
    def block_parameters(self) -> float:
        """Parameters of query, key, value, output and MLP in all blocks, without modulation.

        Double blocks have each of them twice: for video and for text.
        """
        return (2 * self.double_blocks + self.single_blocks) * (
            (4 + 2 * self.mlp_ratio) * self.width**2
        )

    @property
    def modulation_parameters(self) -> float:
        """Parameters of the linears that give shifts, scales and gates."""
        return (12 * self.double_blocks + 3 * self.single_blocks) * self.width**2

    @property
    def step_flops_per_token(self) -> float:
        """FLOP of query, key, value, output and MLP in all blocks: two per weight and token."""
        return self.blocks * 2 * (4 + 2 * self.mlp_ratio) * self.width**2

    @property
    def step_flops_per_token_pair(self) -> float:
        """FLOP of attention in all blocks: per pair and channel, two for scores, two for values."""
        return self.blocks * 4 * self.width


@dataclass(frozen=True)
class Tiles:
    """How the VAE's decoder is tiled along T, H and W, in latents."""

    overlaps: tuple[int, int, int]  # of neighbouring tiles
    shortest: tuple[int, int, int]
    # At its peak the decoder holds so many maps of full size with the fewest channels.
    feature_maps: int


@dataclass(frozen=True)
class TextReader:
    """A tokenizer, and the part of a prompt that its text encoder reads."""

    folder: str  # of the tokenizer, in the model's
    name: str  # for people, as in "Llama reads"
    tokens: int  # that are read at most, from the prompt on
    template: str | None = None  # the text around the prompt
    crop_start: int | None = None  # tokens of the template before the prompt, which are cropped
    purpose: str = ""  # for people, if the encoder reads the prompt for one thing only
    # Finds what a ByT5 encoder, which reads bytes, gets of a prompt; others get all of it.
    quoted: re.Pattern[str] | None = None

    def __str__(self) -> str:
        """As in: longer than …"""
        return f"{self.name} reads{self.purpose and ' ' + self.purpose} ({self.tokens} tokens)"

    @property
    def enough_tokens(self) -> int:
        """A prompt with fewer tokens is read whole; one is added at its end."""
        return self.tokens - 1

    def about_tokens(self, prompt: str) -> int:
        """About how many tokens it makes of a prompt with its template: English and Chinese take
        about four bytes for a token."""
        rest = prompt + (self.template or "{}").partition("{}")[2]
        about = -(-len(rest.encode()) // BYTES_PER_TOKEN)
        return (self.crop_start or 0) + min(about, self.tokens)

    @property
    def settings(self) -> tuple[str | int, ...]:
        """What decides, besides the files, how a prompt becomes tokens."""
        quoted = self.quoted and self.quoted.pattern
        settings = (self.template, self.crop_start, self.tokens, quoted)
        return tuple(value for value in settings if value is not None)


def most_tokens(prompt: str) -> int:
    """The most tokens that any tokenizer can make of a prompt: one per byte.

    Normalising text that is not ASCII can make it three times as long.
    """
    return len(prompt) if prompt.isascii() else 3 * len(prompt.encode())


@dataclass(frozen=True)
class Family(ABC):
    """One of these is a family.

    `pipeline` is the class in `model_index.json` by which a model's folder is recognised.
    """

    id: str
    pipeline: str
    engine: str
    frames_per_latent: int  # of a clip after its first frame, which has a latent of its own
    pixels_per_latent: int  # along a side
    pixels_per_token: int  # along a side
    readers: Sequence[TextReader]
    components: Mapping[str, Component]  # by their folders
    agreements: Sequence[Agreement]
    tiles: Tiles
    # What `guidance_scale` is: an input of the transformer, or the weight of the prompt against the
    # negative prompt, which `true_cfg_scale` is in the first case.
    guidance: Literal["input", "negative prompt"] = "input"

    @abstractmethod
    def negative_prompt(self, clip: Clip) -> str | None:
        """What the clip is guided away from, at the price of a second pass through the transformer
        at each step. None if it is not guided so."""

    def passes(self, clip: Clip) -> int:
        """Passes through the transformer at each step that is computed."""
        return 1 if self.negative_prompt(clip) is None else 2

    def generated_side(self, pixels: int) -> int:
        """The width or height that is rendered, before the centre is cropped to `pixels`."""
        return -(-pixels // self.pixels_per_token) * self.pixels_per_token

    def generated_pixels(self, clip: Clip) -> int:
        """The pixels that are rendered of each frame."""
        return self.generated_side(clip.width) * self.generated_side(clip.height)

    def latent_shape(self, clip: Clip) -> tuple[int, int, int]:
        """The latents of a clip along T, H and W."""
        return (
            (clip.num_frames - 1) // self.frames_per_latent + 1,
            self.generated_side(clip.height) // self.pixels_per_latent,
            self.generated_side(clip.width) // self.pixels_per_latent,
        )

    def tokens(self, clip: Clip) -> int:
        """How many video tokens the transformer computes at each step."""
        frames, *_ = self.latent_shape(clip)
        return frames * self.generated_pixels(clip) // self.pixels_per_token**2

    def nearest_num_frames(self, frames: float) -> int:
        """The number of frames that the VAE can make which is nearest to `frames`."""
        step = self.frames_per_latent
        return step * max(round((frames - 1) / step), 0) + 1

    def neighbouring_num_frames(self, num_frames: int) -> list[int]:
        """Itself if the VAE can make so many frames, otherwise the next numbers that it can."""
        step = self.frames_per_latent
        below = (num_frames - 1) // step * step + 1
        if below == num_frames:
            return [num_frames]
        return [number for number in (below, below + step) if number >= 1]
