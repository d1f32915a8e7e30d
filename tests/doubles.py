"""The doubles of all models of the catalogue: their packages with few, random weights, and the list
of digests that a download leaves. The demo model is its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoTransformer3DModel
from safetensors import safe_open

from hunyuan_runner.catalogue import Model
from hunyuan_runner.families.family import Architecture
from hunyuan_runner.settings import BUNDLED_MODELS
from hunyuan_runner.weights import DOWNLOAD_NOTE, file_sha256, weight_files
from tests import double, double15

SHARD_SIZE = "30KB"  # so that there are several


def save(model: Model, folder: Path) -> None:
    """Save the double of a model as a download installs it."""
    match model.id:
        case "demo":
            shutil.copytree(BUNDLED_MODELS / "demo", folder)
            return
        case "hunyuanvideo15" | "hunyuanvideo15-4step":
            double15.save_model(folder)
        case _:
            double.save_model(folder)
    if model.id == "hunyuanvideo15-4step":
        double15.put_into_one_file(folder / "transformer")
    if model.id == "fasthunyuan":
        FlowMatchEulerDiscreteScheduler(shift=17.0).save_pretrained(folder / "scheduler")
        _split(folder / "transformer")
    _write_note(model, folder)


def in_small(model: Model, folder: Path) -> Model:
    """The model with the sizes of its double in `folder`, from which a quote is made."""
    if model.id == "demo":
        return model
    transformer = json.loads((folder / "transformer" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    architecture = Architecture(
        double_blocks=transformer["num_layers"],
        single_blocks=transformer.get("num_single_layers", 0),
        width=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        heads=transformer["num_attention_heads"],
        mlp_ratio=transformer["mlp_ratio"],
        text_encoder_bytes=sum(map(_weight_bytes, folder.glob("text_encoder*"))),
        vae_bytes=_weight_bytes(folder / "vae"),
        vae_channels=tuple(vae["block_out_channels"]),
        vae_attention=vae.get("mid_block_add_attention", True),
        decode_flops_per_pixel=model.architecture.decode_flops_per_pixel,
    )
    return replace(model, architecture=architecture, parameters=_parameters(folder / "transformer"))


def _split(transformer: Path) -> None:
    loaded = HunyuanVideoTransformer3DModel.from_pretrained(transformer)
    shutil.rmtree(transformer)
    loaded.save_pretrained(transformer, max_shard_size=SHARD_SIZE)


def _write_note(model: Model, folder: Path) -> None:
    files = [
        {
            "path": str(path.relative_to(folder)),
            "size": path.stat().st_size,
            "digest": file_sha256(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    note = {"repo": model.repo, "commit": model.revision, "files": files}
    (folder / DOWNLOAD_NOTE).write_text(json.dumps(note))


def _weight_bytes(component: Path) -> int:
    return sum(path.stat().st_size for path in weight_files(component))


def _parameters(component: Path) -> int:
    count = 0
    for path in weight_files(component):
        with safe_open(path, framework="pt") as file:
            count += sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    return count
