"""Writes the components as a folder that `HunyuanVideoPipeline.from_pretrained` loads."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)

from demo_model.captions import known_words
from demo_model.text import TextEncoders
from hunyuan_runner.prompts.words import FILE
from hunyuan_runner.weights import DOWNLOAD_NOTE, file_sha256

FLOW_SHIFT = 5.0


def write_package(
    folder: Path,
    transformer: HunyuanVideoTransformer3DModel,
    vae: AutoencoderKLHunyuanVideo,
    text: TextEncoders,
) -> None:
    """Replace the folder's files, each one at once, with the components in half precision."""
    llama_tokenizer, clip_tokenizer = text.tokenizers
    pipeline = HunyuanVideoPipeline(
        text_encoder=text.llama.half(),
        tokenizer=llama_tokenizer,
        transformer=transformer.half(),
        vae=vae.half(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=FLOW_SHIFT),
        text_encoder_2=text.clip.half(),
        tokenizer_2=clip_tokenizer,
    )
    # transformers loads in the dtype that the configuration names: always compute in fp32
    text.llama.config.dtype = text.clip.config.dtype = torch.float32
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".demo-") as temporary:
        pipeline.save_pretrained(temporary)
        write_digests(Path(temporary))
        (Path(temporary) / FILE).write_text(json.dumps(known_words(), indent=1) + "\n")
        for source in sorted(Path(temporary).rglob("*")):
            target = folder / source.relative_to(temporary)
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, target)


def write_digests(folder: Path) -> None:
    """Write the digest of every file of a model to a note, as a download does."""
    files = [
        {
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "digest": file_sha256(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != DOWNLOAD_NOTE
    ]
    note = {"repo": None, "commit": None, "files": files}
    (folder / DOWNLOAD_NOTE).write_text(json.dumps(note, indent=2) + "\n")
