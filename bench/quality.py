"""Measures the quality of faster ways to compute a clip, on the demo model.

    python -m bench quality
    python -m bench.quality --steps 24 fp32 fp32+fast
    python -m bench.quality --shapes 300 --paths

Every variant renders the same prompts (held-out shapes and drawn scenes) with the same seeds. Its
frames are compared with those of the exact variant, and scored by what they show, as in
demo_model/evaluate.py. A line on stderr reports each clip, and each shape that is recognised
differently than in the exact clip.

With --paths the variants are int8 on each instruction set of this CPU, with each form of attention:
int8@avx512-int16, for example.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Self, get_args

import numpy as np

from bench import KERNELS_DIR
from bench.certificate.likeness import Frames, psnr
from demo_model.evaluate import (
    MODEL_DIR,
    SHAPE_FACTORS,
    is_shown,
    read_shape,
    scene_prompts,
    score_shapes,
    shape_prompts,
)
from demo_model.scenes import Array, Scene
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.messages import Generate
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.machine.host import cpu_flags, usable_cores
from hunyuan_runner.machine.instructions import (
    Attention,
    Instructions,
    WantedKernels,
    paths,
)
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.schedule import StepCache

SHAPES = 100  # so that each counts for one percent of the scores
STEPS = 12
MAX_PSNR = 99.0  # dB, for identical frames
MODEL = MODELS["demo"]


@dataclass(frozen=True)
class Variant:
    """A way of computing a clip: PRECISION, with +STEP_CACHE and with @INSTRUCTIONS-ATTENTION."""

    precision: Precision
    step_cache: StepCache = "off"
    path: tuple[Instructions, Attention] | None = None  # by default the one that a runner takes

    @classmethod
    def parse(cls, name: str) -> Self:
        """Raises ValueError if there is no such variant."""
        name, _, path = name.partition("@")
        precision, _, step_cache = name.partition("+")
        (known,) = [mode for mode in get_args(StepCache) if mode == (step_cache or "off")]
        instructions, _, attention = path.rpartition("-")
        return cls(
            Precision(precision),
            known,
            (Instructions(instructions), Attention(attention)) if path else None,
        )

    def __str__(self) -> str:
        step_cache = f"+{self.step_cache}" if self.step_cache != "off" else ""
        path = f"@{'-'.join(self.path)}" if self.path else ""
        return f"{self.precision}{step_cache}{path}"


EXACT = Variant(Precision.FP32)
VARIANTS = (
    EXACT,
    Variant(Precision.FP32, "balanced"),
    Variant(Precision.FP32, "fast"),
    Variant(Precision.BF16),
    Variant(Precision.INT8),
    Variant(Precision.INT8, "balanced"),
)


@dataclass(frozen=True)
class Prompt:
    """A prompt, its seed, and what its clip should show."""

    text: str
    scene: Scene
    seed: int

    def params(self, step_cache: StepCache, num_inference_steps: int) -> GenerationParams:
        """The params of the clip, at the demo model's default size."""
        request = GenerationRequest(
            prompt=self.text,
            seed=self.seed,
            num_inference_steps=num_inference_steps,
            step_cache=step_cache,
        )
        return request.resolve(MODEL.id, MODEL.presets)


def prompts(shapes: int) -> list[Prompt]:
    """The prompts and seeds of demo_model/evaluate.py: held-out shapes, then scenes."""
    return [
        Prompt(text, scene, seed)
        for pairs in (shape_prompts(shapes, seed=0), scene_prompts())
        for seed, (text, scene) in enumerate(pairs)
    ]


def render(variant: Variant, asked: Sequence[Prompt], steps: int) -> list[Frames]:
    """The clips of a variant, in the order of the prompts."""
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "prompts"
        kernels = WantedKernels(KERNELS_DIR, *(variant.path or ()))
        components = Components(MODEL_DIR, variant.precision, usable_cores(), kernels)
        pipeline = VideoPipeline(components, kept)
        for number, prompt in enumerate(asked, 1):
            start = time.monotonic()
            params = prompt.params(variant.step_cache, steps)
            file = Path(folder) / "frames.npy"
            request = Generate(number, params, MODEL_DIR, variant.precision, None, None, 0, file)
            pipeline.generate(request, lambda event: None)
            clips.append(np.load(file))
            seconds = time.monotonic() - start
            print(f"{variant}: {number}/{len(asked)}, {seconds:.1f} s", file=sys.stderr, flush=True)
    return clips


def unit(clip: Frames) -> Array:
    """The clip in 0..1, as demo_model/evaluate.py expects it."""
    return np.divide(clip, 255, dtype=np.float32)


def row(
    variant: Variant,
    asked: Sequence[Prompt],
    clips: Sequence[Frames],
    exact: Sequence[Frames],
    steps: int,
) -> str:
    """A row of the table."""
    computed = len(asked[0].params(variant.step_cache, steps).computed_steps)
    ratios = [min(psnr(*pair), MAX_PSNR) for pair in zip(clips, exact, strict=True)]
    seen = [(clip, prompt.scene) for clip, prompt in zip(clips, asked, strict=True)]
    shapes = score_shapes((unit(clip), scene) for clip, scene in seen if scene.kind == "shape")
    scenes = fmean(is_shown(unit(clip), scene) for clip, scene in seen if scene.kind != "shape")
    scores = [*(shapes[factor] for factor in SHAPE_FACTORS), scenes]
    otherwise = read_otherwise(asked, clips, exact)
    for line in otherwise:
        print(f"{variant}: {line}", file=sys.stderr)
    compared = [f"{fmean(ratios):.1f}", f"{min(ratios):.1f}", str(len(otherwise))]
    cells = [
        f"`{variant}`",
        str(computed),
        *(compared if variant != EXACT else [""] * len(compared)),
        *(f"{score:.0%}" for score in scores),
    ]
    return table_row(cells)


def read_otherwise(
    asked: Sequence[Prompt], clips: Sequence[Frames], exact: Sequence[Frames]
) -> list[str]:
    """One line for each shape that is recognised differently than in the exact clip."""
    lines = []
    for prompt, clip, other in zip(asked, clips, exact, strict=True):
        if prompt.scene.kind != "shape":
            continue
        seen, before = read_shape(unit(clip)), read_shape(unit(other))
        changed = [
            f"{getattr(before, factor)} became {getattr(seen, factor)}"
            for factor in SHAPE_FACTORS
            if getattr(seen, factor) != getattr(before, factor)
        ]
        if changed:
            lines.append(f"{prompt.text!r}, seed {prompt.seed}: {', '.join(changed)}")
    return lines


def table_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


HEADINGS = (
    "variant",
    "steps computed",
    "PSNR, mean (dB)",
    "least",
    "differing shapes",
    *SHAPE_FACTORS,
    "scenes",
)

TEMPLATE = """\
## Quality

`{command}`: {shapes} held-out shapes and {scenes} drawn scenes of the demo model,
192x128, 33 frames, {steps} steps, the same seeds for each variant. The table shows how close the
frames are to those of `{exact}`, how many shapes are recognised differently, and which share of the
clips shows what the prompt asks for.

{table}
"""


def measure(variants: Sequence[Variant], steps: int, shapes: int, command: str) -> str:
    """The table of these variants; the exact one is always rendered, to compare with."""
    asked = prompts(shapes)
    exact = render(EXACT, asked, steps)
    rows = [table_row(HEADINGS), table_row("---" for _ in HEADINGS)]
    for variant in dict.fromkeys((EXACT, *variants)):
        clips = exact if variant == EXACT else render(variant, asked, steps)
        rows.append(row(variant, asked, clips, exact, steps))
        print(rows[-1], file=sys.stderr, flush=True)
    return TEMPLATE.format(
        command=command,
        shapes=shapes,
        scenes=len(asked) - shapes,
        steps=steps,
        exact=EXACT,
        table="\n".join(rows),
    )


def run() -> str:
    return measure(VARIANTS, STEPS, SHAPES, "python -m bench quality")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the quality of faster variants.")
    parser.add_argument("variants", nargs="*", type=Variant.parse, default=VARIANTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--shapes", type=int, default=SHAPES, help="held-out prompts of shapes")
    parser.add_argument("--paths", action="store_true", help="int8, each way this CPU computes it")
    options = parser.parse_args()
    if options.paths:
        options.variants = [Variant(Precision.INT8, path=path) for path in paths(cpu_flags())]
    command = " ".join(["python -m bench.quality", *sys.argv[1:]])
    print(measure(options.variants, options.steps, options.shapes, command))


if __name__ == "__main__":
    main()
