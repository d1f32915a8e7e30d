"""HunyuanVideo-1.5's VAE decoder for CPUs: the same function as diffusers' decoder, computed in
pieces as engine/decoder.py does.

Its norm looks at one position alone. So a tile differs from the whole only by what its convolutions
and the attention of the middle block do not see beyond its edge.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from hunyuan_runner.engine.decoder import (
    Activate,
    convolved,
    pointwise,
    unchanged,
    windows,
    with_our_convolutions,
)
from hunyuan_runner.engine.kernels import Kernels
from hunyuan_runner.families.hunyuan15 import HUNYUAN15

Block = Any  # a diffusers module, whose attributes have no types


class Decoder:
    """Decodes latents with the weights of HunyuanVideo-1.5's VAE, in its dtype.

    With `kernels`, convolutions of many channels are computed by these.
    """

    tiles = HUNYUAN15.tiles

    def __init__(self, vae: Any, kernels: Kernels | None = None) -> None:
        self.config = vae.config
        self.dtype: torch.dtype = vae.dtype
        self._network: Block = with_our_convolutions(vae.decoder, kernels)

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """The pixels (CTHW, about -1..1) of one clip's latents (CTHW)."""
        network = self._network
        x = latents.to(self.dtype).permute(1, 2, 3, 0).contiguous()
        x = convolved(x, unchanged, network.conv_in) + x.repeat_interleave(network.repeat, dim=-1)
        x = _resnet(x, network.mid_block.resnets[0])
        for attention, resnet in zip(
            network.mid_block.attentions, network.mid_block.resnets[1:], strict=True
        ):
            if attention is not None:
                x += _attended(x, attention)
            x = _resnet(x, resnet)
        for block in network.up_blocks:
            for resnet in block.resnets:
                x = _resnet(x, resnet)
            if block.upsamplers is not None:
                x = _upsampled(x, block.upsamplers[0])
        x = convolved(x, _normed_silu(network.norm_out), network.conv_out)
        return x.permute(3, 0, 1, 2)


def _resnet(x: torch.Tensor, block: Block) -> torch.Tensor:
    """The block's output; `x` (THWC) may be overwritten with it."""
    hidden = convolved(x, _normed_silu(block.norm1), block.conv1)
    if block.conv_shortcut is not None:
        x = pointwise(x, block.conv_shortcut)
    for start, top, window in windows(hidden, _normed_silu(block.norm2)):
        made = block.conv2.conv(window)
        x[start : start + len(made), top : top + made.shape[1]] += made
    return x


def _upsampled(x: torch.Tensor, upsampler: Block) -> torch.Tensor:
    """Each position (THWC) becomes 2x2 of fewer channels, of two frames if the upsampling is
    temporal; the first frame stays one. What a convolution computes is added to a copy of `x`."""
    frames, height, width, _ = x.shape
    temporal = 2 if upsampler.add_temporal_upsample else 1
    causal = upsampler.conv.conv
    channels = causal.out_channels // (4 * temporal)
    out = x.new_empty(1 + (frames - 1) * temporal, 2 * height, 2 * width, channels)
    for start, top, window in windows(x, unchanged):
        made = causal(window)
        rows = slice(top, top + made.shape[1])
        shown = slice(2 * top, 2 * (top + made.shape[1]))
        source = x[start : start + len(made), rows]
        if temporal == 2 and start == 0:
            # Of the first frame only the first half of the channels of each position is used.
            first = _unpacked(made[:1], 1)[..., :channels]
            out[:1, shown] = first + _repeated(_unpacked(source[:1], 1), channels)
            made, source, start = made[1:], source[1:], 1
        last = 1 + (start - 1 + len(made)) * temporal
        unpacked = _unpacked(made, temporal)
        unpacked += _repeated(_unpacked(source, temporal), channels)
        out[1 + (start - 1) * temporal : last, shown] = unpacked
    return out


def _unpacked(x: torch.Tensor, frames: int) -> torch.Tensor:
    """Positions with frames x 2 x 2 groups of channels (THWC) as so many positions (THWC)."""
    split = x.unflatten(-1, (frames, 2, 2, -1))  # T H W t h w C
    ordered: torch.Tensor = split.permute(0, 3, 1, 4, 2, 5, 6)
    return ordered.flatten(0, 1).flatten(1, 2).flatten(2, 3).contiguous()


def _repeated(x: torch.Tensor, channels: int) -> torch.Tensor:
    """With each channel (the last axis) repeated in place, so that there are `channels`."""
    return x.repeat_interleave(channels // x.shape[-1], dim=-1)


def _normed_silu(norm: Block) -> Activate:
    def activate(source: torch.Tensor, target: torch.Tensor) -> None:
        torch.ops.aten.silu.out(_normed(source, norm), out=target)

    return activate


def _normed(x: torch.Tensor, norm: Block) -> torch.Tensor:
    """Each position (its channels last) at the same length, times a weight for each channel."""
    weight: torch.Tensor = norm.gamma.flatten().float() * norm.scale
    unit = functional.normalize(x.float(), dim=-1)
    return (unit * weight).to(x.dtype)


def _attended(x: torch.Tensor, attention: Block) -> torch.Tensor:
    """Attention of each position (THWC) to the positions of its own and all earlier frames."""
    normed = _normed(x, attention.norm)
    query, key, value = (
        pointwise(normed, project).flatten(1, 2)  # TLC
        for project in (attention.to_q, attention.to_k, attention.to_v)
    )
    gathered = torch.cat(
        [
            functional.scaled_dot_product_attention(
                query[None, t : t + 1],
                key[: t + 1].flatten(0, 1)[None, None],
                value[: t + 1].flatten(0, 1)[None, None],
            )[0]
            for t in range(len(query))
        ]
    )
    return pointwise(gathered.view(x.shape), attention.proj_out)
