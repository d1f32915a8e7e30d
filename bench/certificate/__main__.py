"""Compares the faster ways of computing a model's clips with the exact one.

    python -m bench.certificate MODEL

renders the same prompts with the same seeds in the best precision that fits into memory, and then
with each tier: int8, step caches, the fast decoder. It writes a page with the mean PSNR, SSIM, FLIP
and flicker of each tier, their intervals, and pictures. Clips are kept in the folder: a run that
was stopped or killed goes on after its last step if it is started again. docs/certificate.md
explains the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path

from pydantic import ValidationError

from bench.certificate import page
from bench.certificate.clips import Clips, Job, NotComputedSo, render, say
from bench.certificate.likeness import as_mp4, likeness
from bench.certificate.page import Measured, contact_sheet, sheet_file, write_page
from bench.certificate.tiers import (
    EXACT,
    EXACT_PRECISIONS,
    TIERS,
    Impossible,
    Plan,
    make_plan,
)
from demo_model.evaluate import SCENE_PROMPTS, shape_prompts
from hunyuan_runner.catalogue import MODELS, download_command
from hunyuan_runner.engine.process import EngineDied, GenerationFailed
from hunyuan_runner.machine.host import memory_bytes
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.models.folder import NoRoom, is_installed, require_room
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.settings import Settings

PROMPTS = 8
BYTES_PER_PIXEL = 3
INTERRUPTED = 130  # as a shell reports SIGINT


def certify(options: argparse.Namespace, command: str) -> None:
    """Raises Impossible, NoRoom, NotComputedSo, EngineDied or GenerationFailed."""
    settings = Settings(log_level="WARNING")
    model_dir = settings.model_dir(options.model)
    if not is_installed(model_dir):
        raise Impossible(
            f"{options.model} is not in {settings.models_dir}. Set HUNYUAN_MODELS_DIR, or "
            f"download it: {download_command(options.model)}"
        )
    fast_decoder = MODELS[options.model].fast_decoder_in(settings.models_dir)
    clips = _exact_clips(options)
    plan = make_plan(
        clips[0],
        model_dir,
        options.tiers,
        options.reference,
        settings.precision,
        sys.maxsize if options.any_memory else memory_bytes(),
        fast_decoder,
    )
    exact = [Job(clip, plan.reference, plan.reference) for clip in clips]
    faster = [
        [
            Job(clip.model_copy(update=dict(chosen.tier.changes)), chosen.precision, chosen.title)
            for clip in clips
        ]
        for chosen in plan.tiers
    ]
    kept = Clips(options.out / "clips", model_dir, options.model, fast_decoder)
    jobs = [*exact, *chain.from_iterable(faster)]
    require_room(kept.folder, sum(_bytes(job.params) for job in jobs if not kept.has(job)))
    _announce(plan, jobs, options.out)
    # Of two jobs in a row with one precision, the second finds the model loaded.
    render(sorted(jobs, key=lambda job: job.precision != plan.reference), kept, settings)

    measured = []
    for chosen, alike in zip(plan.tiers, faster, strict=True):
        say(f"comparing {chosen.title} with {plan.reference}")
        pairs = zip(alike, exact, strict=True)
        found = [likeness(kept.frames(one), kept.frames(other)) for one, other in pairs]
        tier = Measured(chosen.tier.name, chosen.title, found)
        _draw(tier, exact, alike, kept, options.out)
        measured.append(tier)
    lost = [likeness(as_mp4(kept.frames(job), job.params.fps), kept.frames(job)) for job in exact]
    mp4 = Measured("mp4", f"MP4 of {plan.reference}", lost)
    made = [kept.made(job) for job in jobs]
    write_page(options.out, plan, clips, measured, mp4, made, command)
    print(options.out / page.PAGE)


def _announce(plan: Plan, jobs: Sequence[Job], out: Path) -> None:
    say(f"the reference is {plan.reference}{f': {plan.why}' if plan.why else ''}")
    for name, reason in plan.left_out.items():
        say(f"without {name}: {reason}")
    say(f"{len(jobs)} clips, kept in {out / 'clips'}")


def _draw(
    tier: Measured, exact: Sequence[Job], alike: Sequence[Job], kept: Clips, out: Path
) -> None:
    """The contact sheet of the clip that is least like the reference's, and of the median one."""
    order = tier.by_psnr
    shown = dict.fromkeys([order[0], order[len(order) // 2]])
    labels = [
        f"{exact[i].params.prompt} ({tier.likenesses[i].psnr:.1f} dB, seed {exact[i].params.seed})"
        for i in shown
    ]
    reference = [kept.frames(exact[i]) for i in shown]
    faster = [kept.frames(alike[i]) for i in shown]
    names = exact[0].purpose, tier.title
    contact_sheet(reference, faster, labels, names).save(out / sheet_file(tier.name), quality=90)


def _exact_clips(options: argparse.Namespace) -> list[GenerationParams]:
    """The clips as the reference renders them. Raises Impossible for parameters out of bounds."""
    model = MODELS[options.model]
    sizes = {
        "width": options.width,
        "height": options.height,
        "num_frames": options.num_frames,
        "num_inference_steps": options.steps,
    }
    try:
        return [
            GenerationRequest.model_validate(
                {**sizes, **EXACT, "prompt": prompt, "seed": options.seed + number}
            ).resolve(model.id, model.presets)
            for number, prompt in enumerate(options.prompts(options.model))
        ]
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise Impossible("; ".join(problems)) from None


def _bytes(clip: GenerationParams) -> int:
    return clip.width * clip.height * clip.num_frames * BYTES_PER_PIXEL


class Prompts:
    """What --prompts says: how many of our own, or a file of prompts, one a line."""

    def __init__(self, wanted: str) -> None:
        """Raises argparse.ArgumentTypeError."""
        self._count = int(wanted) if wanted.isdecimal() else None
        if self._count == 0:
            raise argparse.ArgumentTypeError("must be at least 1")
        self._own: list[str] = []
        if self._count is None:
            try:
                self._own = _lines(Path(wanted))
            except (OSError, UnicodeDecodeError) as error:
                message = f"must be a number or a file with one prompt a line: {error}"
                raise argparse.ArgumentTypeError(message) from None
            if not self._own:
                raise argparse.ArgumentTypeError(f"{wanted} has no prompts")

    def __call__(self, model: str) -> list[str]:
        """If there are fewer prompts than wanted, they come again, with other seeds."""
        if self._count is None:
            return self._own
        ours = (
            _demo_prompts() if model == "demo" else _lines(Path(__file__).with_name("prompts.txt"))
        )
        return list(islice(cycle(ours), self._count))


def _demo_prompts() -> list[str]:
    """Drawn scenes of each kind, and held-out shapes, in turns: all that the demo model knows."""
    scenes = [prompt for some in zip_longest(*SCENE_PROMPTS.values()) for prompt in some if prompt]
    shapes = [prompt for prompt, _ in shape_prompts(len(scenes), seed=0)]
    return list(chain.from_iterable(zip(scenes, shapes, strict=True)))


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _names(text: str) -> list[str]:
    known = [tier.name for tier in TIERS]
    names = text.split(",")
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(
            f"no tier {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return names


def _precision(text: str) -> list[Precision]:
    try:
        return [{each.value: each for each in EXACT_PRECISIONS}[text]]
    except KeyError:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(EXACT_PRECISIONS)}") from None


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.certificate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", choices=MODELS, metavar="MODEL", help=f"one of {', '.join(MODELS)}")
    add(
        "--prompts",
        type=Prompts,
        default=Prompts(str(PROMPTS)),
        metavar="N|FILE",
        help=f"how many prompts, or a file with one a line; default: {PROMPTS}",
    )
    add("--seed", type=int, default=0, help="of the first prompt; the next has the next one")
    add(
        "--width",
        type=int,
        help="default: as the preset standard of the model has it, as all below",
    )
    add("--height", type=int)
    add("--num-frames", type=int)
    add("--steps", type=int)
    names = [tier.name for tier in TIERS]
    add("--tiers", type=_names, default=names, help=f"default: {','.join(names)}", metavar="NAME,…")
    add(
        "--reference",
        type=_precision,
        default=list(EXACT_PRECISIONS),
        metavar="PRECISION",
        help="fp32 or bf16; default: the first that fits into memory",
    )
    add("--out", type=Path, help="the folder to write; default: certificate-MODEL")
    add("--any-memory", action="store_true", help="start even if a quote says that memory is short")
    options = parser.parse_args(arguments)
    options.out = (options.out or Path(f"certificate-{options.model}")).absolute()
    return options


def main() -> int:
    options = parsed(sys.argv[1:])
    try:
        certify(options, page.command_line(sys.argv[1:]))
    except KeyboardInterrupt:
        say("Stopped. Run the same command again to go on after the last step.")
        return INTERRUPTED
    except (Impossible, NoRoom, NotComputedSo, GenerationFailed) as error:
        say(f"error: {error}")
        return 1
    except EngineDied as error:
        say(f"error: {error} Run the same command again to go on after the last step.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
