"""The C++ kernels of cpp/, called with torch tensors."""

from __future__ import annotations

import ctypes
import logging
import math
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import torch
from torch.nn import functional

from hunyuan_runner.machine.building import KernelsUnavailable, library_of
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import (
    Attention,
    Instructions,
    WantedKernels,
    candidates,
    lacking,
)

logger = logging.getLogger(__name__)

ROWS = 16  # of a tile
INT8_DEPTH = 64  # inputs per tile
BF16_DEPTH = 32
CHANNELS = 32  # the inputs of a convolution are a multiple of them
READ_BEYOND = 2 * ROWS * BF16_DEPTH  # values after the end of what a convolution sees
LINE_BYTES = 64  # of a cache
LEAST = 1e-20  # the largest weight of an output of zeros, to avoid dividing by zero
EPSILON = 1e-6  # of every norm in HunyuanVideo's blocks
FORMS = {Attention.BF16: 0, Attention.INT16: 1, Attention.INT8: 2}  # in kernels.cpp


class Epilogue(IntEnum):
    """What is done with a linear layer's results. The numbers are those of kernels.cpp."""

    STORE = 0
    GELU = 1
    RESIDUAL = 2


@dataclass(frozen=True)
class PackedLinear:
    """A linear layer's weights in int8, scaled by output, in the tiles that kernels.cpp multiplies.

    `weight` is [outputs / 16, inputs / 64, 16, 16, 4], padded with zeros; `scale` (float32) and
    `total` (int32, the sum of the int8 weights over the inputs) are as long as the padded outputs.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    total: torch.Tensor
    bias: torch.Tensor | None
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Levels:
    """Activations quantised row by row: bytes in tiles, as the kernels take them, times `scale`."""

    values: torch.Tensor
    scale: torch.Tensor
    rows: int


@dataclass(frozen=True)
class PackedHeads:
    """Room for the queries, keys and values of `rows` tokens, as attention reads them."""

    memory: torch.Tensor
    rows: int
    heads: int
    width: int


@dataclass(frozen=True)
class PackedConvolution:
    """A 3D convolution's weights as kernels.cpp multiplies them: bfloat16, or int16 with a `scale`
    for each output.

    `size` is that of the kernel along T, H and W.
    """

    weight: torch.Tensor
    scale: torch.Tensor | None
    bias: torch.Tensor
    size: tuple[int, int, int]
    outputs: int


class Kernels:
    """Each method writes its results into tensors that the caller provides."""

    def __init__(
        self, library: Path, instructions: Instructions, attention: Attention, threads: int
    ) -> None:
        """Raises KernelsUnavailable if the library cannot be loaded, or AMX is not granted."""
        try:
            self._library = ctypes.CDLL(str(library))  # shares the OpenMP that torch has loaded
        except OSError as error:
            raise KernelsUnavailable(str(error)) from error
        self._library.hy_packed_bytes.restype = ctypes.c_int64
        self._library.hy_convolution_panel.restype = ctypes.c_int64
        self._library.hy_convolution_level.restype = ctypes.c_float
        self._threads = threads
        self.instructions = instructions
        self.attention_form = attention
        if self._library.hy_enable_amx() < 0:
            raise KernelsUnavailable("the operating system does not grant AMX")

    def norm_quantize(
        self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, levels: Levels
    ) -> None:
        """levels = layer_norm(x) * (1 + scale) + shift; x: [rows, width] float32."""
        rows, width = x.shape
        self._call(
            "hy_norm_quantize", x, rows, width, scale, shift, EPSILON, levels.values, levels.scale
        )

    def quantize(self, x: torch.Tensor, levels: Levels) -> None:
        """levels = x; x: [rows, width] bfloat16, its rows contiguous."""
        rows, width = x.shape
        self._call("hy_quantize", x, x.stride(0), rows, width, levels.values, levels.scale)

    def linear(
        self,
        levels: Levels,
        layer: PackedLinear,
        out: torch.Tensor,
        epilogue: Epilogue,
        gate: torch.Tensor | None = None,
    ) -> None:
        """STORE: out = layer(levels), GELU: out = gelu(layer(levels)), both in bfloat16.

        RESIDUAL: out += gate * layer(levels), in float32.
        """
        self._call(
            "hy_linear",
            levels.values,
            levels.scale,
            levels.rows,
            layer.inputs,
            layer.weight,
            layer.scale,
            layer.total,
            layer.bias,
            gate,
            layer.outputs,
            epilogue,
            out,
            out.stride(0),
        )

    def packed_heads(self, rows: int, heads: int, width: int) -> PackedHeads:
        """`width` is that of a head, a multiple of 16."""
        sizes = map(_as_c, (self._form, rows, heads, width))
        size = self._library.hy_packed_bytes(*sizes)
        # Zeros, because attention reads rows and columns that fill up a tile.
        memory = torch.zeros(size + LINE_BYTES, dtype=torch.uint8)
        return PackedHeads(memory[-memory.data_ptr() % LINE_BYTES :], rows, heads, width)

    def pack_qkv(
        self,
        qkv: torch.Tensor,
        q_weight: torch.Tensor,
        k_weight: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor] | None,
        offset: int,
        packed: PackedHeads,
    ) -> None:
        """Write the normalised and rotated queries and keys of `qkv` ([rows, 3 * heads * width]
        bfloat16), and its values, into `packed`, from row `offset` on."""
        cosine, sine = rotary or (None, None)
        self._call(
            "hy_pack_qkv",
            self._form,
            qkv,
            qkv.shape[0],
            packed.heads,
            packed.width,
            q_weight,
            k_weight,
            EPSILON,
            cosine,
            sine,
            offset,
            packed.rows,
            packed.memory,
        )

    def attention(self, qkv: torch.Tensor, packed: PackedHeads, out: torch.Tensor) -> None:
        """out ([rows, heads * width] bfloat16) = softmax(queries @ keys) @ values.

        `qkv` holds all rows that were packed.
        """
        self._call(
            "hy_attention",
            self._form,
            qkv,
            packed.rows,
            packed.heads,
            packed.width,
            packed.memory,
            out,
            out.stride(0),
        )

    def pack_convolution(self, weight: torch.Tensor, bias: torch.Tensor) -> PackedConvolution:
        """weight: [outputs, inputs, T, H, W] float32, or bfloat16 if the instructions multiply it;
        the inputs a multiple of CHANNELS."""
        outputs, _, *size = weight.shape
        is_bf16 = weight.dtype is torch.bfloat16
        form = FORMS[Attention.BF16 if is_bf16 else Attention.INT16]
        panel = self._library.hy_convolution_panel(_as_c(form))
        weight = functional.pad(weight, (0, 0) * 4 + (0, -outputs % panel))
        packed, scale = (
            (_in_tiles(weight, panel), None) if is_bf16 else self._in_int16(weight, panel)
        )
        return PackedConvolution(
            weight=packed,
            scale=scale,
            bias=functional.pad(bias.float(), (0, len(weight) - outputs)),
            size=(size[0], size[1], size[2]),
            outputs=outputs,
        )

    def _in_int16(self, weight: torch.Tensor, panel: int) -> tuple[torch.Tensor, torch.Tensor]:
        outputs, inputs, *size = weight.shape
        most = self._library.hy_convolution_level(_as_c(inputs))
        scale = weight.abs().amax(dim=(1, 2, 3, 4)).clamp_min(LEAST) / most
        levels = (weight / scale[:, None, None, None, None]).round().to(torch.int16).contiguous()
        packed = torch.empty_like(levels)
        self._call("hy_convolution_pack", levels, outputs // panel, inputs, math.prod(size), packed)
        return packed, scale

    def convolve(self, x: torch.Tensor, layer: PackedConvolution, out: torch.Tensor) -> None:
        """out = layer(x), both THWC of the layer's dtype; `x` is contiguous, with its padding.

        The channels of a position of `out` are contiguous.
        """
        frames, height, width, channels = x.shape
        # Shape in convolution.h
        shape = torch.tensor([*x.shape, *layer.size, layer.outputs, *out.stride()[:3]])
        if layer.scale is None:
            arranged = x.new_empty(x.numel() + READ_BEYOND)
            self._call("hy_bf16_arrange", x, frames * height, width, channels, arranged)
            self._call("hy_bf16_convolve", shape, arranged, layer.weight, layer.bias, out)
            return
        levels, scale = torch.empty(x.shape, dtype=torch.int16), torch.empty(x.shape[:3])
        self._call("hy_convolution_quantize", x, scale.numel(), channels, levels, scale)
        self._call("hy_convolve", shape, levels, scale, layer.weight, layer.scale, layer.bias, out)

    @property
    def _form(self) -> int:
        return FORMS[self.attention_form]

    def _call(self, name: str, *arguments: torch.Tensor | float | int | None) -> None:
        getattr(self._library, name)(*map(_as_c, arguments), ctypes.c_int64(self._threads))


def _in_tiles(weight: torch.Tensor, panel: int) -> torch.Tensor:
    """Weights of a convolution in bfloat16: by panel of outputs, position in the kernel, and group
    of inputs, the right tiles of products.h."""
    tiles: torch.Tensor = weight.flatten(2).unflatten(1, (-1, BF16_DEPTH // 2, 2))
    tiles = tiles.unflatten(0, (-1, panel // ROWS, ROWS))
    panels, columns, rows, groups, depth, pair, taps = range(tiles.ndim)
    return tiles.permute(panels, taps, groups, columns, depth, rows, pair).contiguous()


def load_kernels(wanted: WantedKernels, threads: int) -> Kernels:
    """The wanted kernels, or those for the fastest instruction set that works here.

    Raises KernelsUnavailable.
    """
    flags = cpu_flags()
    found = candidates(wanted, flags)
    reasons = [] if found else [lacking(flags, wanted.instructions)]
    for instructions in found:
        form = instructions.attention(wanted.attention, flags)
        try:
            library = library_of(instructions, wanted.folder)
            kernels = Kernels(library, instructions, form, threads)
        except KernelsUnavailable as reason:
            logger.warning("no kernels for %s: %s", instructions, reason)
            reasons.append(f"{instructions}: {reason}")
        else:
            logger.info("the kernels use %s", instructions.in_words)
            return kernels
    raise KernelsUnavailable("; ".join(reasons))


def _as_c(
    argument: torch.Tensor | float | int | None,
) -> ctypes.c_void_p | ctypes.c_float | ctypes.c_int64:
    match argument:
        case torch.Tensor():
            return ctypes.c_void_p(argument.data_ptr())
        case float():
            return ctypes.c_float(argument)
        case int():
            return ctypes.c_int64(argument)
        case None:
            return ctypes.c_void_p(None)
