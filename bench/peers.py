"""Compares this engine with plain diffusers and with other programs, in turns in one run.

    make bench-peers
    make bench-peers PEERS='--peer "stable-diffusion.cpp=sd-cli -m … -W {width} -H {height} …"'

times blocks of the 13B model, its decoder, and a whole clip of a model with the 13B's width and a
few of its blocks, all with random weights. Everything that is timed has a process of its own. The
results become this CPU's in docs/performance.md; those of other CPUs stay there.

A --peer is another program: a name, and the command that renders a clip. {width}, {height},
{num_frames} and {steps} in it become the clip's. It brings its own model, and is timed as a whole.
bench.peer_model writes one for stable-diffusion.cpp.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)

from bench import DOCUMENT, KERNELS_DIR, blocks, vae
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.checkpoint import Checkpoint, fingerprint
from hunyuan_runner.engine.kernels import load_kernels
from hunyuan_runner.engine.messages import Event, StageStarted
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.machine.host import cpu_flags, cpu_name, usable_cores
from hunyuan_runner.machine.instructions import WantedKernels, available
from hunyuan_runner.params import Decoder, GenerationParams, Stage
from hunyuan_runner.settings import BUNDLED_MODELS, Settings
from tests import double_taehv

RESULTS = Path(__file__).with_name("machines.json")
HEADING = "## Machines\n"
MODEL = "hunyuanvideo"
BLOCKS = (1, 2)  # double and single ones of the clip's model; the 13B has 20 and 40
STEPS = 4
PROMPT_TOKENS, TEXT_WIDTH = 40, 128  # what the demo model's text encoders make
PATIENCE_SECONDS = 60  # what takes longer is not repeated,
LIMIT_SECONDS = 600.0  # or is stopped, as plain bf16 on CPUs that do not multiply it

SECTION = """\
## Machines

`make bench-peers`: plain diffusers and this engine, in turns in one run, all with random weights;
medians. "Blocks" are a double and a single one of the 13B model, "decoding" is that of its decoder,
and "a clip" a whole one of {steps} steps, without loading, of a model as wide as the 13B, but with
{double} double and {single} single blocks. Another program's clip is timed from its start to its
end, with loading, and of a model of its own: bench.peer_model writes that of stable-diffusion.cpp,
which has as many blocks and a fast decoder. Memory is the most that the process had; what has none
was stopped. Compare what was measured on one machine: cores are rented in parts, and neighbours
take some of their speed.
"""
MACHINE = """
### {cpu}, {cores} cores, {instructions}

{date}, rounds: {rounds}, or one of what takes longer than a minute. Blocks at {tokens} tokens;
decoding and a clip of {width}x{height}, {num_frames} frames

| | blocks, s | GFLOP/s | memory, GB | decoding, s | memory, GB | a clip, s | memory, GB |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Sizes:
    tokens: int
    width: int
    height: int
    num_frames: int

    @property
    def clip(self) -> GenerationParams:
        """Decoded by the full decoder."""
        return GenerationParams(
            prompt="random weights",
            model=MODEL,
            width=self.width,
            height=self.height,
            num_frames=self.num_frames,
            fps=15,
            num_inference_steps=STEPS,
            seed=1,
            guidance_scale=6.0,
            true_cfg_scale=1.0,
            flow_shift=7.0,
        )


Work = Callable[[Sizes, Path], float]  # returns seconds; the folder has the clip's model
Measured = tuple[float, float | None]  # seconds, and the most GB; None if it was stopped then
Result = TypeVar("Result")


def plain_blocks(dtype: torch.dtype, compiled: bool, sizes: Sizes, _: Path) -> float:
    plain: Any = blocks.PlainBlocks().eval().to(dtype)
    inputs = tuple(
        x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        for x in blocks.inputs(sizes.tokens)
    )
    if compiled:
        plain = torch.compile(plain, mode="max-autotune")
        plain(*inputs)
    return seconds_of(lambda: plain(*inputs))


def our_blocks(sizes: Sizes, _: Path) -> float:
    kernels = load_kernels(WantedKernels(KERNELS_DIR), usable_cores())
    ours = blocks.quantized(blocks.PlainBlocks().eval(), kernels)
    inputs = blocks.inputs(sizes.tokens)
    return seconds_of(lambda: ours(*inputs))


def plain_decoding(dtype: torch.dtype, sizes: Sizes, _: Path) -> float:
    autoencoder = AutoencoderKLHunyuanVideo().to(dtype)
    del autoencoder.encoder
    autoencoder.enable_tiling()
    latents = vae.random_latents(sizes.width, sizes.height, sizes.num_frames).to(dtype)
    return seconds_of(lambda: autoencoder.decode(latents))


def our_decoding(sizes: Sizes, _: Path) -> float:
    return vae.our_seconds(sizes.width, sizes.height, sizes.num_frames)


def plain_clip(dtype: torch.dtype, sizes: Sizes, models_dir: Path) -> float:
    params = sizes.clip
    pipeline = HunyuanVideoPipeline.from_pretrained(models_dir / MODEL, dtype=dtype)
    pipeline.vae.enable_tiling()
    pipeline.set_progress_bar_config(disable=True)
    conditioning = {name: tensor.to(dtype) for name, tensor in random_conditioning().items()}
    return seconds_of(
        lambda: pipeline(
            **conditioning,
            width=params.width,
            height=params.height,
            num_frames=params.num_frames,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            generator=torch.Generator().manual_seed(params.seed),
        )
    )


def our_clip(decoder: Decoder, sizes: Sizes, models_dir: Path) -> float:
    params = sizes.clip.model_copy(update={"decoder": decoder})
    settings = Settings(models_dir=models_dir, data_dir=models_dir / "data", precision="int8")
    latents = torch.randn(1, 16, *MODELS[MODEL].family.latent_shape(params))
    start = Checkpoint(0, latents, random_conditioning())
    begun: dict[Stage, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, StageStarted):
            begun[event.stage] = time.perf_counter()

    engine = EngineProcess(settings, models_dir / "data" / "scratch")
    try:
        checkpoint = start.to_bytes(params, fingerprint(models_dir / MODEL))
        finished = engine.generate(params, checkpoint, note, lambda: None)
        ended = time.perf_counter()
        assert finished.precision == "int8"
        finished.frames.unlink()
    finally:
        engine.close()
    return ended - begun[Stage.DENOISING]


FP32, BF16 = torch.float32, torch.bfloat16
VARIANTS: Mapping[str, Mapping[str, Work]] = {
    "plain diffusers, fp32": {
        "blocks": partial(plain_blocks, FP32, False),
        "decoding": partial(plain_decoding, FP32),
        "clip": partial(plain_clip, FP32),
    },
    "plain diffusers, fp32, `torch.compile`": {"blocks": partial(plain_blocks, FP32, True)},
    "plain diffusers, bf16": {
        "blocks": partial(plain_blocks, BF16, False),
        "decoding": partial(plain_decoding, BF16),
        "clip": partial(plain_clip, BF16),
    },
    "hunyuan-runner": {
        "blocks": our_blocks,
        "decoding": our_decoding,
        "clip": partial(our_clip, "full"),
    },
    "hunyuan-runner, fast decoder": {"clip": partial(our_clip, "fast")},
}
SUBJECTS = ("blocks", "decoding", "clip")


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    with torch.no_grad():
        work()
    return time.perf_counter() - start


def random_conditioning() -> dict[str, torch.Tensor]:
    return {
        "prompt_embeds": torch.randn(1, PROMPT_TOKENS, TEXT_WIDTH),
        "pooled_prompt_embeds": torch.randn(1, TEXT_WIDTH),
        "prompt_attention_mask": torch.ones(1, PROMPT_TOKENS),
    }


def make_model(models_dir: Path) -> None:
    """With both decoders. The text encoders are the demo model's, because they are not used."""
    folder = models_dir / MODEL
    double, single = BLOCKS
    parts = {
        "vae": AutoencoderKLHunyuanVideo(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        TRANSFORMER: HunyuanVideoTransformer3DModel(
            num_layers=double,
            num_single_layers=single,
            text_embed_dim=TEXT_WIDTH,
            pooled_projection_dim=TEXT_WIDTH,
        ),
    }
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            part.bfloat16()
        part.save_pretrained(folder / name)
    for name in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        shutil.copytree(BUNDLED_MODELS / "demo" / name, folder / name)
    shutil.copy(BUNDLED_MODELS / "demo" / "model_index.json", folder)
    fast_decoder = MODELS[MODEL].fast_decoder
    assert fast_decoder is not None
    weights = fast_decoder.file_in(models_dir)
    weights.parent.mkdir()
    double_taehv.save_decoder(weights)


def in_a_process(work: Callable[..., Result], *given: object, limit: float | None = None) -> Result:
    """The result of work(*given). Raises TimeoutError after `limit` seconds, when it is stopped
    with all that it has started, and EOFError if it fails, for a reason that stderr shows.

    A new process counts the memory of this one, from before it began, as its own. So nothing large
    is done here.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, work, *given))
    process.start()
    assert process.pid
    theirs.close()
    try:
        ours.recv()  # that it begins
        if not ours.poll(limit):
            raise TimeoutError
        result: Result = ours.recv()
        return result
    finally:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def _send(results: Connection, work: Callable[..., object], *given: object) -> None:
    os.setpgrp()
    results.send(None)
    results.send(work(*given))


def _measured(work: Work, sizes: Sizes, models_dir: Path) -> Measured:
    torch.set_num_threads(usable_cores())
    torch.manual_seed(0)
    seconds = work(sizes, models_dir)
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return seconds, max(resource.getrusage(each).ru_maxrss for each in who) * 1024 / 1e9


def peer(command: str, sizes: Sizes, _: Path) -> float:
    """Another program, from its start to its end. Raises CalledProcessError."""
    values = {"width": sizes.width, "height": sizes.height, "num_frames": sizes.num_frames}
    words = [word.format(steps=STEPS, **values) for word in shlex.split(command)]
    return seconds_of(lambda: subprocess.run(words, check=True, stdout=sys.stderr))


def measure(
    sizes: Sizes, peers: Mapping[str, str], rounds: int, limit: float
) -> dict[str, dict[str, Measured]]:
    """By variant and subject."""
    variants = dict(VARIANTS) | {
        name: {"clip": partial(peer, command)} for name, command in peers.items()
    }
    found: defaultdict[tuple[str, str], list[Measured]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        in_a_process(make_model, Path(folder))
        for turn in range(rounds):
            for subject in SUBJECTS:
                for name, works in variants.items():
                    before = found[name, subject]
                    if subject not in works or (turn and before[0][0] > PATIENCE_SECONDS):
                        continue
                    given = (works[subject], sizes, Path(folder))
                    try:
                        before.append(in_a_process(_measured, *given, limit=limit))
                    except TimeoutError:
                        before.append((limit, None))
                    print(f"{subject}, {name}: {_seconds(before[-1])} s", file=sys.stderr)
    return {
        name: {
            subject: (
                statistics.median(s for s, _ in found[name, subject]),
                found[name, subject][0][1],
            )
            for subject in works
        }
        for name, works in variants.items()
    }


def machine() -> dict[str, Any]:
    instructions = available(cpu_flags())
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "instructions": instructions[0].in_words if instructions else "without kernels",
        "date": f"{datetime.now(UTC).date()}",
    }


def describe(results: list[dict[str, Any]]) -> str:
    double, single = BLOCKS
    parts = [SECTION.format(steps=STEPS, double=double, single=single)]
    for result in results:
        parts.append(MACHINE.format(**result))
        flops = {"blocks": blocks.flops(result["tokens"])}
        for name, measured in result["measured"].items():
            cells = [name]
            for subject in SUBJECTS:
                cells += _cells(measured.get(subject), flops.get(subject))
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(parts)


def _cells(measured: Measured | None, flops: float | None) -> list[str]:
    """Seconds, the GFLOP/s that they make of `flops`, if given, and GB: empty if not measured."""
    if measured is None:
        return [""] * (2 if flops is None else 3)
    seconds, gigabytes = measured
    if gigabytes is None:
        return [_seconds(measured), *_cells(None, flops)[1:]]
    rate = [] if flops is None else [f"{flops / seconds / 1e9:.0f}"]
    return [_seconds(measured), *rate, f"{gigabytes:.1f}"]


def _seconds(measured: Measured) -> str:
    seconds, gigabytes = measured
    return f"> {seconds:.0f}" if gigabytes is None else f"{seconds:.2f}"


def kept() -> list[dict[str, Any]]:
    """The results of all machines that were measured."""
    results: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return results


def keep(result: dict[str, Any]) -> list[dict[str, Any]]:
    """All machines' results, with this one in the place of an earlier one of the same machine."""
    name = ("cpu", "cores", "instructions")
    others = [each for each in kept() if any(each[key] != result[key] for key in name)]
    results = sorted([*others, result], key=lambda each: [f"{each[key]}" for key in name])
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return results


def section() -> str:
    """What docs/performance.md says of all machines."""
    return describe(kept())


def write(section: str) -> None:
    """Put the section into docs/performance.md, in the place of the earlier one."""
    before, found, after = DOCUMENT.read_text().partition(HEADING)
    if not found:
        DOCUMENT.write_text(f"{before.rstrip()}\n\n{section}")
        return
    _, more, rest = after.partition("\n## ")
    DOCUMENT.write_text(f"{before}{section}{more}{rest}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tokens", type=int, default=4800, help="video tokens of the blocks")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--num-frames", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each, of which the median")
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT_SECONDS,
        help="seconds; what takes longer is stopped (default: %(default).0f)",
    )
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    arguments = parser.parse_args()
    sizes = Sizes(arguments.tokens, arguments.width, arguments.height, arguments.num_frames)
    peers = dict(each.split("=", 1) for each in arguments.peer)
    measured = measure(sizes, peers, arguments.rounds, arguments.limit)
    result = machine() | vars(sizes) | {"rounds": arguments.rounds, "measured": measured}
    write(describe(keep(result)))
    print(describe([result]))


if __name__ == "__main__":
    main()
