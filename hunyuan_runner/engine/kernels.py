"""The C++ kernels of kernels.cpp, called with torch tensors.

They are built once for this CPU by this machine's compiler, which takes seconds. The name of the
library depends on the source, the compiler and the CPU, so another machine builds its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import subprocess
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import torch

from hunyuan_runner.machine.host import cpu_flags, cpu_name

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILER_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared")
WITHOUT_AMX = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
BUILD_SECONDS = 300

ROWS = 16  # of a tile
INT8_DEPTH = 64  # inputs per tile
BF16_DEPTH = 32
EPSILON = 1e-6  # of every norm in HunyuanVideo's blocks


class KernelsUnavailable(Exception):
    """The kernels could not be built, or do not run on this CPU."""


class AmxRefused(KernelsUnavailable):
    """The CPU has AMX, but this process may not use it. Kernels without AMX work."""


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
    """Activations quantised row by row: uint8 in tiles, where 128 means zero, times `scale`."""

    values: torch.Tensor
    scale: torch.Tensor
    rows: int


class Kernels:
    """Each method writes its results into tensors that the caller provides."""

    def __init__(self, library: Path, threads: int) -> None:
        try:
            self._library = ctypes.CDLL(str(library))  # shares the OpenMP that torch has loaded
        except OSError as error:
            raise KernelsUnavailable(str(error)) from error
        self._threads = threads
        amx: int = self._library.hy_enable_amx()
        if amx < 0:
            raise AmxRefused("the operating system does not grant AMX")
        self.uses_amx = amx > 0

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

    def pack_qkv(
        self,
        qkv: torch.Tensor,
        heads: int,
        q_weight: torch.Tensor,
        k_weight: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor] | None,
        offset: int,
        packed: PackedHeads,
    ) -> None:
        """Write the values, and the normalised and rotated queries and keys, of `qkv` ([rows, 3 *
        heads * width] bfloat16) into `packed`, from row `offset` on."""
        rows = qkv.shape[0]
        width = qkv.shape[1] // (3 * heads)
        cosine, sine = rotary or (None, None)
        self._call(
            "hy_pack_qkv",
            qkv,
            rows,
            heads,
            width,
            q_weight,
            k_weight,
            EPSILON,
            cosine,
            sine,
            offset,
            packed.length,
            packed.queries,
            packed.keys,
            packed.values,
        )

    def attention(self, packed: PackedHeads, rows: int, width: int, out: torch.Tensor) -> None:
        """out ([rows, heads * width] bfloat16) = softmax(queries @ keys) @ values."""
        heads = packed.queries.shape[0]
        self._call(
            "hy_attention",
            packed.queries,
            packed.keys,
            packed.values,
            rows,
            heads,
            width,
            packed.length,
            out,
            out.stride(0),
        )

    def _call(self, name: str, *arguments: torch.Tensor | float | int | None) -> None:
        getattr(self._library, name)(*map(_as_c, arguments), ctypes.c_int64(self._threads))


@dataclass(frozen=True)
class PackedHeads:
    """Queries, keys and values of all heads in tiles: [heads, length, width rounded up to 32]
    bfloat16 each, `length` a multiple of 32. Fill with zeros first: all values must be finite.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor

    @property
    def length(self) -> int:
        return self.queries.shape[1]


def load_kernels(folder: Path, compiler: str, threads: int, amx: bool = True) -> Kernels:
    """Load the kernels for this CPU, after building them in `folder` if they are not there.

    Raises KernelsUnavailable.
    """
    flags = COMPILER_FLAGS if amx else COMPILER_FLAGS + WITHOUT_AMX
    library = folder / f"kernels-{_fingerprint(compiler, flags)}.so"
    if not library.exists():
        _build(library, compiler, flags)
    try:
        return Kernels(library, threads)
    except AmxRefused:
        return load_kernels(folder, compiler, threads, amx=False)


def _fingerprint(compiler: str, flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256(SOURCE.read_bytes())
    for part in (compiler, *flags, cpu_name(), *sorted(cpu_flags())):
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()[:16]


def _build(library: Path, compiler: str, flags: tuple[str, ...]) -> None:
    logger.info("building the int8 kernels with %s", compiler)
    library.parent.mkdir(parents=True, exist_ok=True)
    unfinished = library.with_suffix(f".{os.getpid()}.so")
    try:
        subprocess.run(
            [compiler, *flags, str(SOURCE), "-o", str(unfinished)],
            check=True,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
        unfinished.replace(library)
    except subprocess.CalledProcessError as error:
        raise KernelsUnavailable(f"{compiler} failed: {error.stderr.strip()[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailable(f"{compiler} failed: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


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
