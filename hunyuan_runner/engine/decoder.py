"""HunyuanVideo's VAE decoder for CPUs: the same function as diffusers' decoder, computed faster.

The differences:

- Feature maps lie in memory as THWC, the layout of oneDNN's fastest convolutions. So nothing
  is reordered before and after each of them.
- Normalisation, activation and padding are done piece by piece, just before the convolution of the
  piece. So there is little in memory besides the feature maps.
- Upsampling and the convolution after it are one operation: of the kernel's 27 weights, those that
  meet copies of the same value are summed first. That leaves 8 to 12 products, and no large map.
- In the middle block each frame attends to the frames up to it, instead of masking later ones.
- Convolutions of many channels are products of our own where these are faster: of bfloat16 with
  AMX, of int16 where the decoder is computed in float32, because the CPU has no fast bfloat16.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKLHunyuanVideo, ModelMixin
from torch import nn
from torch.nn import functional

from hunyuan_runner.engine.kernels import CHANNELS, Kernels, PackedConvolution, load_kernels
from hunyuan_runner.engine.loading import load_whole
from hunyuan_runner.families.hunyuan import HUNYUAN
from hunyuan_runner.machine.building import KernelsUnavailable
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import Instructions, WantedKernels, candidates
from hunyuan_runner.machine.precision import Precision, vae_precision
from hunyuan_runner.quoting.memory import PIECE_BYTES

logger = logging.getLogger(__name__)

PIECE_FRAMES = 4
STATISTICS_ROWS = 4096
FEWEST_CHANNELS = 64  # with fewer, torch is as fast

Block = Any  # a diffusers module, whose attributes have no types

Vae = TypeVar("Vae", bound=ModelMixin)

Convolve = Callable[[torch.Tensor], torch.Tensor]  # unpadded, of THWC

# Takes rows of one frame (HWC), and writes them, activated, into another tensor.
Activate = Callable[[torch.Tensor, torch.Tensor], None]


def dtype_here() -> torch.dtype:
    """The dtype in which to compute the VAE on this CPU."""
    return {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}[
        vae_precision(cpu_flags())
    ]


def load_vae(kind: type[Vae], model_dir: Path) -> Vae:
    """The decoding half of a model's VAE. Raises as load_whole() does."""
    vae = load_whole(kind, model_dir / "vae", dtype_here())
    del vae.encoder
    return vae


def blank_vae(kind: type[Vae], model_dir: Path) -> Vae:
    """The same with weights that nobody trained."""
    vae: Vae = kind.from_config(kind.load_config(model_dir / "vae")).to(dtype_here())
    del vae.encoder
    return vae


def kernels_for(dtype: torch.dtype, threads: int, wanted: WantedKernels) -> Kernels | None:
    """The kernels to convolve with if the decoder is computed in `dtype`; None if torch is better,
    or they do not work here."""
    # In bfloat16, oneDNN reaches nine tenths of what vectors can, but half of what AMX can.
    if dtype is torch.bfloat16 and Instructions.AMX not in candidates(wanted, cpu_flags()):
        return None
    try:
        return load_kernels(wanted, threads)
    except KernelsUnavailable as reason:
        logger.warning("the decoder does without the kernels: %s", reason)
        return None


class Decoder:
    """Decodes latents with the weights of HunyuanVideo's VAE, in its dtype.

    With `kernels`, convolutions of many channels are computed by these.
    """

    tiles = HUNYUAN.tiles

    def __init__(self, vae: AutoencoderKLHunyuanVideo, kernels: Kernels | None = None) -> None:
        self.config = vae.config
        self.dtype: torch.dtype = vae.dtype
        self._post_quant_conv = vae.post_quant_conv
        self._network: Block = with_our_convolutions(vae.decoder, kernels, without="upsamplers")
        self._upsamplers = [
            _Upsampler(block.upsamplers[0], kernels) if block.upsamplers else None
            for block in vae.decoder.up_blocks
        ]

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """The pixels (CTHW, about -1..1) of one clip's latents (CTHW)."""
        network = self._network
        x = latents.to(self.dtype).permute(1, 2, 3, 0).contiguous()
        x = pointwise(x, self._post_quant_conv)
        x = convolved(x, unchanged, network.conv_in)
        x = _resnet(x, network.mid_block.resnets[0])
        for attention, resnet in zip(
            network.mid_block.attentions, network.mid_block.resnets[1:], strict=True
        ):
            if attention is not None:
                x += _attended(x, attention)
            x = _resnet(x, resnet)
        for block, upsampler in zip(network.up_blocks, self._upsamplers, strict=True):
            for resnet in block.resnets:
                x = _resnet(x, resnet)
            if upsampler is not None:
                x = upsampler(x)
        x = convolved(x, _normed_silu(x, network.conv_norm_out), network.conv_out)
        return x.permute(3, 0, 1, 2)


class _Upsampler:
    """Nearest-neighbour upsampling and the causal convolution after it.

    If the upsampling is temporal, all frames but the first become two.
    """

    def __init__(self, upsampler: Block, kernels: Kernels | None) -> None:
        self._frames = int(upsampler.upsample_factor[0])  # made of one frame
        conv = upsampler.conv.conv
        bias, dtype = conv.bias.repeat(self._frames), conv.weight.dtype
        self._convolve = {
            (y, x): convolution(
                self._fold(fold(fold(conv.weight.float(), 3, y), 4, x)).to(dtype), bias, kernels
            )
            for y in (0, 1)
            for x in (0, 1)
        }

    def _fold(self, weight: torch.Tensor) -> torch.Tensor:
        """The weights for the earlier and the later of two frames, side by side."""
        if self._frames == 1:
            return weight
        return torch.cat([fold(weight, 2, 1), fold(weight, 2, 0)])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        frames, height, width, channels = x.shape
        out = x.new_empty(1 + (frames - 1) * self._frames, 2 * height, 2 * width, channels)
        for start, top, window in windows(x, unchanged):
            window = window[self._frames - 1 :]
            rows = window.shape[1] - 2
            for (row, column), convolve in self._convolve.items():
                seen = window[:, row : row + rows + 1, column : column + width + 1]
                made = convolve(seen).unflatten(-1, (self._frames, channels))
                target = out[:, 2 * top + row : 2 * (top + rows) : 2, column::2]
                for phase, part in enumerate(made.unbind(-2)):
                    first = self._frames * (start - 1) + 1 + phase
                    skipped = first < 0  # the first frame is not doubled
                    first += skipped * self._frames
                    last = first + self._frames * (len(part) - skipped)
                    target[first : last : self._frames] = part[skipped:]
        return out


def fold(weight: torch.Tensor, axis: int, phase: int) -> torch.Tensor:
    """A kernel of three over doubled values along `axis`, as a kernel of two over the values.

    In phase 0 the kernel is centred on the first copy of a value: it sees the previous value once
    and this value twice.
    """
    first, middle, last = weight.split(1, dim=axis)
    pair = (first, middle + last) if phase == 0 else (first + middle, last)
    return torch.cat(pair, dim=axis)


def _resnet(x: torch.Tensor, block: Block) -> torch.Tensor:
    """The block's output; `x` may be overwritten with it."""
    hidden = convolved(x, _normed_silu(x, block.norm1), block.conv1)
    if block.conv_shortcut is not None:
        x = _pointwise_in_place(x, block.conv_shortcut.conv)
    for start, top, window in windows(hidden, _normed_silu(hidden, block.norm2)):
        made = block.conv2.conv(window)
        x[start : start + len(made), top : top + made.shape[1]] += made
    return x


def convolved(x: torch.Tensor, activate: Activate, causal_conv: Block) -> torch.Tensor:
    conv = causal_conv.conv
    out = x.new_empty(*x.shape[:3], conv.out_channels)
    for start, top, window in windows(x, activate):
        made = conv(window)
        out[start : start + len(made), top : top + made.shape[1]] = made
    return out


def windows(x: torch.Tensor, activate: Activate) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Pieces of the activated `x` (THWC), with what a causal 3x3x3 kernel needs around them.

    That is two frames before the piece, and one row and one column on each side of it. Outside of
    `x` its outermost values are repeated. Yields the piece's first frame, first row, and values.
    """
    frames, height, width, channels = x.shape
    row_bytes = (PIECE_FRAMES + 2) * (width + 2) * channels * x.element_size()
    rows = min(height, max(1, int(PIECE_BYTES / row_bytes) - 2))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(top - 1, 0), min(bottom + 1, height)
        window = x.new_empty(PIECE_FRAMES + 2, bottom - top + 2, width + 2, channels)
        inner = slice(first - top + 1, last - top + 1)
        for start in range(0, frames, PIECE_FRAMES):
            count = min(PIECE_FRAMES, frames - start)
            for frame, target in zip(x[start : start + count], window[2:], strict=False):
                activate(frame[first:last], target[inner, 1:-1])
                if top == 0:
                    target[0] = target[1]
                if bottom == height:
                    target[-1] = target[-2]
                target[:, 0] = target[:, 1]
                target[:, -1] = target[:, -2]
            if start == 0:
                window[:2] = window[2]
            yield start, top, window[: count + 2]
            window[0] = window[count]
            window[1] = window[count + 1]


class _Convolution(nn.Module):
    """An unpadded convolution of THWC, in the place of a Conv3d."""

    def __init__(self, conv: nn.Conv3d, kernels: Kernels | None) -> None:
        super().__init__()
        assert conv.bias is not None
        self.out_channels = conv.out_channels
        self._convolve = convolution(conv.weight.data, conv.bias.data, kernels)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        return self._convolve(window)


def with_our_convolutions(
    module: nn.Module, kernels: Kernels | None, without: str = ""
) -> nn.Module:
    """A copy of the module that shares its weights, but for those of convolutions, which take
    windows of THWC. Submodules of the name `without` are left out."""
    if isinstance(module, nn.Conv3d) and module.kernel_size != (1, 1, 1):
        return _Convolution(module, kernels)
    copied = copy(module)
    copied._modules = {
        name: None
        if child is None or name == without
        else with_our_convolutions(child, kernels, without)
        for name, child in module._modules.items()
    }
    return copied


def convolution(weight: torch.Tensor, bias: torch.Tensor, kernels: Kernels | None) -> Convolve:
    """By `kernels`, if there are as many inputs and outputs as they are good for."""
    outputs, inputs = weight.shape[:2]
    if kernels is not None and min(outputs, inputs) >= FEWEST_CHANNELS and inputs % CHANNELS == 0:
        return partial(_convolve_by, kernels, kernels.pack_convolution(weight, bias))
    weight = weight.contiguous(memory_format=torch.channels_last_3d)
    return partial(_convolve, weight, bias)


def _convolve(weight: torch.Tensor, bias: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    seen = window.permute(3, 0, 1, 2)[None]
    if window.dtype is torch.float32 and torch.backends.mkldnn.is_available():
        # For a small window conv3d() would choose another one, which takes ten times as long. For
        # bfloat16 it takes this one wherever the CPU can compute it.
        made = torch.mkldnn_convolution(seen, weight, bias, (0,) * 3, (1,) * 3, (1,) * 3, 1)
    else:
        made = functional.conv3d(seen, weight, bias)
    return made[0].permute(1, 2, 3, 0)


def _convolve_by(kernels: Kernels, layer: PackedConvolution, window: torch.Tensor) -> torch.Tensor:
    made = (seen - size + 1 for seen, size in zip(window.shape[:3], layer.size, strict=True))
    out = window.new_empty(*made, layer.outputs)
    kernels.convolve(window.contiguous(), layer, out)
    return out


def pointwise(x: torch.Tensor, conv: nn.Conv3d) -> torch.Tensor:
    """Convolution of THWC with a kernel of 1x1x1."""
    return functional.linear(x, conv.weight.flatten(1), conv.bias)


def _pointwise_in_place(x: torch.Tensor, conv: nn.Conv3d) -> torch.Tensor:
    """The same in the memory of `x`. There must be no more output than input channels."""
    frames, height, width, _ = x.shape
    size = frames * height * width * conv.out_channels
    out = x.view(-1)[:size].view(frames, height, width, conv.out_channels)
    for frame, target in zip(x, out, strict=True):  # `target` begins no later than `frame`
        target.copy_(pointwise(frame, conv))
    return out


def unchanged(source: torch.Tensor, target: torch.Tensor) -> None:
    target.copy_(source)


def _normed_silu(x: torch.Tensor, norm: nn.GroupNorm) -> Activate:
    normed = _normed(x, norm)

    def activate(source: torch.Tensor, target: torch.Tensor) -> None:
        torch.ops.aten.silu.out(normed(source), out=target)

    return activate


def _normed(x: torch.Tensor, norm: nn.GroupNorm) -> Callable[[torch.Tensor], torch.Tensor]:
    """Group normalisation with the statistics of `x`, to apply to pieces of it (channels last).

    With known statistics this is what a trained batch normalisation computes, which is fast in
    torch.
    """
    channels = x.shape[-1]
    mean, variance = _moments(x.view(-1, channels), norm.num_groups)
    weight, bias = norm.weight.float(), norm.bias.float()

    def apply(piece: torch.Tensor) -> torch.Tensor:
        flat = piece.view(-1, channels)
        normed = functional.batch_norm(flat, mean, variance, weight, bias, eps=norm.eps)
        return normed.view(piece.shape)

    return apply


def _moments(x: torch.Tensor, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the variance of each channel's group in `x` (NC).

    torch adds up float32 values one by one, which is exact enough only for some thousand values.
    """
    channels = x.shape[1]
    sums = torch.zeros(2, channels, dtype=torch.float64)
    for rows in x.split(STATISTICS_ROWS):
        unset = torch.zeros(channels)
        mean, variance = torch.batch_norm_update_stats(rows, unset, unset.clone(), 1.0)
        sums += len(rows) * torch.stack((mean, variance + mean**2))
    by_group = (sums / len(x)).view(2, groups, -1).mean(2)
    mean, square = by_group.repeat_interleave(channels // groups, dim=1)
    return mean.float(), (square - mean**2).float()


def _attended(x: torch.Tensor, attention: Block) -> torch.Tensor:
    """Attention of each position (THWC) to the positions of its own and all earlier frames."""
    normed = _normed(x, attention.group_norm)(x).flatten(1, 2)  # TLC
    query, key, value = (
        project(normed) for project in (attention.to_q, attention.to_k, attention.to_v)
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
    made: torch.Tensor = attention.to_out[0](gathered).view(x.shape)
    return made
