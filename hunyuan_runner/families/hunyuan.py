"""HunyuanVideo and what was distilled from it: 13 B, FastHunyuan, and the demo model."""

from __future__ import annotations

from hunyuan_runner.families.configuration import Agreement, Component
from hunyuan_runner.families.family import Clip, Family, TextReader, Tiles
from hunyuan_runner.families.scheduler import SCHEDULER

# Llama reads this whole text; the states of the tokens before the prompt are then cropped off.
TEMPLATE = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following "
    "aspects: 1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the "
    "objects.4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
)
LLAMA = TextReader("tokenizer", "Llama", tokens=256, template=TEMPLATE, crop_start=95)
CLIP = TextReader("tokenizer_2", "CLIP", tokens=77, purpose="for the overall style")

TRANSFORMER = Component(
    kinds=("HunyuanVideoTransformer3DModel",),
    settings={
        "attention_head_dim": None,
        "guidance_embeds": (True,),
        "image_condition_type": (None,),
        "in_channels": None,
        "mlp_ratio": None,
        "num_attention_heads": None,
        "num_layers": None,
        "num_refiner_layers": None,
        "num_single_layers": None,
        "out_channels": None,
        "patch_size": (2,),
        "patch_size_t": (1,),
        "pooled_projection_dim": None,
        "qk_norm": ("rms_norm",),
        "rope_axes_dim": None,
        "rope_theta": None,
        "text_embed_dim": None,
    },
    named=frozenset({"in_channels", "out_channels", "num_layers", "num_single_layers"}),
)
VAE = Component(
    kinds=("AutoencoderKLHunyuanVideo",),
    settings={
        "act_fn": ("silu",),
        "block_out_channels": None,
        "down_block_types": None,  # of the encoder, which is not used
        "in_channels": None,
        "latent_channels": None,
        "layers_per_block": None,
        "mid_block_add_attention": None,
        "norm_num_groups": None,
        "out_channels": (3,),
        "scaling_factor": None,
        "spatial_compression_ratio": (8,),
        "temporal_compression_ratio": (4,),
        "up_block_types": (["HunyuanVideoUpBlock3D"] * 4,),
    },
    named=frozenset({"latent_channels", "block_out_channels"}),
)


class Hunyuan(Family):
    """Guidance is an input of the transformer. A negative prompt needs a second pass."""

    def negative_prompt(self, clip: Clip) -> str | None:
        return clip.negative_prompt if clip.true_cfg_scale > 1 else None


HUNYUAN = Hunyuan(
    id="hunyuan",
    pipeline="HunyuanVideoPipeline",
    engine="hunyuan_runner.engine.hunyuan",
    frames_per_latent=4,
    pixels_per_latent=8,
    pixels_per_token=16,
    readers=(LLAMA, CLIP),
    components={
        "scheduler": SCHEDULER,
        "text_encoder": Component(kinds=("llama",)),
        "text_encoder_2": Component(kinds=("clip_text_model",)),
        "tokenizer": Component(kinds=()),
        "tokenizer_2": Component(kinds=()),
        "transformer": TRANSFORMER,
        "vae": VAE,
    },
    agreements=(
        Agreement(("transformer", "in_channels"), ("vae", "latent_channels")),
        Agreement(("transformer", "out_channels"), ("vae", "latent_channels")),
        Agreement(("transformer", "text_embed_dim"), ("text_encoder", "hidden_size")),
        Agreement(("transformer", "pooled_projection_dim"), ("text_encoder_2", "hidden_size")),
    ),
    # 640x480, 9 frames, 128 channels in bf16 took 1 % more than three maps.
    tiles=Tiles(overlaps=(2, 4, 4), shortest=(4, 10, 10), feature_maps=3),
)
