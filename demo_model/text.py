"""Tokenizers and text encoders: from a caption to the attributes it names.

The encoders are trained before everything else, by regression to a fixed code. Each value of each
attribute owns one direction of a small orthonormal table. CLIP's pooled output is the sum of a
caption's directions. Llama reads the words, then writes one attribute into each of the first slot
tokens that follow them (the other slots hold constants). So the transformer gets the same input
for every wording of a caption, and a new combination is a sum of known parts.
"""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from demo_model.captions import caption, vocabulary
from demo_model.scenes import ATTRIBUTES, NONE, Grid, Scene, random_scene, usual_path

logger = logging.getLogger(__name__)

WIDTH = 128
SLOTS = 12
POINTS = SLOTS - len(
    ATTRIBUTES
)  # slots with the position of the moving thing, each at another time
ROPE_PAIRS = 4  # pairs of each axis whose angles are wide enough to distinguish positions
PLACE = 3 * 2 * ROPE_PAIRS  # numbers for a position and time, as in the transformer's queries
PLACE_SCALE = 0.3  # scale of these numbers in a slot
PREFIX_TOKENS = 95  # the length of the large model's system prompt, which the pipeline crops
SKIPPED_LAYERS = 2  # the pipeline reads the states before the last two layers
WORKING_LAYERS = 3
EOS = "<|end|>"
PAD = "<|pad|>"
UNK = "<|unknown|>"
SYSTEM = "<|system|>"
SLOT_TOKENS = [f"<|slot{i}|>" for i in range(SLOTS)]


def build_tokenizer(
    before: list[str], after: list[str], max_length: int
) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words that drops the system prompt and adds special tokens."""
    special = [PAD, UNK, SYSTEM, EOS, *SLOT_TOKENS]
    vocab = {word: index for index, word in enumerate([*special, *vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNK))
    prefix, suffix = DEFAULT_PROMPT_TEMPLATE["template"].lower().split("{}")
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(prefix, ""),
            normalizers.Replace(suffix, ""),
            normalizers.Replace(Regex("[^a-z0-9]+"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*before, "$A", *after]),
        special_tokens=[(token, vocab[token]) for token in {*before, *after}],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        padding_side="right",
        pad_token=PAD,
        unk_token=UNK,
        eos_token=EOS,
    )


def llama_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer([SYSTEM] * PREFIX_TOKENS, SLOT_TOKENS, 512)


def clip_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer([], [EOS], 77)


def build_llama(num_layers: int = WORKING_LAYERS + SKIPPED_LAYERS) -> LlamaModel:
    tokenizer = llama_tokenizer()
    return LlamaModel(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            use_cache=False,
        )
    )


def build_clip() -> CLIPTextModel:
    tokenizer = clip_tokenizer()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="gelu",
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


@lru_cache
def places_of(scene: Scene) -> Tensor | None:
    """Where the moving thing is at POINTS times: (POINTS, PLACE), cosines and sines of angles.

    Time, height and width are in the transformer's tokens at the demo model's default size.
    """
    path = usual_path(scene, Grid(192, 128, 33))
    if path is None:
        return None
    times = torch.linspace(0, 8, POINTS)
    frames = torch.arange(33.0)
    x, y = (
        torch.from_numpy(np.interp(4 * times - 1.5, frames, np.ravel(line)) * 8 - 0.5)
        for line in path
    )
    places = torch.stack([times, y, x], 1).float()
    frequencies = 256.0 ** (-torch.arange(ROPE_PAIRS) / 8)
    angles = places[:, :, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()], -1).flatten(1)


class Code:
    """The fixed orthonormal code of attributes; vectors have unit variance."""

    def __init__(self) -> None:
        values = [(name, value) for name, options in ATTRIBUTES.items() for value in options]
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(WIDTH, len(values) + POINTS + PLACE, generator=generator)
        rows = torch.linalg.qr(rows - rows.mean(0)).Q.T * WIDTH**0.5
        self.vectors = dict(zip(values, rows, strict=False))
        self.constants = rows[len(values) : len(values) + POINTS]
        self.place = rows[len(values) + POINTS :]

    def slots(self, scene: Scene | None) -> Tensor:
        """What the slot tokens should hold: (SLOTS, WIDTH). Without a scene, nothing is known."""
        named = [self.vectors[name, getattr(scene, name, NONE)] for name in ATTRIBUTES]
        points = self.constants
        if scene is not None and (places := places_of(scene)) is not None:
            points = points + PLACE_SCALE * places @ self.place
        return torch.cat([torch.stack(named), points])

    def places(self, slots: Tensor) -> Tensor:
        """The positions in slots (..., WIDTH): (..., PLACE), zero if nothing moves."""
        found: Tensor = slots @ self.place.T / (WIDTH * PLACE_SCALE)
        return found

    def pooled(self, slots: Tensor) -> Tensor:
        """The output that CLIP should give for slots (..., SLOTS, WIDTH), with unit variance."""
        total: Tensor = slots[..., : len(ATTRIBUTES), :].sum(-2)
        return total / math.sqrt(len(ATTRIBUTES))


@dataclass
class Encoded:
    """Captions as the transformer gets them."""

    states: Tensor  # (batch, length, WIDTH)
    mask: Tensor  # (batch, length): 1 for a token, 0 for padding
    pooled: Tensor  # (batch, WIDTH)


class TextEncoders(nn.Module):
    """Both encoders. The results are the pipeline's, without its padding to a fixed length.

    Every caption begins with the same system prompt, so Llama reads it once per batch.
    """

    def __init__(self, llama: LlamaModel, clip: CLIPTextModel) -> None:
        super().__init__()
        self.llama, self.clip = llama, clip
        self.tokenizers = llama_tokenizer(), clip_tokenizer()

    def forward(self, captions: list[str]) -> Encoded:
        llama_tokens, clip_tokens = (
            tokenizer(
                captions, padding="longest", truncation=True, max_length=limit, return_tensors="pt"
            )
            for tokenizer, limit in zip(self.tokenizers, (256 + PREFIX_TOKENS, 77), strict=True)
        )
        ids, mask = llama_tokens.input_ids, llama_tokens.attention_mask
        prefix = self.llama(input_ids=ids[:1, :PREFIX_TOKENS], use_cache=True).past_key_values
        prefix.batch_repeat_interleave(len(captions))
        states: list[Tensor] = []
        layer = self.llama.layers[WORKING_LAYERS - 1]
        hook = layer.register_forward_hook(lambda _module, _inputs, output: states.append(output))
        self.llama(input_ids=ids[:, PREFIX_TOKENS:], attention_mask=mask, past_key_values=prefix)
        hook.remove()
        pooled = self.clip(clip_tokens.input_ids).pooler_output
        return Encoded(states[0], mask[:, PREFIX_TOKENS:], pooled)


def caption_batches(seed: int, size: int) -> Iterator[tuple[list[str], list[Scene | None]]]:
    rng = np.random.default_rng(seed)
    while True:
        scenes: list[Scene] = [random_scene(rng) for _ in range(size)]
        captions = [caption(scene, rng) for scene in scenes]
        yield captions, [s if c else None for s, c in zip(scenes, captions, strict=True)]


def slot_states(encoded: Encoded) -> Tensor:
    """The states of the slots, which follow each caption's words: (batch, SLOTS, WIDTH)."""
    first = encoded.mask.sum(1, keepdim=True) - SLOTS
    index = (first + torch.arange(SLOTS)).unsqueeze(-1).expand(-1, -1, WIDTH)
    return encoded.states.gather(1, index)


def attribute_accuracy(
    encoded: Encoded, scenes: list[Scene | None], code: Code
) -> dict[str, float]:
    """How often the nearest value of each attribute is the right one, for Llama and for CLIP."""
    slots = slot_states(encoded)
    scores = {}
    for index, (name, options) in enumerate(ATTRIBUTES.items()):
        table = torch.stack([code.vectors[name, value] for value in options])
        truth = torch.tensor([options.index(getattr(scene, name, NONE)) for scene in scenes])
        for who, vectors in (("llama", slots[:, index]), ("clip", encoded.pooled)):
            scores[f"{name}/{who}"] = (vectors @ table.T).argmax(1).eq(truth).float().mean().item()
    return scores


def train_text(folder: Path, seed: int, steps: int, batch_size: int = 128) -> None:
    """Train both encoders and save them in the folder as `llama.pt` and `clip.pt`."""
    torch.manual_seed(seed)
    code = Code()
    encoders = TextEncoders(build_llama(WORKING_LAYERS), build_clip())
    optimizer = torch.optim.AdamW(
        encoders.parameters(), lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=steps, pct_start=0.1
    )
    batches = caption_batches(seed, batch_size)
    start = time.monotonic()
    for step in range(steps):
        captions, scenes = next(batches)
        target = torch.stack([code.slots(scene) for scene in scenes])
        encoded = encoders(captions)
        words = torch.arange(encoded.mask.shape[1]) < encoded.mask.sum(1, keepdim=True) - SLOTS
        slot_loss = (slot_states(encoded) - target).square().mean()
        word_loss = encoded.states.square().mean(-1)[words].mean()
        pooled_loss = (encoded.pooled - code.pooled(target)).square().mean()
        loss = slot_loss + pooled_loss + 0.1 * word_loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoders.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            logger.info(
                "text step %d: slots %.4f pooled %.4f words %.4f, %.0f s",
                *(step + 1, slot_loss.item(), pooled_loss.item(), word_loss.item()),
                time.monotonic() - start,
            )
    captions, scenes = next(caption_batches(seed + 1, 2000))
    with torch.no_grad():
        scores = attribute_accuracy(encoders(captions), scenes, code)
    logger.info("text accuracy: %s", {name: round(score, 4) for name, score in scores.items()})
    torch.save(encoders.llama.state_dict(), folder / "llama.pt")
    torch.save(encoders.clip.state_dict(), folder / "clip.pt")


def load_text(folder: Path) -> TextEncoders:
    """The trained encoders, frozen, with the layers that the pipeline skips filled with zeros."""
    llama, clip = build_llama(), build_clip()
    state = torch.load(folder / "llama.pt")
    skipped = {n: torch.zeros_like(p) for n, p in llama.state_dict().items() if n not in state}
    llama.load_state_dict(state | skipped)
    clip.load_state_dict(torch.load(folder / "clip.pt"))
    return TextEncoders(llama, clip).eval().requires_grad_(False)
