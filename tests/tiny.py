"""A HunyuanVideo package with random weights: every real class, as small as possible."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from hunyuan_runner.params import GenerationParams

WORDS = ["a", "cat", "dog", "walks", "runs", "on", "the", "grass", "in", "rain", "red", "blue"]
SPECIAL = ["<pad>", "<unk>", "<eos>", "<system>"]
VOCABULARY = {word: i for i, word in enumerate(SPECIAL + WORDS)}

# With so much text, a checkpoint is larger than a pipe's buffer. So a child waits until its parent
# has read its last step, and a test can kill it exactly there.
PROMPT = " ".join(["a cat walks on the grass"] * 20)
TEXT_WIDTH = 256


def params(**changes: object) -> GenerationParams:
    """A clip that the tiny model renders in a fraction of a second."""
    defaults = {
        "prompt": PROMPT,
        "model": "tiny",
        "width": 64,
        "height": 64,
        "num_frames": 9,
        "fps": 15,
        "num_inference_steps": 4,
        "seed": 1,
        "guidance_scale": 6.0,
        "true_cfg_scale": 1.0,
        "flow_shift": 5.0,
    }
    return GenerationParams.model_validate(defaults | changes)


def save_model(folder: Path, seed: int = 0) -> None:
    """Save a complete package that HunyuanVideoPipeline.from_pretrained loads."""
    torch.manual_seed(seed)
    HunyuanVideoPipeline(
        transformer=_transformer(),
        vae=_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder=_text_encoder(),
        tokenizer=_tokenizer(),
        text_encoder_2=_text_encoder_2(),
        tokenizer_2=_tokenizer_2(),
    ).save_pretrained(folder)


def _transformer() -> HunyuanVideoTransformer3DModel:
    return HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=2,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=TEXT_WIDTH,
        pooled_projection_dim=8,
        rope_axes_dim=(4, 6, 6),
    )


def _vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )


def _text_encoder() -> LlamaModel:
    return LlamaModel(
        LlamaConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=TEXT_WIDTH,
            intermediate_size=32,
            num_hidden_layers=3,  # the pipeline takes the output of the last but two
            num_attention_heads=2,
            pad_token_id=VOCABULARY["<pad>"],
            bos_token_id=VOCABULARY["<eos>"],
            eos_token_id=VOCABULARY["<eos>"],
        )
    )


def _text_encoder_2() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=8,
            intermediate_size=16,
            projection_dim=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=VOCABULARY["<pad>"],
            bos_token_id=VOCABULARY["<eos>"],
            eos_token_id=VOCABULARY["<eos>"],
        )
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that makes 95 tokens of the pipeline's system prompt, which are then cropped."""
    before, after = DEFAULT_PROMPT_TEMPLATE["template"].split("{}")
    markers = " <system> " * DEFAULT_PROMPT_TEMPLATE["crop_start"]
    return _words(
        normalizers.Sequence(
            [normalizers.Replace(before, markers), normalizers.Replace(after, " <eos>")]
        )
    )


def _tokenizer_2() -> PreTrainedTokenizerFast:
    tokenizer = _words(normalizers.Replace(Regex(r"\s+"), " "))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", VOCABULARY["<eos>"])]
    )
    return tokenizer


def _words(normalizer: normalizers.Normalizer) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", padding_side="right"
    )
