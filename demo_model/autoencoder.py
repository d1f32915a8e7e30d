"""The autoencoder: its size, its first weights and its training.

Both halves learn the linear map of `latents.py`: the encoder gives its latents, and the decoder
draws the clip that they were made from.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKLHunyuanVideo
from torch import Tensor, nn

from demo_model.latents import CHANNELS, SPACE, TIME, Basis
from demo_model.scenes import Array, draw, random_scene

logger = logging.getLogger(__name__)

BLOCK_CHANNELS = (8, 16, 32, 64)
CARRIED = 8  # channels that the shortcuts pass through unchanged
CONSTANT = 6.0  # value of the constant channel among them; colours are about 1
LOG_VARIANCE = -15.0  # of the encoder's latents, because they are exact
LATENT_NOISE = 0.03  # at most, added in training, because the transformer's latents are not exact
DRAWN_CLIPS = 500  # that crops are cut from
LEARNING_RATE = 6e-4
TINT_WEIGHT = 0.2  # in the loss, of an error that a whole crop has in common


def build_vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=CHANNELS,
        block_out_channels=BLOCK_CHANNELS,
        layers_per_block=1,
        norm_num_groups=1,
        scaling_factor=1.0,
        spatial_compression_ratio=SPACE,
        temporal_compression_ratio=TIME,
        mid_block_add_attention=False,
    )


@dataclass(frozen=True)
class Phase:
    """A part of the training: this many steps, on batches of crops of this size."""

    steps: int
    crops: int
    width: int
    height: int
    num_frames: int


@torch.no_grad()
def prepare(vae: AutoencoderKLHunyuanVideo, basis: Basis) -> None:
    """Set first weights with which both halves pass on each block's mean colour.

    Every picture passes a GroupNorm at the end, which erases absolute colour. It does not if
    colours come in pairs of opposite sign with a large constant: then the norm divides by the
    constant, and silu(x) - silu(-x) is x again. The shortcuts pass such pairs through from one end
    to the other. The residual branches learn what to add to them.
    """
    for half in (vae.encoder, vae.decoder):
        resnets = [*half.mid_block.resnets]
        for block in (*getattr(half, "down_blocks", ()), *getattr(half, "up_blocks", ())):
            resnets += block.resnets
            for upsampler in getattr(block, "upsamplers", None) or ():
                carry(upsampler.conv.conv)
            for downsampler in getattr(block, "downsamplers", None) or ():
                carry(downsampler.conv.conv)
        for resnet in resnets:
            resnet.conv2.conv.weight.mul_(0.1)
            resnet.conv2.conv.bias.zero_()
            if resnet.conv_shortcut is not None:
                carry(resnet.conv_shortcut.conv)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        nn.init.dirac_(conv.weight)
        conv.bias.zero_()

    mean = torch.from_numpy(basis.mean).reshape(3, -1).mean(1)
    to_colour = torch.from_numpy(basis.synthesis).reshape(CHANNELS, 3, -1).mean(2).T
    to_latents = torch.from_numpy(basis.analysis).reshape(3, -1, CHANNELS).sum(1).T
    identity = torch.eye(3)
    begin(vae.decoder.conv_in.conv, to_colour, mean)
    finish(vae.decoder.conv_out.conv, identity, torch.zeros(3), BLOCK_CHANNELS[0])
    begin(vae.encoder.conv_in.conv, identity, torch.zeros(3))
    finish(vae.encoder.conv_out.conv, to_latents, -to_latents @ mean, BLOCK_CHANNELS[-1])
    vae.encoder.conv_out.conv.bias[CHANNELS:] = LOG_VARIANCE


def begin(conv: nn.Conv3d, to_colour: Tensor, mean: Tensor) -> None:
    """Make the input into colours, their negatives and the constants."""
    conv.weight[:CARRIED] = 0
    conv.weight[:3, :, -1, 1, 1] = to_colour
    conv.weight[3:6, :, -1, 1, 1] = -to_colour
    assert conv.bias is not None
    conv.bias[:CARRIED] = torch.cat([mean, -mean, torch.tensor([CONSTANT, -CONSTANT])])


def carry(conv: nn.Conv3d) -> None:
    """Pass the carried channels through; average pairs where the stride is two."""
    assert conv.bias is not None
    conv.weight[:CARRIED] = 0
    conv.bias[:CARRIED] = 0
    taps = [
        slice(-stride, None) if size == 3 else slice(None)
        for size, stride in zip(conv.kernel_size, conv.stride, strict=True)
    ]
    if conv.kernel_size[1] == 3 and conv.stride[1] == 1:
        taps[1] = taps[2] = slice(1, 2)
    for channel in range(CARRIED):
        kernel = conv.weight[channel, channel][tuple(taps)]
        kernel.fill_(1 / kernel.numel())


def finish(conv: nn.Conv3d, from_colour: Tensor, bias: Tensor, channels: int) -> None:
    """Make the output from the pairs of colours, after the norm divided them by the constants."""
    assert conv.bias is not None
    scale = CONSTANT * (2 / channels) ** 0.5
    conv.weight.zero_()
    conv.bias.zero_()
    conv.weight[: len(bias), :3, -1, 1, 1] = scale * from_colour
    conv.weight[: len(bias), 3:6, -1, 1, 1] = -scale * from_colour
    conv.bias[: len(bias)] = bias


def draw_clips(seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    clips = (draw(random_scene(rng), rng, 192, 128, 33) for _ in range(DRAWN_CLIPS))
    return [np.round(clip * 255).astype(np.uint8) for clip in clips]


def random_crops(
    clips: Sequence[Array], basis: Basis, rng: np.random.Generator, phase: Phase
) -> tuple[Tensor, Tensor]:
    """Random crops (-1..1) and their latents, as if each crop were a whole clip; both NCTHW."""
    crops = []
    for index in rng.integers(len(clips), size=phase.crops):
        clip = clips[index]
        _, frames, height, width = clip.shape
        t = rng.integers(frames - phase.num_frames + 1)
        y = SPACE * rng.integers((height - phase.height) // SPACE + 1)
        x = SPACE * rng.integers((width - phase.width) // SPACE + 1)
        crop = clip[:, t : t + phase.num_frames, y : y + phase.height, x : x + phase.width]
        crops.append(crop.astype(np.float32) / 255)
    latents = np.stack([basis.encode(crop) for crop in crops])
    return torch.from_numpy(np.stack(crops) * 2 - 1), torch.from_numpy(latents)


def detail_loss(errors: Tensor) -> Tensor:
    """Mean absolute value of errors NCTHW, in which the mean of each crop, its tint, counts little.

    All weights of a convolution together change the tint. With its full weight, each step would
    mostly correct the tint of the step before, and little else would be learnt.
    """
    tint = errors.mean((2, 3, 4), keepdim=True)
    return (errors - tint).abs().mean() + TINT_WEIGHT * tint.abs().mean()


def train(
    name: str,
    parameters: Sequence[nn.Parameter],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    crops_of: Callable[[Phase], tuple[Tensor, Tensor]],
    phases: Sequence[Phase],
) -> None:
    steps = sum(phase.steps for phase in phases)
    optimizer = torch.optim.AdamW(
        parameters, LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.99), fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        LEARNING_RATE,
        total_steps=steps,
        pct_start=0.1,
        cycle_momentum=False,
    )
    losses: list[float] = []
    start = time.monotonic()
    for phase in phases:
        for _ in range(phase.steps):
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(*crops_of(phase))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if len(losses) % 500 == 0:
                logger.info(
                    "%s step %d of %d: loss %.4f, %.0f s",
                    *(name, len(losses), steps, np.mean(losses[-500:]), time.monotonic() - start),
                )


def train_vae(
    basis: Basis, decoder_phases: Sequence[Phase], encoder_phases: Sequence[Phase], seed: int
) -> AutoencoderKLHunyuanVideo:
    torch.manual_seed(seed)
    vae = build_vae()
    prepare(vae, basis)

    def decoder_loss(clips: Tensor, latents: Tensor) -> Tensor:
        level = LATENT_NOISE * torch.rand(len(latents), 1, 1, 1, 1)
        pixels = vae.decoder(vae.post_quant_conv(latents + level * torch.randn_like(latents)))
        return detail_loss(pixels.float() - clips)

    def encoder_loss(clips: Tensor, latents: Tensor) -> Tensor:
        encoded = vae.quant_conv(vae.encoder(clips))
        mean, log_variance = encoded.chunk(2, dim=1)
        exactness = (log_variance - LOG_VARIANCE).square().mean()
        loss: Tensor = (mean - latents).square().mean() + 1e-3 * exactness
        return loss

    clips, rng = draw_clips(seed), np.random.default_rng(seed)

    def crops_of(phase: Phase) -> tuple[Tensor, Tensor]:
        return random_crops(clips, basis, rng, phase)

    decoder = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    train("decoder", decoder, decoder_loss, crops_of, decoder_phases)
    encoder = [*vae.encoder.parameters(), *vae.quant_conv.parameters()]
    train("encoder", encoder, encoder_loss, crops_of, encoder_phases)
    return vae.eval().requires_grad_(False)
