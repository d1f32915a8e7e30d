"""Run in the copy of the package that has the toys: what the service does with a model.

    python scenario.py FOLDER

Prints what it saw as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from pydantic import ValidationError
from safetensors.torch import save_file

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.messages import Event, Preview, Resumed, StepFinished
from hunyuan_runner.engine.process import EngineDied, EngineProcess, GenerationFailed
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.models.checking import problems_of
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.prompts.check import PromptCheck
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.quoting.memory import peak_bytes
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings

TOY = MODELS["toy"]


def save_model(folder: Path) -> None:
    torch.manual_seed(0)
    parts = {
        "text_encoder": ("model", {"model_type": "toy"}, (256, 6)),
        "transformer": ("diffusion_pytorch_model", {"_class_name": "Toy", "channels": 6}, (6, 6)),
        "vae": (
            "diffusion_pytorch_model",
            {"_class_name": "ToyVae", "latent_channels": 6},
            (3 * 8 * 4 * 4, 6),
        ),
    }
    for part, (name, configuration, shape) in parts.items():
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(configuration))
        save_file({"weight": torch.randn(shape)}, folder / part / f"{name}.safetensors")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    index = {"_class_name": "ToyPipeline"} | {part: ["toys", "Toy"] for part in parts}
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))


def resolve(**fields: object) -> GenerationParams:
    request = GenerationRequest.model_validate({"prompt": "a ball", "seed": 1} | fields)
    return request.resolve(TOY.id, TOY.presets)


def refusal(**fields: object) -> str:
    try:
        resolve(**fields)
    except ValidationError as error:
        return str(error)
    return "none"


class Seen:
    """The events of a render, whose engine is killed at a step."""

    def __init__(self, at_step: int, kill: Callable[[], None]) -> None:
        self.at_step, self.kill = at_step, kill
        self.checkpoint = b""
        self.resumed: list[int] = []
        self.previews = 0

    def __call__(self, event: Event) -> None:
        match event:
            case StepFinished(step, checkpoint) if step == self.at_step:
                self.checkpoint = checkpoint
                self.kill()
            case Resumed(step):
                self.resumed.append(step)
            case Preview():
                self.previews += 1


def main(folder: Path) -> None:
    model_dir = folder / "models" / "toy"
    save_model(model_dir)
    settings = Settings(data_dir=folder / "data", models_dir=folder / "models", threads=1)
    engines = [EngineProcess(settings, folder / "scratch") for _ in range(2)]
    params = resolve()

    def kill() -> None:
        assert engines[0].pid is not None
        os.kill(engines[0].pid, signal.SIGKILL)

    def render(checkpoint: bytes | None, seen: Seen, engine: int = 0) -> np.ndarray:
        path = engines[engine].generate(params, checkpoint, seen, lambda: None).frames
        frames: np.ndarray = np.load(path)
        return frames

    undisturbed = Seen(0, kill)
    whole = render(None, undisturbed)
    killed, resumed = Seen(2, kill), Seen(0, kill)
    with contextlib.suppress(EngineDied):
        render(None, killed)
    again = render(killed.checkpoint, resumed)

    verified = problems_of(model_dir)
    configuration = model_dir / "transformer" / "config.json"
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | {"image": True}))
    try:
        render(None, Seen(0, kill), engine=1)
        refused = "none"
    except GenerationFailed as error:
        refused = str(error)
    for engine in engines:
        engine.close()
    check = PromptCheck()
    work = Work.of(params, TOY)
    seen = {
        "shape": whole.shape,
        "varies": float(whole.std()),
        "same": bool(np.array_equal(whole, again)),
        "resumed": resumed.resumed,
        "previews": undisturbed.previews,
        "verified": verified,
        "refused": refused,
        "problems": problems_of(model_dir),
        "frames": [refusal(num_frames=9), refusal(num_frames=5)],
        "seconds": resolve(seconds=1, fps=15).num_frames,
        "evaluations": work.evaluations,
        "peak": peak_bytes(params, TOY, Precision.FP32),
        "profile": Profile.of_this_machine(settings).models["toy"].installed,
        "warnings": check.warnings(params, model_dir),
    }
    check.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
