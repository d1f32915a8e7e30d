"""Writes the parts as a folder that `HunyuanVideoPipeline.from_pretrained` loads."""

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

from demo_model.text import TextEncoders

FLOW_SHIFT = 5.0


def write_package(
    folder: Path,
    transformer: HunyuanVideoTransformer3DModel,
    vae: AutoencoderKLHunyuanVideo,
    text: TextEncoders,
) -> None:
    """Replace the folder's files; a reader sees each file whole, old or new. Halves the parts."""
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
    # transformers loads in the dtype the configuration names: compute in fp32 whatever is stored
    text.llama.config.dtype = text.clip.config.dtype = torch.float32
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".demo-") as temporary:
        pipeline.save_pretrained(temporary)
        for source in sorted(Path(temporary).rglob("*")):
            target = folder / source.relative_to(temporary)
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, target)
