"""Quantises, loads and runs a model of the 13B model's full size with random weights.

    python -m bench.full_model FOLDER

makes the model in FOLDER if it is not there (25 GB, and 17 GB more in int8), then renders two steps
of a clip with the engine. Weights and prompt embeddings are random, so the picture is noise, but
time and memory are those of the real model.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoTransformer3DModel,
)
from safetensors.torch import save_file

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.checkpoint import Checkpoint, fingerprint
from hunyuan_runner.engine.measure import measure as measure_rates
from hunyuan_runner.engine.messages import Event, Preview, StageStarted, StepFinished
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.families.configuration import QUANTIZED_TRANSFORMER, TRANSFORMER
from hunyuan_runner.machine.host import usable_cores
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.quoting.estimate import MEASURED_SPREAD, Rates, Work
from hunyuan_runner.settings import BUNDLED_MODELS, Settings

MODEL = "hunyuanvideo"
DEMO = BUNDLED_MODELS / "demo"
STEPS = 2  # the first one also computes the modulation of all steps, and a preview follows it
PROMPT_TOKENS = 40
WEIGHT_DEVIATION = 0.02

TEMPLATE = """\
## The 13B model

`python -m bench.full_model FOLDER --width {width} --height {height} --num-frames {num_frames}`:
random weights at full size in int8, {threads} threads, in the engine's process.

| | |
|---|---|
| quantised and saved in | {quantise_s} |
| memory for that, at most | {quantise_peak_gb} |
| loaded from the saved form in | {load_s:.0f} s |
| one denoising step | {step_s:.0f} s; quoted {quoted_step_s:.0f} s |
| a preview | {preview_s:.0f} s |
| decoded in | {decode_s:.0f} s; quoted {quoted_decode_s:.0f} s |
| resident memory, at most | {peak_rss_gb:.1f} GB |
"""


@dataclass(frozen=True)
class Result:
    """Seconds and gigabytes; `quantise_*` are None if the int8 weights were there already."""

    width: int
    height: int
    num_frames: int
    threads: int
    quantise_s: float | None
    quantise_peak_gb: float | None
    load_s: float
    step_s: float
    quoted_step_s: float
    preview_s: float
    decode_s: float
    quoted_decode_s: float
    peak_rss_gb: float


def make(folder: Path) -> None:
    """Write a diffusers folder with the real dimensions.

    The text encoders are the demo model's, because they are not used.
    """
    torch.manual_seed(0)
    vae = AutoencoderKLHunyuanVideo().to(torch.bfloat16)
    vae.save_pretrained(folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=7.0).save_pretrained(folder / "scheduler")
    _make_transformer(folder / TRANSFORMER)
    for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        shutil.copytree(DEMO / part, folder / part)
    shutil.copy(DEMO / "model_index.json", folder)


def _make_transformer(folder: Path) -> None:
    with torch.device("meta"):
        transformer = HunyuanVideoTransformer3DModel()
    shards: dict[str, dict[str, torch.Size]] = defaultdict(dict)
    for name, tensor in transformer.state_dict().items():
        shards["-".join(name.split(".")[:2]) if "_blocks." in name else "rest"][name] = tensor.shape
    transformer.save_config(folder)
    weight_map: dict[str, str] = {}
    for number, (_, shapes) in enumerate(shards.items()):
        file = f"diffusion_pytorch_model-{number + 1:05}-of-{len(shards):05}.safetensors"
        save_file({name: _random(name, shape) for name, shape in shapes.items()}, folder / file)
        weight_map |= dict.fromkeys(shapes, file)
        print(f"\rmade {number + 1} of {len(shards)} parts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def _random(name: str, shape: torch.Size) -> torch.Tensor:
    weights = torch.empty(shape).normal_(std=WEIGHT_DEVIATION)
    return (1 + weights if ".norm_" in name and len(shape) == 1 else weights).bfloat16()


def quantise(models_dir: Path) -> tuple[float, float]:
    """Seconds and peak gigabytes of `download_models.py --quantise int8`."""
    script = Path(__file__).parent.parent / "download_models.py"
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, script, MODEL, "--quantise", "int8", "--models-dir", models_dir],
        check=True,
        stdout=sys.stderr,
    )
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def measure(models_dir: Path, width: int, height: int, num_frames: int, threads: int) -> Result:
    if not (models_dir / MODEL / "model_index.json").exists():
        make(models_dir / MODEL)
    quantised: tuple[float | None, float | None] = (None, None)
    if not (models_dir / MODEL / QUANTIZED_TRANSFORMER).exists():
        quantised = quantise(models_dir)
    params = GenerationParams(
        prompt="random weights",
        model=MODEL,
        width=width,
        height=height,
        num_frames=num_frames,
        fps=15,
        num_inference_steps=STEPS,
        seed=1,
        guidance_scale=6.0,
        true_cfg_scale=1.0,
        flow_shift=7.0,
    )
    settings = Settings(
        models_dir=models_dir, data_dir=models_dir / "data", threads=threads, precision="int8"
    )
    quoted = _quote(params, settings)
    engine = EngineProcess(settings, models_dir / "data" / "scratch")
    times: list[tuple[str, float]] = []

    def note(event: Event) -> None:
        now = time.perf_counter()
        match event:
            case StageStarted(stage):
                times.append((stage, now))
            case StepFinished(step):
                times.append((f"step {step}", now))
            case Preview():
                times.append(("preview", now))

    try:
        finished = engine.generate(params, _checkpoint(params, models_dir), note, lambda: None)
        assert finished.precision == "int8"
        times.append(("ended", time.perf_counter()))
        peak = _peak_rss_gb(engine)
        finished.frames.unlink()
    finally:
        engine.close()
    at = dict(times)
    return Result(
        width=width,
        height=height,
        num_frames=num_frames,
        threads=threads,
        quantise_s=quantised[0],
        quantise_peak_gb=quantised[1],
        load_s=at[Stage.DENOISING] - at[Stage.LOADING],
        step_s=at["step 2"] - at["preview"],
        quoted_step_s=quoted[Stage.DENOISING] / STEPS,
        preview_s=at["preview"] - at["step 1"],
        decode_s=at["ended"] - at[Stage.DECODING],
        quoted_decode_s=quoted[Stage.DECODING],
        peak_rss_gb=peak,
    )


def describe(result: Result) -> str:
    def shown(value: float | None, unit: str) -> str:
        return "(already done)" if value is None else f"{value:.0f} {unit}"

    return TEMPLATE.format(
        **asdict(result)
        | {
            "quantise_s": shown(result.quantise_s, "s"),
            "quantise_peak_gb": shown(result.quantise_peak_gb, "GB"),
        }
    )


def _quote(params: GenerationParams, settings: Settings) -> Mapping[Stage, float]:
    """Seconds by stage, predicted from the benchmark that a runner makes at its start."""
    assert settings.threads is not None
    parts = measure_rates(
        MODEL,
        Precision.INT8,
        settings.models_dir / MODEL,
        settings.threads,
        WantedKernels(settings.kernels_dir),
    )
    measured = dict(item for part in parts for item in part.items())
    rates = Rates(**measured, spread=MEASURED_SPREAD)
    return rates.predict(Work.of(params, MODELS[MODEL]), MODELS[MODEL])


def _checkpoint(params: GenerationParams, models_dir: Path) -> bytes:
    """A checkpoint before the first step, with random prompt embeddings."""
    torch.manual_seed(1)
    conditioning = {
        "prompt_embeds": torch.randn(1, PROMPT_TOKENS, 4096),
        "pooled_prompt_embeds": torch.randn(1, 768),
        "prompt_attention_mask": torch.ones(1, PROMPT_TOKENS),
    }
    latents = torch.randn(1, 16, *MODELS[params.model].family.latent_shape(params))
    checkpoint = Checkpoint(0, latents, conditioning)
    return checkpoint.to_bytes(params, fingerprint(models_dir / MODEL))


def _peak_rss_gb(engine: EngineProcess) -> float:
    lines = Path(f"/proc/{engine.pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.full_model")
    parser.add_argument("folder", type=Path, help="folder of the model")
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--height", type=int, default=368)
    parser.add_argument("--num-frames", type=int, default=13)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    result = measure(
        arguments.folder.absolute(),
        arguments.width,
        arguments.height,
        arguments.num_frames,
        arguments.threads,
    )
    print(json.dumps(asdict(result)) if arguments.json else describe(result))


if __name__ == "__main__":
    main()
