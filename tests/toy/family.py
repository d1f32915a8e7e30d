"""Toys: a transformer of one layer, and a VAE that packs eight frames and 4x4 pixels."""

from __future__ import annotations

from hunyuan_runner.families.configuration import Component
from hunyuan_runner.families.family import Clip, Family, Tiles
from hunyuan_runner.families.scheduler import SCHEDULER


class Toys(Family):
    """Every clip is guided away from noise."""

    def negative_prompt(self, clip: Clip) -> str | None:
        return clip.negative_prompt or "noise"


TOYS = Toys(
    id="toys",
    pipeline="ToyPipeline",
    engine="hunyuan_runner.engine.toy",
    frames_per_latent=8,
    pixels_per_latent=4,
    pixels_per_token=4,
    readers=(),
    components={
        "scheduler": SCHEDULER,
        "text_encoder": Component(kinds=("toy",)),
        "transformer": Component(kinds=("Toy",), settings={"channels": (6,)}),
        "vae": Component(kinds=("ToyVae",), settings={"latent_channels": (6,)}),
    },
    agreements=(),
    tiles=Tiles(overlaps=(1, 2, 2), shortest=(2, 4, 4), feature_maps=1),
)
