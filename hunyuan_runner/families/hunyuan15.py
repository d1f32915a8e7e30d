"""HunyuanVideo-1.5, and what was distilled from it: 8.3 B, text to video."""

from __future__ import annotations

import re

from hunyuan_runner.families.configuration import Agreement, Component
from hunyuan_runner.families.family import Clip, Family, TextReader, Tiles
from hunyuan_runner.families.scheduler import SCHEDULER

# The spaces are those of the pipeline that the model was published with.
_INDENT = " " * 8
SYSTEM_MESSAGE = (
    "You are a helpful assistant. Describe the video by detailing the following aspects: "
    f"{_INDENT}1. The main content and theme of the video. "
    f"{_INDENT}2. The color, shape, size, texture, quantity, text, and spatial relationships of "
    f"the objects. {_INDENT}3. Actions, events, behaviors temporal relationships, physical "
    f"movement changes of the objects. {_INDENT}4. background environment, light, style and "
    f"atmosphere. {_INDENT}5. camera angles, movements, and transitions used in the video."
)
# What Qwen's chat template makes of the system message and the prompt.
TEMPLATE = (
    f"<|im_start|>system\n{SYSTEM_MESSAGE}<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
QWEN = TextReader("tokenizer", "Qwen", tokens=1000, template=TEMPLATE, crop_start=108)
QUOTED = re.compile(r"\"(.*?)\"|“(.*?)”")
BYT5 = TextReader(
    "tokenizer_2", "ByT5", tokens=256, purpose="of words in quotation marks", quoted=QUOTED
)

_TRANSFORMER = Component(
    kinds=("HunyuanVideo15Transformer3DModel",),
    settings={
        "attention_head_dim": None,
        "image_embed_dim": None,  # of the image that a clip starts from; there is none
        "in_channels": None,
        "mlp_ratio": None,
        "num_attention_heads": None,
        "num_layers": None,
        "num_refiner_layers": None,
        "out_channels": None,
        "patch_size": (1,),
        "patch_size_t": (1,),
        "qk_norm": ("rms_norm",),
        "rope_axes_dim": None,
        "rope_theta": None,
        "target_size": None,  # the picture's side in training
        "task_type": ("t2v",),
        "text_embed_2_dim": None,
        "text_embed_dim": None,
        "use_meanflow": (False,),
    },
    named=frozenset({"in_channels", "out_channels", "num_layers", "task_type"}),
)
_VAE = Component(
    kinds=("AutoencoderKLHunyuanVideo15",),
    settings={
        "block_out_channels": None,
        "downsample_match_channel": None,  # of the encoder, which is not used
        "in_channels": None,
        "latent_channels": None,
        "layers_per_block": None,
        "out_channels": (3,),
        "scaling_factor": None,
        "spatial_compression_ratio": (16,),
        "temporal_compression_ratio": (4,),
        "upsample_match_channel": (True,),
    },
    named=frozenset({"latent_channels", "block_out_channels"}),
)
_GUIDER = Component(
    kinds=("ClassifierFreeGuidance",),
    settings={
        "enabled": (True,),
        "guidance_rescale": (0.0,),
        "guidance_scale": None,  # a clip has its own
        "start": (0.0,),
        "stop": (1.0,),
        "use_original_formulation": (False,),
    },
)


class Hunyuan15(Family):
    """The guidance scale weighs the prompt against the negative prompt, or an empty one. At 1, as
    for models that were distilled so, there is no second pass."""

    def negative_prompt(self, clip: Clip) -> str | None:
        return (clip.negative_prompt or "") if clip.guidance_scale > 1 else None


HUNYUAN15 = Hunyuan15(
    id="hunyuan15",
    pipeline="HunyuanVideo15Pipeline",
    engine="hunyuan_runner.engine.hunyuan15",
    frames_per_latent=4,
    pixels_per_latent=16,
    pixels_per_token=16,
    readers=(QWEN, BYT5),
    components={
        "guider": _GUIDER,
        "scheduler": SCHEDULER,
        "text_encoder": Component(kinds=("qwen2_5_vl_text",)),
        "text_encoder_2": Component(kinds=("t5",)),
        "tokenizer": Component(kinds=()),
        "tokenizer_2": Component(kinds=()),
        "transformer": _TRANSFORMER,
        "vae": _VAE,
    },
    agreements=(
        # Latents, latents of the image, and a mask.
        Agreement(("transformer", "in_channels"), ("vae", "latent_channels"), factor=2, more=1),
        Agreement(("transformer", "out_channels"), ("vae", "latent_channels")),
        Agreement(("transformer", "text_embed_dim"), ("text_encoder", "hidden_size")),
        Agreement(("transformer", "text_embed_2_dim"), ("text_encoder_2", "d_model")),
    ),
    # A tile of 160x160, 13 frames, 128 channels in fp32 added the size of two maps to a process
    # that had decoded a smaller one. Larger tiles and bf16 were not measured.
    tiles=Tiles(overlaps=(2, 4, 4), shortest=(4, 10, 10), feature_maps=3),
    guidance="negative prompt",
)
