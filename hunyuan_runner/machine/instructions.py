"""The instruction sets that the kernels are built for, and which of them a CPU has. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings  # which the package's build does not have

_AVX2 = frozenset({"avx2", "fma"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}) | _AVX2
_BF16 = _AVX512 | {"avx512_bf16"}
_AMD = frozenset({"sse4a"})  # no other CPU with AVX-512 lists it
_DOTPROD = frozenset({"asimd", "asimddp"})


class Attention(StrEnum):
    """In which numbers attention is computed. Its sums are exact, or fp32."""

    BF16 = "bf16"  # needs AVX-512 BF16
    INT16 = "int16"
    INT8 = "int8"  # queries and keys stay int16; faster and less exact


class Instructions(StrEnum):
    """An instruction set of x86-64 or of Arm, the fastest of each first."""

    AMX = "amx"
    AVX512_BF16 = "avx512-bf16"
    AVX512 = "avx512"
    AVX_VNNI = "avx-vnni"
    AVX2 = "avx2"
    NEON_I8MM = "neon-i8mm"
    NEON_DOTPROD = "neon-dotprod"

    @property
    def flags(self) -> frozenset[str]:
        """What a CPU that has it lists in /proc/cpuinfo."""
        return _FLAGS[self]

    @property
    def multiplies_bf16(self) -> bool:
        return self.flags >= _BF16

    @property
    def in_words(self) -> str:
        return _TITLES[self]

    def has(self, attention: Attention) -> bool:
        """Whether the kernels for it compute attention in this form."""
        return self.multiplies_bf16 or attention is not Attention.BF16

    def attention(self, wanted: Attention | None, flags: frozenset[str]) -> Attention:
        """The wanted form of attention, or the best on a CPU with these flags, if there is no wish
        or no BF16.

        bf16 is several times as fast as int16 with AMX, and a little faster with AMD's vectors.
        With Intel's it takes three times as long.
        """
        if wanted is not None and self.has(wanted):
            return wanted
        fast_bf16 = self is Instructions.AMX or (self.multiplies_bf16 and flags >= _AMD)
        return Attention.BF16 if fast_bf16 else Attention.INT16


_FLAGS = {
    Instructions.AMX: _BF16 | {"amx_tile", "amx_int8", "amx_bf16"},
    Instructions.AVX512_BF16: _BF16,
    Instructions.AVX512: _AVX512,
    Instructions.AVX_VNNI: _AVX2 | {"avx_vnni"},
    Instructions.AVX2: _AVX2,
    Instructions.NEON_I8MM: _DOTPROD | {"i8mm"},
    Instructions.NEON_DOTPROD: _DOTPROD,
}

_TITLES = {
    Instructions.AMX: "AMX",
    Instructions.AVX512_BF16: "AVX-512 VNNI and BF16",
    Instructions.AVX512: "AVX-512 VNNI",
    Instructions.AVX_VNNI: "AVX-VNNI",
    Instructions.AVX2: "AVX2",
    Instructions.NEON_I8MM: "NEON I8MM",
    Instructions.NEON_DOTPROD: "NEON dot products",
}

_ARM = (Instructions.NEON_I8MM, Instructions.NEON_DOTPROD)
ARCHITECTURES = {
    "x86_64": tuple(each for each in Instructions if each not in _ARM),
    "aarch64": _ARM,
}


@dataclass(frozen=True)
class WantedKernels:
    """Which kernels to compute with, and the folder in which those are built that are not there.

    Without `instructions` and `attention`, the best that this CPU has are taken: the fastest
    instruction set, and the best form of attention that is as exact as bfloat16.
    """

    folder: Path
    instructions: Instructions | None = None
    attention: Attention | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        instructions, attention = settings.instructions, settings.attention
        return cls(
            settings.kernels_dir,
            instructions and Instructions(instructions),
            attention and Attention(attention),
        )

    @classmethod
    def of_arguments(cls, folder: str, instructions: str, attention: str) -> Self:
        """The reverse of as_arguments()."""
        return cls(
            Path(folder),
            Instructions(instructions) if instructions else None,
            Attention(attention) if attention else None,
        )

    def as_arguments(self) -> tuple[str, str, str]:
        """For the command line of a child process."""
        return str(self.folder), self.instructions or "", self.attention or ""


def available(flags: frozenset[str]) -> list[Instructions]:
    """The instruction sets of a CPU with these flags, the fastest first."""
    return [instructions for instructions in Instructions if flags >= instructions.flags]


def paths(flags: frozenset[str]) -> list[tuple[Instructions, Attention]]:
    """Each of a CPU's instruction sets with each form of attention that it has."""
    return [
        (instructions, attention)
        for instructions in available(flags)
        for attention in Attention
        if instructions.has(attention)
    ]


def lacking(flags: frozenset[str], wanted: Instructions | None = None) -> str:
    """What a CPU lacks that has not the wanted ones, or none of them, in words."""
    least = Instructions.NEON_DOTPROD if "asimd" in flags else Instructions.AVX2
    return f"this CPU has no {(wanted or least).in_words}"


def candidates(wanted: WantedKernels, flags: frozenset[str]) -> list[Instructions]:
    """Those of them that are wanted, the fastest first: all, or the one that is named."""
    return [each for each in available(flags) if wanted.instructions in (None, each)]
