"""Trains the demo model from scratch.

    python -m demo_model.train

It works in `build/demo_model/`, keeps finished parts and the log there, and writes the model that
is bundled with the package. First it makes the linear map that defines the latents, and draws the
clips. Then two processes train in parallel: one the text encoders and the transformer, the other
the autoencoder.
"""

import argparse
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import HunyuanVideoTransformer3DModel

from demo_model import autoencoder, denoiser
from demo_model.evaluate import MODEL_DIR, score_shapes, shape_prompts
from demo_model.latents import Basis, fit_basis
from demo_model.package import write_package
from demo_model.pool import Pool, Size, draw_pool
from demo_model.text import load_text, train_text
from hunyuan_runner.machine.host import cpu_name

ROOT = Path(__file__).parent.parent
TEXT_STEPS = 450
MAIN_SIZE = Size(192, 128, 33)
POOLS = {  # number of clips, and share of the training steps
    MAIN_SIZE: (12_000, 0.76),
    Size(128, 96, 17): (4_000, 0.08),
    Size(96, 64, 17): (3_000, 0.04),
    Size(128, 128, 33): (2_000, 0.06),
    Size(256, 160, 33): (1_600, 0.06),
}
DENOISER_PHASES = (
    denoiser.Phase(steps=4_000, frames=1, tokens=960),
    denoiser.Phase(steps=8_500, frames=3, tokens=1_152),
    denoiser.Phase(steps=2_200, frames=9, tokens=1_728),
)
DECODER_PHASES = (
    autoencoder.Phase(steps=10_000, crops=4, width=32, height=32, num_frames=9),
    autoencoder.Phase(steps=4_000, crops=1, width=64, height=64, num_frames=9),
    autoencoder.Phase(steps=4_500, crops=1, width=64, height=64, num_frames=17),
    autoencoder.Phase(steps=600, crops=1, width=96, height=96, num_frames=33),
    autoencoder.Phase(steps=100, crops=1, width=192, height=128, num_frames=33),
)
ENCODER_PHASES = (autoencoder.Phase(steps=2_000, crops=4, width=32, height=32, num_frames=9),)
WATCHED_PROMPTS = 24

logger = logging.getLogger(__name__)


def stage(name: str, result: Path, make: Callable[[], None]) -> None:
    """Make a part of the model, if it is not there yet."""
    if result.exists():
        logger.info("%s: already done", name)
        return
    start = time.monotonic()
    make()
    logger.info("%s: took %.0f s", name, time.monotonic() - start)


def train_denoiser(folder: Path, seed: int) -> None:
    """The text encoders, then the transformer."""
    begin_process(folder)
    stage("text encoders", folder / "clip.pt", lambda: train_text(folder, seed, TEXT_STEPS))
    stage("transformer", folder / "transformer.pt", lambda: train_transformer(folder, seed))


def train_transformer(folder: Path, seed: int) -> None:
    text, basis = load_text(folder), Basis.load(folder / "basis.npz")
    prompts = shape_prompts(WATCHED_PROMPTS, seed)
    with torch.no_grad():
        watched = text([prompt for prompt, _ in prompts])

    def watch(transformer: HunyuanVideoTransformer3DModel) -> None:
        """Score clips of held-out prompts, decoded by the linear inverse."""
        latents = denoiser.sample(transformer, MAIN_SIZE, watched, steps=8, seed=seed)
        clips = [basis.decode(clip).transpose(1, 2, 3, 0) for clip in latents]
        scores = score_shapes(zip(clips, (scene for _, scene in prompts), strict=True))
        logger.info("held-out prompts: %s", {name: round(s, 2) for name, s in scores.items()})

    pools = [(Pool(folder, size, text), share) for size, (_, share) in POOLS.items()]
    average = folder / "transformer-average.pt"
    denoiser.train_transformer(pools, DENOISER_PHASES, seed, average, watch)
    average.rename(folder / "transformer.pt")


def train_autoencoder(folder: Path, seed: int) -> None:
    begin_process(folder)
    basis, result = Basis.load(folder / "basis.npz"), folder / "vae.pt"

    def train() -> None:
        vae = autoencoder.train_vae(basis, DECODER_PHASES, ENCODER_PHASES, seed)
        torch.save(vae.state_dict(), result)

    stage("autoencoder", result, train)


def package(folder: Path, model_dir: Path) -> None:
    """Write the trained parts as a model folder."""
    transformer, vae = denoiser.build_transformer(), autoencoder.build_vae()
    transformer.load_state_dict(torch.load(folder / "transformer.pt"))
    vae.load_state_dict(torch.load(folder / "vae.pt"))
    write_package(model_dir, transformer, vae, load_text(folder))


def begin_process(folder: Path) -> None:
    """Use one thread in each of the two processes: that is faster than two threads in each."""
    torch.set_num_threads(1)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.StreamHandler(), logging.FileHandler(folder / "train.log")],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "demo_model")
    parser.add_argument("--out", type=Path, default=MODEL_DIR)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder, seed = options.work, options.seed
    folder.mkdir(parents=True, exist_ok=True)
    begin_process(folder)
    logger.info("seed %d, %s, torch %s", seed, cpu_name(), torch.__version__)

    basis = folder / "basis.npz"
    stage("basis", basis, lambda: fit_basis(seed).save(basis))
    for size, (count, _) in POOLS.items():
        draw_pool(folder, Basis.load(basis), size, count, seed, workers=2)
    processes = multiprocessing.get_context("spawn")
    parts = [
        processes.Process(target=train, args=(folder, seed))
        for train in (train_denoiser, train_autoencoder)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    if any(part.exitcode for part in parts):
        sys.exit(
            "The training failed; see the log. Finished parts are kept: run this again to go on."
        )
    package(folder, options.out)


if __name__ == "__main__":
    main()
