"""In which precision a host computes a model, and why. Without torch: the runner asks too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from hunyuan_runner.machine.host import cpp_compiler, cpu_flags, memory_bytes
from hunyuan_runner.settings import WantedPrecision

# What the int8 kernels are written with; AMX on top is used where it is.
INT8_FLAGS = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"})
BF16_FLAGS = frozenset({"avx512_bf16"})
SMALL_PARAMETERS = 100e6  # below, exactness costs nobody anything


class Precision(StrEnum):
    """What the transformer's weights and matrix products are in."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"  # the products of the blocks; the rest is bf16, or fp32 on CPUs without


BYTES_PER_PARAMETER = {Precision.FP32: 4, Precision.BF16: 2, Precision.INT8: 1}


@dataclass(frozen=True)
class Cpu:
    """What decides about a precision. `compiler` is the C++ compiler's path, if there is one."""

    flags: frozenset[str]
    memory_bytes: int
    compiler: str | None

    @classmethod
    def here(cls) -> Self:
        return cls(cpu_flags(), memory_bytes(), cpp_compiler())

    def obstacle(self, precision: Precision) -> str | None:
        """Why this CPU does not compute in `precision`, or None if it does."""
        if precision is Precision.INT8 and not self.flags >= INT8_FLAGS:
            return "this CPU has no AVX-512 VNNI"
        if precision is Precision.INT8 and self.compiler is None:
            return "there is no C++ compiler to build the int8 kernels with (install g++)"
        if precision is Precision.BF16 and not self.flags >= BF16_FLAGS:
            return "this CPU has no AVX-512 BF16"
        return None


@dataclass(frozen=True)
class Choice:
    """A precision, and what spoke for it, for the log and for people."""

    precision: Precision
    reason: str


def choose(wanted: WantedPrecision, parameters: float, cpu: Cpu) -> Choice:
    """The precision to compute a model in: the wanted one, or the best where that does not work."""
    if wanted == "auto":
        return best(parameters, cpu)
    precision = Precision(wanted)
    obstacle = cpu.obstacle(precision)
    if obstacle is None or precision is Precision.BF16:  # slow there, but half the memory
        return Choice(precision, "as HUNYUAN_PRECISION says")
    instead = best(parameters, cpu)
    return Choice(instead.precision, f"{precision} does not work: {obstacle}; {instead.reason}")


def best(parameters: float, cpu: Cpu) -> Choice:
    """The fastest precision for a model of so many parameters that loses nothing one would see."""
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
    """What the VAE is computed in on a CPU with these flags. On the demo model too bf16 is several
    times as fast, and further from fp32 by no more than an MP4 is from its frames."""
    return Precision.BF16 if flags >= BF16_FLAGS else Precision.FP32
