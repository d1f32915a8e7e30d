"""In which precision a machine computes a model, and why. No torch: the runner uses this too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from hunyuan_runner.machine.building import can_have
from hunyuan_runner.machine.host import cpu_flags, memory_bytes
from hunyuan_runner.machine.instructions import available, lacking
from hunyuan_runner.settings import WantedPrecision

BF16_FLAGS = frozenset({"avx512_bf16"})
SMALL_PARAMETERS = 100e6  # smaller models are fast enough in fp32
LARGE_PARAMETERS = 1e9  # of a text encoder; the weights of a larger one are not held in memory


class Precision(StrEnum):
    """The type of the transformer's weights and matrix products."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"  # the blocks' matrix products; the rest is fp32 and bf16


BYTES_PER_PARAMETER = {Precision.FP32: 4, Precision.BF16: 2, Precision.INT8: 1}


@dataclass(frozen=True)
class Cpu:
    """What the choice of a precision depends on.

    `has_kernels`: they are built for it, or can be.
    """

    flags: frozenset[str]
    memory_bytes: int
    has_kernels: bool

    @classmethod
    def here(cls) -> Self:
        flags = cpu_flags()
        return cls(flags, memory_bytes(), any(map(can_have, available(flags))))

    def obstacle(self, precision: Precision) -> str | None:
        """Why this CPU cannot compute in `precision`, or None if it can."""
        if precision is Precision.INT8 and not available(self.flags):
            return lacking(self.flags)
        if precision is Precision.INT8 and not self.has_kernels:
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
        fastest = available(cpu.flags)[0]
        return Choice(Precision.INT8, f"it is the fastest, and this CPU has {fastest.in_words}")
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


def text_encoder_precision(parameters: float, flags: frozenset[str]) -> Precision:
    """The precision of text encoders with so many parameters on a CPU with these flags.

    bf16 only where the CPU multiplies it: fp32 takes no more memory, because large ones stay on the
    disk, and torch's emulation of bf16 is several times slower.
    """
    if parameters < SMALL_PARAMETERS or not flags >= BF16_FLAGS:
        return Precision.FP32
    return Precision.BF16
