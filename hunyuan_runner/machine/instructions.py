"""The instruction sets that the kernels are built for, and which of them a CPU has. No torch."""

from __future__ import annotations

from enum import StrEnum

_AVX2 = frozenset({"avx2", "fma"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}) | _AVX2
_BF16 = _AVX512 | {"avx512_bf16"}


class Attention(StrEnum):
    """In which numbers attention is computed. Its sums are exact, or fp32."""

    BF16 = "bf16"  # needs AVX-512 BF16
    INT16 = "int16"
    INT8 = "int8"  # queries and keys stay int16; faster and less exact


class Instructions(StrEnum):
    """An instruction set, the fastest first."""

    AMX = "amx"
    AVX512_BF16 = "avx512-bf16"
    AVX512 = "avx512"
    AVX_VNNI = "avx-vnni"
    AVX2 = "avx2"

    @property
    def flags(self) -> frozenset[str]:
        """What a CPU that has it lists in /proc/cpuinfo."""
        return _FLAGS[self]

    @property
    def in_words(self) -> str:
        return _TITLES[self]

    def attention(self, wanted: Attention | None) -> Attention:
        """The form of attention: the wanted one, or the best if there is no wish or no BF16.

        bf16 is as fast as int16 where vectors multiply both, and several times as fast with AMX.
        """
        multiplies_bf16 = self.flags >= _BF16
        if wanted is None or (wanted is Attention.BF16 and not multiplies_bf16):
            return Attention.BF16 if multiplies_bf16 else Attention.INT16
        return wanted


_FLAGS = {
    Instructions.AMX: _BF16 | {"amx_tile", "amx_int8", "amx_bf16"},
    Instructions.AVX512_BF16: _BF16,
    Instructions.AVX512: _AVX512,
    Instructions.AVX_VNNI: _AVX2 | {"avx_vnni"},
    Instructions.AVX2: _AVX2,
}

_TITLES = {
    Instructions.AMX: "AMX",
    Instructions.AVX512_BF16: "AVX-512 VNNI and BF16",
    Instructions.AVX512: "AVX-512 VNNI",
    Instructions.AVX_VNNI: "AVX-VNNI",
    Instructions.AVX2: "AVX2",
}


def available(flags: frozenset[str]) -> list[Instructions]:
    """The instruction sets of a CPU with these flags, the fastest first."""
    return [instructions for instructions in Instructions if flags >= instructions.flags]
