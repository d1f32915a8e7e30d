"""In which precision a machine computes a model, and why. No torch: the runner uses this too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from hunyuan_runner.machine.host import cpp_compiler, cpu_flags, memory_bytes
from hunyuan_runner.settings import WantedPrecision

# The int8 kernels need these; they use AMX as well if the CPU has it.
INT8_FLAGS = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"})
BF16_FLAGS = frozenset({"avx512_bf16"})
SMALL_PARAMETERS = 100e6  # smaller models are fast enough in fp32


class Precision(StrEnum):
    """The type of the transformer's weights and matrix products."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"  # the blocks' matrix products; the rest is fp32 and bf16


BYTES_PER_PARAMETER = {Precision.FP32: 4, Precision.BF16: 2, Precision.INT8: 1}


@dataclass(frozen=True)
class Cpu:
    """What the choice of a precision depends on. `compiler` is the path of the C++ compiler."""

    flags: frozenset[str]
    memory_bytes: int
    compiler: str | None

    @classmethod
    def here(cls) -> Self:
        return cls(cpu_flags(), memory_bytes(), cpp_compiler())

    def obstacle(self, precision: Precision) -> str | None:
        """Why this CPU cannot compute in `precision`, or None if it can."""
        if precision is Precision.INT8 and not self.flags >= INT8_FLAGS:
            return "this CPU has no AVX-512 VNNI"
        if precision is Precision.INT8 and self.compiler is None:
            return "there is no C++ compiler to build the int8 kernels with (install g++)"
        if precision is Precision.BF16 and not self.flags >= BF16_FLAGS:
            return "this CPU has no AVX-512 BF16"
        return None


@dataclass(frozen=True)
class Choice:
    """A precision, and the reason for it in words."""

    precision: Precision
    reason: str


def choose(wanted: WantedPrecision, parameters: float, cpu: Cpu) -> Choice:
    """The precision to compute a model in: the wanted one, or the best if that does not work."""
    if wanted == "auto":
        return best(parameters, cpu)
    precision = Precision(wanted)
    obstacle = cpu.obstacle(precision)
    if obstacle is None or precision is Precision.BF16:  # slow there, but half the memory
        return Choice(precision, "as HUNYUAN_PRECISION says")
    instead = best(parameters, cpu)
    return Choice(instead.precision, f"{precision} does not work: {obstacle}; {instead.reason}")


def best(parameters: float, cpu: Cpu) -> Choice:
    """The fastest precision for a model of so many parameters without a visible loss."""
    if parameters < SMALL_PARAMETERS:
        return Choice(Precision.FP32, "the model is small")
    no_int8, no_bf16 = cpu.obstacle(Precision.INT8), cpu.obstacle(Precision.BF16)
    if no_int8 is None:
        return Choice(Precision.INT8, "it is the fastest, and this CPU has AVX-512 VNNI")
    if no_bf16 is None:
        return Choice(Precision.BF16, f"no int8: {no_int8}; this CPU has AVX-512 BF16")
    if parameters * BYTES_PER_PARAMETER[Precision.FP32] < cpu.memory_bytes:
        return Choice(Precision.FP32, f"no int8: {no_int8}; no bf16: {no_bf16}")
    return Choice(Precision.BF16, f"no int8: {no_int8}; in fp32 it would not fit in memory")


def vae_precision(flags: frozenset[str]) -> Precision:
    """The precision of the VAE on a CPU with these flags.

    bf16 is several times as fast, on the demo model as well, and differs from fp32 no more than an
    MP4 differs from its frames.
    """
    return Precision.BF16 if flags >= BF16_FLAGS else Precision.FP32
