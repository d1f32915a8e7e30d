"""Which kernels a machine computes with, and why. No torch: the runner uses this too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hunyuan_runner.machine.building import can_have
from hunyuan_runner.machine.instructions import (
    Attention,
    Instructions,
    WantedKernels,
    available,
    candidates,
)


@dataclass(frozen=True)
class KernelChoice:
    """An instruction set and a form of attention, and the reason for both in words."""

    instructions: Instructions
    attention: Attention
    reason: str

    @property
    def in_words(self) -> str:
        return f"{self.instructions.in_words}, attention in {self.attention}"

    @property
    def bits(self) -> str:
        """Where this is the same, the kernels compute the same bits, on every CPU."""
        if self.attention is Attention.BF16:  # sums in fp32, in another order for each set
            return f"{self.attention} with {self.instructions.in_words}"
        return self.attention


def choose_kernels(
    wanted: WantedKernels,
    flags: frozenset[str],
    can_have: Callable[[Instructions], bool] = can_have,
) -> KernelChoice | None:
    """The kernels to use on a CPU with these flags: the wanted ones, or the best instead.

    None if there are none for it.
    """
    sets = [each for each in candidates(wanted, flags) if can_have(each)]
    if not sets:
        return None
    attention = sets[0].attention(wanted.attention, flags)
    reasons = (
        f"this CPU has {sets[0].in_words}"
        if wanted.instructions is None
        else "as HUNYUAN_INSTRUCTIONS says",
        "attention as HUNYUAN_ATTENTION says"
        if attention is wanted.attention
        else "attention in the fastest form whose error is at most 1 %",
    )
    return KernelChoice(sets[0], attention, "; ".join(reasons))


def unmet_wish(wanted: WantedKernels, flags: frozenset[str]) -> str | None:
    """Why a CPU with these flags has not what is wanted, and what to do; None if it has."""
    sets = available(flags)
    if (instructions := wanted.instructions) is not None and instructions not in sets:
        has = f"It has {_listed([str(each) for each in sets])}" if sets else "It has none of them"
        return (
            f"HUNYUAN_INSTRUCTIONS is {instructions}, but this CPU has no {instructions.in_words}. "
            f"{has}: choose another, or unset it for the fastest."
        )
    if (attention := wanted.attention) is None:
        return None
    if not sets:
        return (
            f"HUNYUAN_ATTENTION is {attention}, but this CPU has none of the instruction sets that "
            "the kernels need. Unset it."
        )
    instructions = instructions or sets[0]
    if not instructions.has(attention):
        return (
            f"HUNYUAN_ATTENTION is {attention}, which needs AVX-512 BF16, but the kernels use "
            f"{instructions.in_words} here. Choose int16 or int8, or unset it."
        )
    return None


def _listed(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
