"""The faster ways to compute a clip, and which of them this machine and this model have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hunyuan_runner.catalogue import MODELS, Model, download_command
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.machine.host import memory_bytes
from hunyuan_runner.machine.precision import Cpu, Precision, choose
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.quoting.memory import fits, peak_bytes
from hunyuan_runner.settings import WantedPrecision
from hunyuan_runner.studio.wording import gigabytes


@dataclass(frozen=True)
class Tier:
    """A faster way. Without a precision, it is the one that the service chooses on this machine.

    `changes` are the fields of a request in which its clips differ from the exact ones.
    """

    name: str
    precision: Precision | None
    changes: Mapping[str, Any]


TIERS = (
    Tier("bf16", Precision.BF16, {}),
    Tier("int8", Precision.INT8, {}),
    Tier("balanced", None, {"step_cache": "balanced"}),
    Tier("fast", None, {"step_cache": "fast"}),
    Tier("fast-decoder", None, {"decoder": "fast"}),
)
EXACT: Mapping[str, Any] = {
    "step_cache": "off",
    "decoder": "full",
}  # what a request says for the exact clip
EXACT_PRECISIONS = (Precision.FP32, Precision.BF16)  # the better one first


class Impossible(Exception):
    """No certificate can be made here. The message says why, and what to do."""


@dataclass(frozen=True)
class Chosen:
    """A tier that is measured, and how its clips are computed."""

    tier: Tier
    precision: Precision

    @property
    def title(self) -> str:
        """As in: int8, step_cache=fast"""
        changes = (f"{name}={value}" for name, value in self.tier.changes.items())
        return ", ".join([self.precision, *changes])


@dataclass(frozen=True)
class Plan:
    """What is compared with what. `left_out` has the reason for each other tier by its name."""

    reference: Precision
    why: str
    tiers: Sequence[Chosen]
    left_out: Mapping[str, str]


def make_plan(
    clip: GenerationParams,
    model_dir: Path,
    names: Sequence[str],
    exact: Sequence[Precision] = EXACT_PRECISIONS,
    wanted: WantedPrecision = "auto",
    memory: int | None = None,
    fast_decoder: Path | None = None,
) -> Plan:
    """The plan for clips like this exact one. Raises Impossible.

    `names` are those of the wanted tiers, `exact` the precisions that the reference may have,
    `wanted` what HUNYUAN_PRECISION says, `memory` the bytes to reckon with, by default this
    machine's, and `fast_decoder` the weights of the model's, if they are installed.
    """
    memory = memory_bytes() if memory is None else memory
    if not (model_dir / TRANSFORMER).exists():
        raise Impossible(
            f"{model_dir} has its transformer in int8 only, and there is nothing to compare it "
            f"with. Download {clip.model} again."
        )
    needed = {precision: _too_large(clip, precision, memory) for precision in exact}
    reference = next((precision for precision in exact if needed[precision] is None), None)
    if reference is None:
        raise Impossible(
            f"{'; '.join(filter(None, needed.values()))}. Use a machine with more memory, or a "
            "smaller clip, or --any-memory if there is enough swap space."
        )
    why = "; ".join(
        f"{precision} was not possible: {reason}" for precision, reason in needed.items() if reason
    )
    served = choose(wanted, MODELS[clip.model].parameters, Cpu.here()).precision
    tiers, left_out = [], {}
    for tier in (tier for tier in TIERS if tier.name in names):
        chosen = Chosen(tier, tier.precision or served)
        if tier.changes.get("decoder") == "fast" and fast_decoder is None:
            left_out[tier.name] = _no_fast_decoder(MODELS[clip.model])
        elif reason := _obstacle(chosen, clip, reference, memory):
            left_out[tier.name] = reason
        else:
            tiers.append(chosen)
    return Plan(reference, why, tiers, left_out)


def _no_fast_decoder(model: Model) -> str:
    if (decoder := model.fast_decoder) is None:
        return "there is none for this model"
    return f"it is not installed; fetch it with `{download_command(decoder.id)}`"


def _obstacle(
    chosen: Chosen, clip: GenerationParams, reference: Precision, memory: int
) -> str | None:
    """Why there is nothing to measure, or no way to."""
    faster = clip.model_copy(update=dict(chosen.tier.changes))
    cost = {"step_cache"}
    same = clip.model_dump(exclude=cost) == faster.model_dump(exclude=cost)
    if same and clip.computed_steps == faster.computed_steps:
        if chosen.tier.changes:
            steps = clip.num_inference_steps
            return f"of {steps} steps with a flow_shift of {clip.flow_shift:g} it skips none"
        if chosen.precision is reference:
            return "it is the reference"
    if chosen.precision is not reference and (reason := Cpu.here().obstacle(chosen.precision)):
        return reason
    return _too_large(faster, chosen.precision, memory)


def _too_large(clip: GenerationParams, precision: Precision, memory: int) -> str | None:
    """Why the clip does not fit, by the quote that the service gives for it."""
    model = MODELS[clip.model]
    needed = peak_bytes(clip, model, precision)
    if fits(model, needed, memory):
        return None
    return (
        f"a clip of {clip.width}x{clip.height}, {clip.num_frames} frames takes "
        f"{gigabytes(needed)} in {precision}, and this machine has {gigabytes(memory)}"
    )
