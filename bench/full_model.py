"""Renders clips with models of the real ones' full size, in int8, with weights that nobody trained.

    python -m bench.full_model FOLDER --models hunyuanvideo15-4step fasthunyuan

Time and memory are those of the real models; the picture is noise. The packages are made in FOLDER
and take 3 GB of disk each. On a CPU without AMX a step of the default clip takes many minutes. So a
part can be computed and the rest reckoned from it, which the table then says:

    --steps 1       one step of each clip instead of all of its preset
    --share 0.1     a tenth of the blocks, all of one size; times grow with their number
    --decode none   no decoding; the VAE's takes as long as some steps, the fast one's seconds

For example, `--steps 1 --share 0.1 --decode none` takes some minutes on two cores with AVX2.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from bench.full_size import Layers, layers_of, make
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.engine.checkpoint import Checkpoint, Conditioning, fingerprint
from hunyuan_runner.engine.implementation import NEGATIVE
from hunyuan_runner.engine.messages import Event, Preview, StageStarted, StepFinished
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.families.hunyuan15 import HUNYUAN15
from hunyuan_runner.machine.host import cpu_name, usable_cores
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, GenerationRequest, Stage
from hunyuan_runner.quoting.memory import peak_bytes
from hunyuan_runner.settings import Settings
from hunyuan_runner.studio.wording import duration
from tests import double_taehv

PROMPT_TOKENS = 40
COMPARED_CORES = 8
RESET_PEAK = "5"  # for /proc/PID/clear_refs; see proc(5)
FAST_DECODER_KINDS = {"hunyuan": (16, 1), "hunyuan15": (32, 2)}  # latent channels, patch size

TEMPLATE = """\
## At full size

`{command}`:
{width}x{height}, {num_frames} frames, random weights in int8, {threads} threads of {cpu}, in the
engine's process.

{table}
{notes}"""


@dataclass(frozen=True)
class Result:
    """Seconds and bytes of one model, for all of its blocks."""

    model: str
    num_inference_steps: int
    computed_blocks: int
    blocks: int
    load_s: float  # of the blocks that were computed
    step_s: float
    measured_step_s: float  # with the computed blocks only
    decode_s: float | None
    peak_bytes: int
    mapped_bytes: int  # of it files, which the system drops where memory is short
    quoted_bytes: int

    @property
    def clip_s(self) -> float:
        return self.num_inference_steps * self.step_s + (self.decode_s or 0.0)


class Enough(Exception):
    """What was asked for is computed."""


class Watch:
    """Notes when what happens in a render, and the memory of its process."""

    def __init__(self, engine: EngineProcess, decode: bool) -> None:
        self.times: list[tuple[str, float]] = []
        self.loading_bytes = 0  # the peak until everything is loaded
        self.peak_bytes = 0  # and from then on
        self.mapped_bytes = 0
        self._engine = engine
        self._decode = decode

    def __call__(self, event: Event) -> None:
        """Raises Enough where the decoding begins that was not asked for."""
        match event:
            case StageStarted(stage):
                self.note(stage)
                if stage is Stage.DENOISING:
                    self.loading_bytes = self.peak_bytes
                    self.peak_bytes = 0
                    Path(f"/proc/{self._engine.pid}/clear_refs").write_text(RESET_PEAK)
                if stage is Stage.DECODING and not self._decode:
                    raise Enough
            case StepFinished(step):
                self.note(f"step {step}")
            case Preview():
                self.note("preview")

    def note(self, what: str) -> None:
        self.times.append((what, time.perf_counter()))
        memory = _memory(self._engine)
        self.peak_bytes = max(self.peak_bytes, memory["VmHWM"])
        self.mapped_bytes = memory["RssFile"]

    def seconds(self, what: str) -> float:
        """From what happened before until then."""
        (place,) = [place for place, (name, _) in enumerate(self.times) if name == what]
        return self.times[place][1] - self.times[place - 1][1]


def measure(model: Model, options: argparse.Namespace, settings: Settings) -> Result:
    layers = layers_of(model)
    computed = layers.part(options.share)
    folder = settings.models_dir / model.id
    _make_unless_made(model, folder, computed)
    _have_fast_decoder(model, settings.models_dir, wanted=options.decode == "fast")
    clip = _clip(model, options)
    steps = min(options.steps or clip.num_inference_steps, clip.num_inference_steps)
    engine = EngineProcess(settings, settings.scratch_dir)
    watch = Watch(engine, decode=options.decode != "none")
    try:
        checkpoint = _checkpoint(clip, model, folder)
        draft_after = steps if steps < clip.num_inference_steps else None
        finished = engine.generate(clip, checkpoint, watch, lambda: None, draft_after)
        watch.note("ended")
        assert finished.precision == Precision.INT8
        finished.frames.unlink()
    except Enough:
        pass
    finally:
        engine.close()
    step_s = watch.seconds(f"step {steps}")
    at = dict(watch.times)
    absent_bytes = _block_bytes(model, layers) - _block_bytes(model, computed)
    return Result(
        model=model.id,
        num_inference_steps=clip.num_inference_steps,
        computed_blocks=computed.count,
        blocks=layers.count,
        load_s=at[Stage.DENOISING] - at[Stage.LOADING],
        measured_step_s=step_s,
        step_s=step_s * layers.count / computed.count,
        decode_s=at["ended"] - at[Stage.DECODING] if "ended" in at else None,
        peak_bytes=max(watch.loading_bytes, watch.peak_bytes + round(absent_bytes)),
        mapped_bytes=watch.mapped_bytes,
        quoted_bytes=peak_bytes(clip, model, Precision.INT8),
    )


def _make_unless_made(model: Model, folder: Path, layers: Layers) -> None:
    note = folder / "layers.json"  # written last
    if not note.exists() or json.loads(note.read_text()) != asdict(layers):
        make(model, folder, layers)
        note.write_text(json.dumps(asdict(layers)))


def _have_fast_decoder(model: Model, models_dir: Path, wanted: bool) -> None:
    """With random weights, in a file like the real one. A draft would be of the fast decoder
    wherever there is one, so it is deleted if it is not wanted."""
    assert model.fast_decoder is not None
    path = model.fast_decoder.file_in(models_dir)
    path.unlink(missing_ok=True)
    if wanted:
        path.parent.mkdir(exist_ok=True)
        double_taehv.save_decoder(path, *FAST_DECODER_KINDS[model.family.id])


def _block_bytes(model: Model, layers: Layers) -> float:
    """What so many blocks take in int8."""
    architecture = replace(
        model.architecture, double_blocks=layers.double, single_blocks=layers.single
    )
    return architecture.block_parameters


def _clip(model: Model, options: argparse.Namespace) -> GenerationParams:
    """With the guidance and the number of steps of the model's preset."""
    request = GenerationRequest(
        prompt="random weights",
        width=options.width,
        height=options.height,
        num_frames=options.num_frames,
        step_cache="off",
        decoder="fast" if options.decode == "fast" else "full",
        seed=1,
    )
    return request.resolve(model.id, model.presets)


def _checkpoint(clip: GenerationParams, model: Model, folder: Path) -> bytes:
    """A checkpoint before the first step, with random prompt embeddings."""
    torch.manual_seed(1)
    conditioning: Conditioning
    if model.family is HUNYUAN15:
        conditioning = {
            "prompt_embeds": torch.randn(1, PROMPT_TOKENS, 3584),
            "prompt_embeds_mask": torch.ones(1, PROMPT_TOKENS),
            "prompt_embeds_2": torch.zeros(1, 0, 1472),
            "prompt_embeds_mask_2": torch.ones(1, 0),
        }
        if model.family.negative_prompt(clip) is not None:
            conditioning |= {f"{NEGATIVE}{name}": part for name, part in conditioning.items()}
    else:
        conditioning = {
            "prompt_embeds": torch.randn(1, PROMPT_TOKENS, 4096),
            "pooled_prompt_embeds": torch.randn(1, 768),
            "prompt_attention_mask": torch.ones(1, PROMPT_TOKENS),
        }
    channels, _ = FAST_DECODER_KINDS[model.family.id]
    latents = torch.randn(1, channels, *model.family.latent_shape(clip))
    return Checkpoint(0, latents, conditioning).to_bytes(clip, fingerprint(folder))


def _memory(engine: EngineProcess) -> dict[str, int]:
    """Bytes by their names in /proc."""
    lines = Path(f"/proc/{engine.pid}/status").read_text().splitlines()
    sizes = (line.removesuffix(" kB").split(":") for line in lines if line.endswith(" kB"))
    return {name: int(kilobytes) * 1024 for name, kilobytes in sizes}


def describe(results: Sequence[Result], options: argparse.Namespace, command: str) -> str:
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("steps of a clip", lambda result: str(result.num_inference_steps)),
        ("blocks computed", lambda result: f"{result.computed_blocks} of {result.blocks}"),
        ("loading what was computed", lambda result: f"{result.load_s:.0f} s"),
        ("one step, as measured", lambda result: f"{result.measured_step_s:.0f} s"),
        ("one step of all blocks", lambda result: f"{result.step_s:.0f} s"),
        (
            f"decoding ({options.decode})",
            lambda result: "" if result.decode_s is None else f"{result.decode_s:.0f} s",
        ),
        ("the whole clip", lambda result: f"{duration(result.clip_s)} ({result.clip_s:.0f} s)"),
        ("peak memory of all blocks", lambda result: f"{result.peak_bytes / 1e9:.1f} GB"),
        ("of which mapped files", lambda result: f"{result.mapped_bytes / 1e9:.1f} GB"),
        ("quoted, if memory is short", lambda result: f"{result.quoted_bytes / 1e9:.1f} GB"),
    ]
    lines = [["", *(f"`{result.model}`" for result in results)]]
    lines.append(["---"] * len(lines[0]))
    lines += [[name, *map(shown, results)] for name, shown in rows]
    return TEMPLATE.format(
        command=command,
        width=options.width,
        height=options.height,
        num_frames=options.num_frames,
        threads=options.threads,
        cpu=cpu_name(),
        table="\n".join(f"| {' | '.join(line)} |" for line in lines),
        notes="\n".join(_notes(results, options)),
    )


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f} s"


def _notes(results: Sequence[Result], options: argparse.Namespace) -> Iterator[str]:
    if options.share < 1:
        yield (
            "Not all blocks were computed: the time of a step is multiplied by their number, and "
            "the weights of the others are added to the peak."
        )
    if options.steps == 1:
        yield "The first step includes the modulation of all steps."
    if options.decode == "none":
        yield "Nothing was decoded, and neither its time nor its memory is included."
    if len(results) > 1:
        first, *others = results
        for other in others:
            ratio = other.clip_s / first.clip_s
            yield f"`{other.model}` takes {ratio:.2f} times as long as `{first.model}`."
    if options.threads != COMPARED_CORES:
        scaled = (
            f"{duration(result.clip_s * options.threads / COMPARED_CORES)} for `{result.model}`"
            for result in results
        )
        takes = ", ".join(scaled)
        yield f"If times fall with the number of cores, {COMPARED_CORES} cores take {takes}."


def share(text: str) -> float:
    """Raises argparse.ArgumentTypeError unless it is above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m bench.full_model",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    large = [model.id for model in MODELS.values() if model.repo is not None]
    add("folder", type=Path, help="where the packages are made, and found by the next run")
    add("--models", nargs="+", choices=large, default=["hunyuanvideo15-4step", "fasthunyuan"])
    add("--width", type=int, default=640)
    add("--height", type=int, default=480)
    add("--num-frames", type=int, default=61)
    add("--steps", type=int, help="how many to compute; default: all of the model's preset")
    add("--share", type=share, default=1.0, help="of the blocks, above 0 to 1; default: 1")
    add("--decode", choices=["full", "fast", "none"], default="fast")
    add("--threads", type=int, default=usable_cores())
    add("--json", action="store_true", help="print one JSON object for each model")
    options = parser.parse_args()
    folder = options.folder.absolute()
    settings = Settings(
        models_dir=folder,
        data_dir=folder / "data",
        threads=options.threads,
        precision="int8",
        log_level="WARNING",
    )
    results = [measure(MODELS[name], options, settings) for name in options.models]
    if options.json:
        for result in results:
            print(json.dumps(asdict(result)))
    else:
        command = shlex.join(["python", "-m", "bench.full_model", "FOLDER", *sys.argv[2:]])
        print(describe(results, options, command))


if __name__ == "__main__":
    main()
