"""Writes the certificate: a page in Markdown, its pictures, and the raw figures."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.certificate.likeness import (
    CONFIDENCE,
    ENOUGH_PROMPTS,
    FEWEST_PROMPTS,
    MEASURES,
    RESAMPLES,
    Frames,
    Likeness,
    Mean,
)
from bench.certificate.tiers import Chosen, Plan
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.params import GenerationParams

PAGE, FIGURES = "certificate.md", "certificate.json"
UNITS = {"psnr": "dB PSNR", "ssim": "SSIM", "flip": "FLIP", "flicker": "flicker"}
DIGITS = {"psnr": 1, "ssim": 4, "flip": 3, "flicker": 2}
SHEET_FRAMES = 5  # of each clip
SHEET_WIDTH = 300  # pixels of a frame at most
LEAST_WIDTH = 800  # of the sheet, so that prompts can be read
TEXT_SIZE, TEXT_MARGIN = 13, 4
GREY = "#555"

TEMPLATE = """\
# Quality certificate of `{model}`

{title}

{verdict}

Each line compares clips of the same prompts and seeds with those of the reference, **{reference}**
with every step computed{why}. {prompts} of {width}x{height}, {num_frames} frames, {steps} steps.
Means, and in parentheses {confidence} % intervals{interval_note}.

{table}

- **PSNR** compares pixels: the same frames have infinite dB. It says how near a clip is to the
  reference, not how good it looks: a step cache may draw another cloud that is as good a cloud.
- **SSIM** compares structures, 1 is the same. **FLIP** is the difference that a viewer sees who
  flips between the two, 0 is none. **Flicker** is the difference between the changes from frame to
  frame, in levels of 255.
- The last line is for comparison: what the MP4 of the reference, as the service writes it, loses
  against its frames. A tier that is nearer than that changes less than the file format does.
{left_out}
{sheets}
## How it was made

    {command}

{made}. Resampled {resamples:,} times over the prompts, the same ones for each tier.
[{figures}]({figures}) has the figures of each clip.

{listed}
"""


@dataclass(frozen=True)
class Measured:
    """A tier with its clips' likenesses to the reference, in the order of the prompts."""

    name: str
    title: str
    likenesses: Sequence[Likeness]

    @property
    def means(self) -> dict[str, Mean]:
        return {
            measure: Mean.of([getattr(each, measure) for each in self.likenesses])
            for measure in MEASURES
        }

    @property
    def by_psnr(self) -> list[int]:
        """The numbers of the prompts, the one that is least like the reference first."""
        return sorted(range(len(self.likenesses)), key=lambda i: self.likenesses[i].psnr)


def write_page(
    folder: Path,
    plan: Plan,
    clips: Sequence[GenerationParams],
    measured: Sequence[Measured],
    mp4: Measured,
    made: Sequence[Mapping[str, Any]],
    command: str,
) -> None:
    """Write the page and the figures. The pictures named after the tiers are there already."""
    clip = clips[0]
    page = TEMPLATE.format(
        model=clip.model,
        title=MODELS[clip.model].title,
        verdict="\n".join(f"- {_verdict(tier, clips)}" for tier in measured),
        reference=plan.reference,
        why=f" ({plan.why})" if plan.why else "",
        prompts=f"{len(clips)} prompt{'s' if len(clips) > 1 else ''}",
        width=clip.width,
        height=clip.height,
        num_frames=clip.num_frames,
        steps=clip.num_inference_steps,
        confidence=CONFIDENCE,
        interval_note=_interval_note(len(clips)),
        table=_table([*measured, mp4], plan, clip),
        left_out=_left_out(plan.left_out),
        sheets="\n".join(_sheet_section(tier) for tier in measured),
        command=command,
        made="; ".join(dict.fromkeys(map(_made, made))),
        resamples=RESAMPLES,
        figures=FIGURES,
        listed="\n".join(f"- seed {each.seed}: {each.prompt}" for each in clips),
    )
    (folder / PAGE).write_text(page)
    figures = {
        "model": clip.model,
        "reference": {"precision": plan.reference, "why": plan.why},
        "clip": clip.model_dump(exclude={"prompt", "seed"}),
        "clips": [{"prompt": each.prompt, "seed": each.seed} for each in clips],
        "tiers": {tier.name: _figures(tier) for tier in [*measured, mp4]},
        "left_out": dict(plan.left_out),
        "made": [dict(each) for each in made],
        "command": command,
    }
    (folder / FIGURES).write_text(json.dumps(figures, indent=2) + "\n")


def contact_sheet(
    reference: Sequence[Frames],
    faster: Sequence[Frames],
    labels: Sequence[str],
    names: tuple[str, str],
) -> Image.Image:
    """For each clip its label, and frames of the reference above the same frames of the tier."""
    strips = []
    for exact, other, label in zip(reference, faster, labels, strict=True):
        strips += [_text(label, "black"), _text(names[0], GREY), _frames(exact)]
        strips += [_text(names[1], GREY), _frames(other)]
    width = max(LEAST_WIDTH, *(_frames(clip).width for clip in reference))
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _frames(clip: Frames) -> Image.Image:
    """Some frames of a clip, from left to right."""
    shown = np.linspace(0, len(clip) - 1, SHEET_FRAMES).round().astype(int)
    strip = Image.fromarray(np.concatenate([clip[i] for i in shown], axis=1))
    most = SHEET_WIDTH * SHEET_FRAMES
    strip.thumbnail((most, strip.height), Image.Resampling.LANCZOS)
    return strip


def _text(text: str, colour: str) -> Image.Image:
    font = ImageFont.load_default(TEXT_SIZE)
    strip = Image.new("RGB", (SHEET_WIDTH * SHEET_FRAMES, TEXT_SIZE + 2 * TEXT_MARGIN), "white")
    ImageDraw.Draw(strip).text((TEXT_MARGIN, TEXT_MARGIN), text, fill=colour, font=font)
    return strip


def sheet_file(name: str) -> str:
    return f"{name}.webp"


def _verdict(tier: Measured, clips: Sequence[GenerationParams]) -> str:
    means = tier.means
    if means["psnr"].mean is None:
        return f"**{tier.title}**: every clip is the reference's, bit for bit."
    shown = ", ".join(f"{_shown(mean, name)} {UNITS[name]}" for name, mean in means.items())
    worst = tier.by_psnr[0]
    least = f"{tier.likenesses[worst].psnr:.1f} dB"
    return f"**{tier.title}**: {shown}. Least like it: {least}, “{clips[worst].prompt}”."


def _shown(mean: Mean, measure: str) -> str:
    """As in 41.2 (39.8 to 42.5)"""
    digits = DIGITS[measure]
    if mean.mean is None:
        return "∞"
    shown = f"{mean.mean:.{digits}f}"
    if mean.interval is not None:
        low, high = mean.interval
        shown += f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{shown}, {mean.identical} identical" if mean.identical else shown


def _table(tiers: Sequence[Measured], plan: Plan, clip: GenerationParams) -> str:
    steps = {chosen.tier.name: _computed(chosen, clip) for chosen in plan.tiers}
    head = ["tier", "steps computed", "PSNR, dB", "least", "SSIM", "FLIP", "flicker"]
    lines = [head, ["---"] * len(head)]
    for tier in tiers:
        psnr, *others = (_shown(mean, name) for name, mean in tier.means.items())
        least = tier.likenesses[tier.by_psnr[0]].psnr
        worst = f"{least:.1f}" if math.isfinite(least) else "∞"
        lines.append([tier.title, steps.get(tier.name, ""), psnr, worst, *others])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _computed(chosen: Chosen, clip: GenerationParams) -> str:
    faster = clip.model_copy(update=dict(chosen.tier.changes))
    return f"{len(faster.computed_steps)} of {clip.num_inference_steps}"


def _interval_note(prompts: int) -> str:
    if prompts < FEWEST_PROMPTS:
        return f": none for fewer than {FEWEST_PROMPTS} prompts; take {ENOUGH_PROMPTS} or more"
    if prompts < ENOUGH_PROMPTS:
        return f", which are too narrow for {prompts} prompts; take {ENOUGH_PROMPTS} or more"
    return ""


def _left_out(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    lines = "\n".join(f"- `{name}`: {reason}" for name, reason in left_out.items())
    return f"\nLeft out:\n\n{lines}\n"


def _sheet_section(tier: Measured) -> str:
    return (
        f"## {tier.title}\n\nThe reference above {tier.title}: the prompt whose clip is least like "
        f"it, and the median one.\n\n"
        f"![Frames of the reference above those of {tier.title}]({sheet_file(tier.name)})\n"
    )


def _made(made: Mapping[str, Any]) -> str:
    return f"{made['date']}, {made['cpu']}, {made['threads']} threads"


def _figures(tier: Measured) -> dict[str, Any]:
    """Without infinity, which JSON does not have: null stands for it."""
    return {
        "title": tier.title,
        "means": {name: asdict(mean) for name, mean in tier.means.items()},
        "clips": [
            {name: value if math.isfinite(value) else None for name, value in asdict(each).items()}
            for each in tier.likenesses
        ],
    }


def command_line(arguments: Sequence[str]) -> str:
    return shlex.join(["python", "-m", "bench.certificate", *arguments])
