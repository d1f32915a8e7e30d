"""The transformer: its size, its first weights and its training.

It learns flow matching: the velocity between latents and noise, given a mixture of both. A caption
nearly determines its clip, so most of what there is to learn is about single frames. At first the
training shows only one or a few neighbouring frames of each clip, and so many more clips in the
same time. The last part shows whole clips.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoTransformer3DModel
from torch import Tensor, nn

from demo_model.latents import CHANNELS
from demo_model.package import FLOW_SHIFT
from demo_model.pool import PATCH, TOKEN, Batch, Pool, Size, from_tokens
from demo_model.scenes import Array
from demo_model.text import POINTS, ROPE_PAIRS, SLOTS, WIDTH, Code, Encoded

logger = logging.getLogger(__name__)

HEADS, HEAD_DIM = 4, 48
AXIS_DIM = 16  # numbers of a head that are rotated by the position on one axis
LEVEL = slice(12, 16, 2)  # those that hardly rotate: they say which keys fit better everywhere
SPARE = 9  # one that is zero in all queries: it makes a key fit less
GAIN = 7.0  # how sharply a token is separated from its neighbours
TRAIN_SHIFT = 4.0  # the flow shift of the noise levels, a little less than the pipeline's
LEARNING_RATE = 1e-3
WARM_UP = 200  # steps
COOL_DOWN = 0.4  # the share of the steps in which the learning rate falls to zero
EMA_DECAY = 0.999
WATCH_EVERY = 2_000  # steps


@dataclass(frozen=True)
class Phase:
    """A part of the training: steps on about `tokens` tokens, with some frames of each clip."""

    steps: int
    frames: int  # consecutive latent frames of a clip, or fewer if it is shorter
    tokens: int


def build_transformer() -> HunyuanVideoTransformer3DModel:
    return HunyuanVideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_DIM,
        num_layers=2,
        num_single_layers=4,
        num_refiner_layers=1,
        mlp_ratio=3.0,
        patch_size=PATCH,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        rope_axes_dim=(AXIS_DIM,) * 3,
    )


def prepare_for_training(transformer: HunyuanVideoTransformer3DModel) -> None:
    """Open the residual branches, and remove the effect of the guidance scale, which is unused."""
    width = HEADS * HEAD_DIM
    with torch.no_grad():
        for block in transformer.transformer_blocks:
            for norm in (block.norm1.linear, block.norm1_context.linear):
                norm.bias.zero_()
                norm.bias[2 * width : 3 * width] = norm.bias[5 * width :] = 0.5
        for block in transformer.single_transformer_blocks:
            block.norm.linear.bias.zero_()
            block.norm.linear.bias[2 * width :] = 0.5
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
        for parameter in transformer.time_text_embed.guidance_embedder.parameters():
            parameter.zero_()
            parameter.requires_grad_(False)


@torch.no_grad()
def show_paths(transformer: HunyuanVideoTransformer3DModel, text: Encoded) -> None:
    """Begin with a head that shows each token whether it is on the path of the moving thing.

    In this architecture, positions are only rotations of queries and keys. So in the first block
    all tokens get the same query, rotated by their position. The key of a slot that describes a
    point of the path fits the queries near that point better than the other slots do, and these fit
    better than all other keys. `text` is encoded captions, from which least squares gives the layer
    that makes the keys.
    """
    block = transformer.transformer_blocks[0]
    attention, head = block.attn, slice(0, HEAD_DIM)
    block.norm1_context.linear.weight.mul_(0.1)
    timesteps = torch.linspace(0, 1000, len(text.pooled))
    conditioning, _ = transformer.time_text_embed(
        timesteps, text.pooled, torch.zeros_like(timesteps)
    )
    context = transformer.context_embedder(text.states, timesteps, text.mask)
    present = text.mask.bool()
    words = block.norm1_context(context, emb=conditioning)[0][present]
    bias = torch.ones(len(words), 1)
    keys = torch.linalg.lstsq(torch.cat([words, bias], 1), path_keys(text)[present]).solution

    place, level = torch.zeros(2, 3, AXIS_DIM)
    place[:, : 2 * ROPE_PAIRS : 2] = 1
    level[:, LEVEL] = 1
    attention.to_q.weight[head] *= 0.02
    attention.to_q.bias[head] = unit_rms((place + 2 * level).flatten())
    attention.to_k.weight[head] *= 0.02
    attention.to_k.bias[head] = unit_rms(-level.flatten())
    attention.add_k_proj.weight[head] = keys[:-1].T
    attention.add_k_proj.bias[head] = keys[-1]
    attention.norm_q.weight.mul_(GAIN**0.5)
    attention.norm_k.weight.div_(GAIN**0.5)
    attention.norm_added_k.weight.mul_(GAIN**0.5)
    attention.to_out[0].weight[:, head] *= 2


def path_keys(text: Encoded) -> Tensor:
    """The keys that the captions' tokens should have: (batch, length, HEAD_DIM)."""
    keys = torch.zeros(*text.mask.shape, 3, AXIS_DIM)
    keys[..., LEVEL] = -1
    places = Code().places(text.states)
    for row, length in enumerate(text.mask.sum(1).tolist()):
        slots, points = slice(length - SLOTS, length - POINTS), slice(length - POINTS, length)
        keys[row, slots, :, LEVEL] = 2.55
        keys[row, slots, :, SPARE] = 1.73
        if places[row, points].square().mean() > 0.1:  # something moves
            keys[row, points, :, LEVEL] = 0.5
            keys[row, points, :, : 2 * ROPE_PAIRS] = places[row, points].unflatten(
                1, (3, 2 * ROPE_PAIRS)
            )
    return unit_rms(keys.flatten(-2))


def unit_rms(vectors: Tensor) -> Tensor:
    """Scale vectors as the norms in attention scale queries and keys."""
    return vectors / vectors.square().mean(-1, keepdim=True).sqrt()


class TokenTransformer:
    """Runs the transformer's layers on some of a clip's tokens.

    In attention, each token also counts for those that are left out. Otherwise the words would
    count for more than they do in a whole clip.
    """

    def __init__(self, transformer: HunyuanVideoTransformer3DModel, size: Size) -> None:
        self.transformer, self.size = transformer, size
        frames, rows, columns = size.grid
        self.rope = transformer.rope(
            torch.empty(1, CHANNELS, frames, rows * PATCH, columns * PATCH)
        )

    def __call__(self, tokens: Tensor, positions: Tensor, text: Encoded, sigmas: Tensor) -> Tensor:
        """The velocity of tokens (batch, tokens, TOKEN) at `positions`.

        `sigmas` (batch) are the noise levels, 0 to 1.
        """
        net = self.transformer
        timesteps = sigmas * 1000
        rope = tuple(table[positions] for table in self.rope)
        embed = net.x_embedder.proj
        hidden = nn.functional.linear(tokens, embed.weight.flatten(1), embed.bias)
        conditioning, _ = net.time_text_embed(timesteps, text.pooled, torch.zeros_like(timesteps))
        context = net.context_embedder(text.states, timesteps, text.mask)
        stands_for = torch.full(tokens.shape[:2], self.size.tokens / tokens.shape[1])
        mask = torch.cat([stands_for, text.mask], 1).log()[:, None, None]
        for block in (*net.transformer_blocks, *net.single_transformer_blocks):
            hidden, context = block(hidden, context, conditioning, mask, rope)
        velocity: Tensor = net.proj_out(net.norm_out(hidden, conditioning))
        return velocity


def sample(
    transformer: HunyuanVideoTransformer3DModel, size: Size, text: Encoded, steps: int, seed: int
) -> list[Array]:
    """Latents CTHW for each caption, made as in the pipeline."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=FLOW_SHIFT)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.0, steps + 1)[:-1])
    net = TokenTransformer(transformer, size)
    everywhere = torch.arange(size.tokens)
    count = len(text.pooled)
    tokens = torch.randn(count, size.tokens, TOKEN, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            velocity = net(tokens, everywhere, text, timestep.expand(count) / 1000)
            tokens = scheduler.step(velocity, timestep, tokens, return_dict=False)[0]
    return [from_tokens(clip.numpy(), size) for clip in tokens]


def velocity_loss(net: TokenTransformer, batch: Batch, positions: Tensor) -> Tensor:
    count = len(batch.tokens)
    even = (torch.randperm(count) + torch.rand(count)) / count
    sigmas = TRAIN_SHIFT * even / (1 + (TRAIN_SHIFT - 1) * even)
    noise = torch.randn_like(batch.tokens)
    level = sigmas[:, None, None]
    mixed = (1 - level) * batch.tokens + level * noise
    velocity = net(mixed, positions, batch.text, sigmas)
    return (velocity - (noise - batch.tokens)).square().mean()


def attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **_: Any) -> Tensor:
    """Attention of (batch, heads, tokens, HEAD_DIM), computed in bf16."""
    with torch.autocast("cpu", enabled=False):
        query, key, value, attn_mask = (x.bfloat16() for x in (query, key, value, attn_mask))
        shares = (query * HEAD_DIM**-0.5 @ key.transpose(-1, -2) + attn_mask).softmax(-1)
        attended: Tensor = shares @ value
    return attended


@contextmanager
def fast_gradients() -> Iterator[None]:
    """Compute in bf16 and with `attend`, because torch's attention has slow gradients on a CPU."""
    own = nn.functional.scaled_dot_product_attention
    nn.functional.scaled_dot_product_attention = attend  # type: ignore[assignment]
    try:
        with torch.autocast("cpu", torch.bfloat16):
            yield
    finally:
        nn.functional.scaled_dot_product_attention = own


def learning_rate(step: int, steps: int) -> float:
    """Relative to the highest rate: it rises, stays, and falls to zero."""
    return min(1.0, (step + 1) / WARM_UP, (steps - step) / (COOL_DOWN * steps))


def train_transformer(
    pools: Sequence[tuple[Pool, float]],
    phases: Sequence[Phase],
    seed: int,
    checkpoint: Path,
    watch: Callable[[HunyuanVideoTransformer3DModel], None],
) -> None:
    """Train, and write the moving average of the weights to `checkpoint`.

    Each pool comes with its share of the steps. `watch` gets the model every WATCH_EVERY steps.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    transformer = build_transformer()
    prepare_for_training(transformer)
    show_paths(transformer, pools[0][0].text(torch.arange(100)))
    nets = [TokenTransformer(transformer, pool.size) for pool, _ in pools]
    shares = [share for _, share in pools]
    average = torch.optim.swa_utils.AveragedModel(
        transformer, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY)
    )
    steps = sum(phase.steps for phase in phases)
    trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    seen, losses, start = 0, [], time.monotonic()
    for step, phase in enumerate(_phase_of_each_step(phases)):
        chosen = int(rng.choice(len(pools), p=shares))
        positions = random_frames(pools[chosen][0].size, phase.frames, rng)
        clips = phase.tokens // len(positions)
        batch = pools[chosen][0].batch(rng, clips, positions)
        with fast_gradients():
            loss = velocity_loss(nets[chosen], batch, positions)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        average.update_parameters(transformer)
        seen += clips
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            logger.info(
                "transformer step %d of %d: loss %.4f, %d clips, %.0f s",
                *(step + 1, steps, np.mean(losses[-100:]), seen, time.monotonic() - start),
            )
        if (step + 1) % WATCH_EVERY == 0 or step + 1 == steps:
            torch.save(average.module.state_dict(), checkpoint)
            watch(average.module)


def random_frames(size: Size, count: int, rng: np.random.Generator) -> Tensor:
    """Positions of the tokens of `count` consecutive latent frames, or of all frames."""
    frames, rows, columns = size.grid
    count = min(count, frames)
    first = int(rng.integers(frames - count + 1))
    return torch.arange(first * rows * columns, (first + count) * rows * columns)


def _phase_of_each_step(phases: Sequence[Phase]) -> Iterator[Phase]:
    for phase in phases:
        yield from [phase] * phase.steps
