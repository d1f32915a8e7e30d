"""A double of TAEHV's files: names, shapes and type of every weight, but random ones; and what the
network computes, written down plainly, for all frames at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional

CHANNELS = (256, 128, 64, 64)  # of the decoder's levels, and of its last convolution
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def save_decoder(
    path: Path,
    latent_channels: int = 16,
    patch_size: int = 1,
    channels: tuple[int, ...] = CHANNELS,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Write the file, and return its weights. The real ones are taehv.safetensors with 16 latent
    channels, and taehv1_5.safetensors with 32 and patches of 2x2 pixels."""
    made = weights(latent_channels, patch_size, channels, seed)
    save_file(made, path)
    return made


def weights(
    latent_channels: int = 16,
    patch_size: int = 1,
    channels: tuple[int, ...] = CHANNELS,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        values = torch.randn(shape, generator=generator)
        last = name.startswith("decoder.22.")
        if len(shape) == 1:
            return (0.05 * values + 0.5 * last).half()
        # So that values do not grow from block to block, and the picture has the contrast of a real
        # one.
        size = 0.15 if last else 0.7 if ".conv.4." in name else 1.4
        return (size * values / torch.tensor(shape[1:]).prod().sqrt()).half()

    shapes = [
        *_encoder(latent_channels, patch_size),
        *_decoder(latent_channels, patch_size, channels),
    ]
    return {name: drawn(name, shape) for name, shape in shapes}


def _encoder(latent_channels: int, patch_size: int) -> Shapes:
    yield from _conv("encoder.0", 3 * patch_size**2, 64)
    for number, frames in ((2, 2), (7, 2), (12, 1)):
        yield f"encoder.{number}.conv.weight", (64, 64 * frames, 1, 1)
        yield f"encoder.{number + 1}.weight", (64, 64, 3, 3)
        for block in range(number + 2, number + 5):
            yield from _block(f"encoder.{block}", 64)
    yield from _conv("encoder.17", 64, latent_channels)


def _decoder(latent_channels: int, patch_size: int, channels: tuple[int, ...]) -> Shapes:
    yield from _conv("decoder.1", latent_channels, channels[0])
    for level, frames in enumerate((1, 2, 2)):
        number, width = 3 + 6 * level, channels[level]
        for block in range(number, number + 3):
            yield from _block(f"decoder.{block}", width)
        yield f"decoder.{number + 4}.conv.weight", (width * frames, width, 1, 1)
        yield f"decoder.{number + 5}.weight", (channels[level + 1], width, 3, 3)
    yield from _conv("decoder.22", channels[-1], 3 * patch_size**2)


def _conv(name: str, inputs: int, outputs: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, 3, 3)
    yield f"{name}.bias", (outputs,)


def _block(name: str, width: int) -> Shapes:
    for layer, inputs in ((0, 2 * width), (2, width), (4, width)):
        yield from _conv(f"{name}.conv.{layer}", inputs, width)


def decoded(weights: dict[str, torch.Tensor], latents: torch.Tensor) -> torch.Tensor:
    """The frames (TCHW, -1..1) of latents (TCHW), all at once."""
    named = {name: values.double() for name, values in weights.items()}

    def conv(x: torch.Tensor, layer: str) -> torch.Tensor:
        weight, bias = named[f"decoder.{layer}.weight"], named.get(f"decoder.{layer}.bias")
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def block(x: torch.Tensor, number: int) -> torch.Tensor:
        earlier = torch.cat((torch.zeros_like(x[:1]), x[:-1]))
        hidden = conv(torch.cat((x, earlier), 1), f"{number}.conv.0").relu()
        return (conv(conv(hidden, f"{number}.conv.2").relu(), f"{number}.conv.4") + x).relu()

    x = conv((latents.double() / 3).tanh() * 3, "1").relu()
    for number in (3, 9, 15):
        x = block(block(block(x, number), number + 1), number + 2)
        x = functional.interpolate(x, scale_factor=2.0)
        channels = x.shape[1]
        x = conv(x, f"{number + 4}.conv")
        x = conv(x.reshape(-1, channels, *x.shape[2:]), str(number + 5))
    x = conv(x.relu(), "22")
    x = functional.pixel_shuffle(x, round((x.shape[1] / 3) ** 0.5))
    return x[3:].clamp(0, 1).float() * 2 - 1
