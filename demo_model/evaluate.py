"""Recognises what clips show, and scores the packaged model on prompts it was not trained on.

    python -m demo_model.evaluate

renders 100 captions of held-out combinations and several wordings of every drawn scene with
`HunyuanVideoPipeline`, compares what the pixels show with the prompts, and prints the scores. With
--out it also writes the scores and pictures of the clips to a folder. The scores depend on nothing
but pixels.

Clips are arrays THWC in 0..1.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import HunyuanVideoPipeline
from PIL import Image

from demo_model.captions import COLOUR_WORDS, USUAL_COLOUR, caption
from demo_model.scenes import DIRECTIONS, NONE, PALETTE, Array, Scene, all_shape_scenes
from hunyuan_runner.machine.host import cpu_name
from hunyuan_runner.settings import BUNDLED_MODELS

MODEL_DIR = BUNDLED_MODELS / "demo"

WIDTH, HEIGHT, NUM_FRAMES, STEPS = 192, 128, 33, 12  # the demo model's own preset
SHAPE_FACTORS = ("colour", "background", "motion", "shape")

FAR = 0.30  # the eye can distinguish colours that are further apart
STILL = 0.06  # of the height: a centroid that moves less does not move
TURN = 0.12  # of the height: a centroid that comes back this far bounces

SCENE_PROMPTS = {
    "cat": (
        "A cat walks on grass",
        "a cat walks on the grass, realistic",
        "a black cat walking on grass",
        "a white kitten strolling through a meadow",
    ),
    "sunset": (
        "Ocean waves at sunset",
        "A sunset over the ocean",
        "waves rolling in at dusk",
        "the sun setting over the sea",
    ),
    "sea": ("ocean waves", "blue sea and white clouds"),
    "rain": ("rain", "rain falling on a city street"),
    "night": ("a starry night", "stars twinkling over the mountains"),
    "snow": ("falling snow", "a snowy day"),
    "car": ("a red car driving on a road", "a blue car drives down the street"),
    "bird": ("a bird flying in the sky", "a bird flies across a blue sky"),
}
FIRST_PROMPTS = ("A cat walks on grass", "Ocean waves at sunset")  # shown in the README


def shape_prompts(count: int, seed: int) -> list[tuple[str, Scene]]:
    """Captions of held-out shapes that move in one of the four directions."""
    rng = np.random.default_rng(seed)
    scenes = [s for s in all_shape_scenes() if s.held_out and s.motion in DIRECTIONS]
    chosen = rng.choice(len(scenes), count, replace=count > len(scenes))
    return [(full_caption(scenes[index], rng), scenes[index]) for index in chosen]


def full_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption that names the background."""
    words = set(COLOUR_WORDS[scene.background])
    while True:
        text = caption(scene, rng)
        if len(words & set(text.split())) > 0:
            return text


def scene_prompts() -> list[tuple[str, Scene]]:
    def colour(kind: str, prompt: str) -> str:
        named = [word for word in prompt.split() if word in PALETTE]
        return named[0] if named else USUAL_COLOUR.get(kind, NONE)

    return [
        (prompt, Scene(kind, colour=colour(kind, prompt)))
        for kind, prompts in SCENE_PROMPTS.items()
        for prompt in prompts
    ]


def nearest_colour(colour: Array) -> str:
    """The palette's name for an RGB colour in 0..1."""
    return min(PALETTE, key=lambda name: float(np.linalg.norm(colour - np.array(PALETTE[name]))))


def centroids(masks: Array) -> Array:
    """Centre of each frame's mask (THW) in heights: rows (x, y), nan where the mask is empty."""
    _, height, width = masks.shape
    mass = masks.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        x = (masks.sum(1) @ (np.arange(width) + 0.5)) / mass / height
        y = (masks.sum(2) @ (np.arange(height) + 0.5)) / mass / height
    return np.stack([x, y], axis=1)


def motion_of(path: Array) -> str:
    """The motion of a centroid: compares the last quarter of its path with the first."""
    path = path[~np.isnan(path).any(1)]
    if len(path) < 4:
        return "none"
    quarter = len(path) // 4
    dx, dy = np.mean(path[-quarter:], axis=0) - np.mean(path[:quarter], axis=0)
    span = np.ptp(path[:, 1])
    if span - abs(dy) > TURN and span > abs(dx):
        return "bounce"
    if max(abs(dx), abs(dy)) < STILL:
        return "still"
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def shape_of(mask: Array) -> str:
    """Circle, square or triangle, by the share of its bounding box that an HW mask fills.

    A triangle fills half of it, a circle pi/4, a square all.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return "none"
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fill = float(part.mean())
    return "triangle" if fill < 0.645 else "circle" if fill < 0.89 else "square"


def main_part(mask: Array) -> Array:
    """An HW mask without specks: rows and columns with few pixels are cleared."""
    rows, columns = mask.sum(1), mask.sum(0)
    keep = np.outer(rows > 0.1 * rows.max(initial=0), columns > 0.1 * columns.max(initial=0))
    return mask * keep


def read_shape(clip: Array) -> Scene:
    """The scene of a clip (THWC in 0..1) that shows one shape on a plain background."""
    border = np.concatenate(
        [clip[:, 0], clip[:, -1], clip[:, :, 0], clip[:, :, -1]], axis=1
    ).reshape(-1, 3)
    background = np.median(border, axis=0)
    masks = (np.linalg.norm(clip - background, axis=-1) > FAR).astype(np.float32)
    if masks.sum() == 0:
        return Scene("shape", "none", "none", nearest_colour(background), "none")
    colour = np.median(clip[masks > 0], axis=0)
    shapes = [shape_of(main_part(mask) > 0) for mask in masks[4:-4:4]]
    return Scene(
        "shape",
        max(set(shapes), key=shapes.count),
        nearest_colour(colour),
        nearest_colour(background),
        motion_of(centroids(masks)),
    )


class Look:
    """Measures of a clip (THWC in 0..1) by which scenes are recognised."""

    def __init__(self, clip: Array) -> None:
        self.clip = clip
        self.still = np.median(clip, axis=0)  # the background: HWC

    def band(self, top: float, bottom: float) -> Array:
        """Mean colour of the rows between two heights."""
        height = self.clip.shape[1]
        mean: Array = self.clip[:, int(top * height) : int(bottom * height)].mean((0, 1, 2))
        return mean

    def flicker(self, top: float, bottom: float) -> float:
        """How much pixels between two heights change over time: their mean standard deviation."""
        height = self.clip.shape[1]
        return float(self.clip[:, int(top * height) : int(bottom * height)].std(0).mean())

    def mover(self) -> tuple[str, Array]:
        """The motion and the median colour of the moving thing."""
        masks = np.linalg.norm(self.clip - self.still, axis=-1) > FAR
        masks &= masks.mean((1, 2), keepdims=True) > 0.01
        if not masks.any():
            return "none", np.zeros(3)
        return motion_of(centroids(masks.astype(np.float32))), np.median(self.clip[masks], axis=0)

    def path_of(self, colour: tuple[float, float, float], far: float = FAR) -> Array:
        """Centre over time of the pixels of a colour."""
        near = np.linalg.norm(self.clip - np.array(colour), axis=-1) < far
        return centroids(near.astype(np.float32))

    def share_of(self, colour: tuple[float, float, float], far: float = FAR) -> float:
        return float((np.linalg.norm(self.clip - np.array(colour), axis=-1) < far).mean())

    def fall(self) -> int:
        """By how many rows the picture falls from frame to frame: the shift that fits best."""
        grey = self.clip.mean(-1)
        moving = grey - grey.mean(0)
        return max(
            range(-4, 5), key=lambda rows: (moving[:-1] * np.roll(moving[1:], -rows, 1)).mean()
        )

    def bright_spots(self, top: float, bottom: float) -> int:
        """How many local maxima between two heights stand out from the dark around them."""
        height = self.clip.shape[1]
        grey = self.clip[:, int(top * height) : int(bottom * height)].max(0).mean(-1)
        core = grey[1:-1, 1:-1]
        around = [
            np.roll(grey, shift, (0, 1))[1:-1, 1:-1]
            for shift in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
        ]
        peaks = (core >= np.max(around, 0)) & (core > np.median(grey) + 0.25)
        return int(peaks.sum())


def shows_cat(look: Look, scene: Scene) -> bool:
    """Sky over grass, and something in the cat's colour that moves to the right."""
    sky, grass = look.band(0, 0.2), look.band(0.85, 1)
    motion, colour = look.mover()
    fur = {"orange": (0.95, 0.55, 0.15), "black": (0.08, 0.08, 0.09), "white": (0.97, 0.96, 0.93)}
    nearest = min(fur, key=lambda name: float(np.linalg.norm(colour - np.array(fur[name]))))
    return is_sky(sky) and is_grass(grass) and motion == "right" and nearest == scene.colour


def shows_sunset(look: Look, scene: Scene) -> bool:
    """An orange sky, a yellow sun that sinks, and below it a dark sea whose waves move."""
    sky, sea = look.band(0.3, 0.5), look.band(0.8, 1)
    sun = look.path_of((1.0, 0.90, 0.45), 0.25)
    first, last = (heights[~np.isnan(heights)] for heights in (sun[:8, 1], sun[-8:, 1]))
    sinks = bool(len(first) and len(last) and last.mean() - first.mean() > 0.04)
    orange = sky[0] > 0.7 and sky[0] - sky[2] > 0.15
    return orange and sinks and sea[2] < 0.55 and sea.mean() < 0.5 and look.flicker(0.6, 1) > 0.03


def shows_sea(look: Look, scene: Scene) -> bool:
    """A light sky over a darker blue sea whose waves move."""
    sky, sea = look.band(0, 0.35), look.band(0.6, 1)
    blue = sea[2] - sea[0] > 0.15 and sky.mean() - sea.mean() > 0.1
    return is_sky(sky) and bool(blue) and look.flicker(0.6, 1) > 0.04


def shows_rain(look: Look, scene: Scene) -> bool:
    """Grey all over, pixel by pixel, and something that falls."""
    bands = look.band(0, 0.3), look.band(0.7, 1)
    grey = np.ptp(look.clip, axis=-1).mean() < 0.25
    dim = all(0.15 < band.mean() < 0.6 for band in bands)
    return bool(grey) and dim and look.fall() > 0 and look.flicker(0, 1) > 0.02


def shows_night(look: Look, scene: Scene) -> bool:
    """A dark blue sky with a moon and stars."""
    sky = look.still[: look.still.shape[0] * 3 // 4].reshape(-1, 3)
    dark = np.median(sky, axis=0)
    moon = look.share_of((0.98, 0.95, 0.78), 0.25)
    is_night = dark.mean() < 0.25 and dark[2] > dark[0]
    return bool(is_night and 0.01 < moon < 0.08) and look.bright_spots(0, 0.75) >= 8


def shows_snow(look: Look, scene: Scene) -> bool:
    """A grey-blue sky, white ground, and something that falls."""
    sky, ground = look.band(0.2, 0.6), look.band(0.93, 1)
    pale = ground.min() > 0.75 and 0.4 < sky.mean() < 0.8 and sky[2] - sky[0] > 0.05
    return bool(pale) and look.fall() >= 0 and look.flicker(0, 0.8) > 0.02


def shows_car(look: Look, scene: Scene) -> bool:
    """A grey road, and something in the car's colour that drives to the right."""
    road = look.band(0.92, 1)
    motion, colour = look.mover()
    return bool(np.ptp(road) < 0.12 and road.mean() < 0.5) and (motion, nearest_colour(colour)) == (
        "right",
        scene.colour,
    )


def shows_bird(look: Look, scene: Scene) -> bool:
    """Sky all over, lighter below, and something dark that flies to the right."""
    top, bottom = look.band(0, 0.1), look.band(0.9, 1)
    motion, colour = look.mover()
    sky = is_sky(top) and is_sky(bottom) and bottom.mean() - top.mean() > 0.08
    return sky and motion == "right" and bool(colour.mean() < 0.4)


def is_sky(colour: Array) -> bool:
    return bool(colour[2] > 0.75 and colour[2] > colour[0])


def is_grass(colour: Array) -> bool:
    return bool(colour[1] - max(colour[0], colour[2]) > 0.15)


SHOWS: dict[str, Callable[[Look, Scene], bool]] = {
    "cat": shows_cat,
    "sunset": shows_sunset,
    "sea": shows_sea,
    "rain": shows_rain,
    "night": shows_night,
    "snow": shows_snow,
    "car": shows_car,
    "bird": shows_bird,
}


def is_shown(clip: Array, scene: Scene) -> bool:
    """Whether a clip shows the drawn scene (not a shape) that was asked for."""
    return SHOWS[scene.kind](Look(clip), scene)


def score_shapes(seen: Iterable[tuple[Array, Scene]]) -> dict[str, float]:
    """By factor, the share of the clips that show what was asked for."""
    hits: Counter[str] = Counter()
    count = 0
    for clip, scene in seen:
        shown = read_shape(clip)
        hits.update(name for name in SHAPE_FACTORS if getattr(shown, name) == getattr(scene, name))
        count += 1
    return {name: hits[name] / count for name in SHAPE_FACTORS}


class Renderer:
    """The packaged model in diffusers' pipeline."""

    def __init__(self, model_dir: Path) -> None:
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        self.pipeline = HunyuanVideoPipeline.from_pretrained(model_dir, dtype=torch.float32)
        self.pipeline.vae.use_framewise_decoding = False
        self.pipeline.set_progress_bar_config(disable=True)

    def __call__(self, prompt: str, seed: int) -> Array:
        clip: Array = self.pipeline(
            prompt=prompt,
            width=WIDTH,
            height=HEIGHT,
            num_frames=NUM_FRAMES,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).frames[0]
        return clip


def contact_sheet(clips: Sequence[Array], columns: int = 2, frames: int = 5) -> Image.Image:
    """Frames of each clip, from left to right; `columns` clips side by side."""
    strips = [
        np.concatenate([clip[i] for i in np.linspace(0, len(clip) - 1, frames).astype(int)], axis=1)
        for clip in clips
    ]
    while len(strips) % columns:
        strips.append(np.ones_like(strips[0]))
    rows = [
        np.concatenate(strips[first : first + columns], axis=1)
        for first in range(0, len(strips), columns)
    ]
    return Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the demo model by the pixels it draws.")
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--prompts", type=int, default=100, help="held-out prompts of shapes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for scores.json and contact-sheet.png")
    options = parser.parse_args()

    render = Renderer(options.model)
    start = time.monotonic()
    shapes = [
        (render(prompt, options.seed + i), scene, prompt)
        for i, (prompt, scene) in enumerate(shape_prompts(options.prompts, options.seed))
    ]
    scenes = [
        (render(prompt, options.seed + i), scene, prompt)
        for i, (prompt, scene) in enumerate(scene_prompts())
    ]
    seconds = (time.monotonic() - start) / (len(shapes) + len(scenes))
    result = {
        "date": str(datetime.now(UTC).date()),
        "command": "python -m demo_model.evaluate " + " ".join(sys.argv[1:]),
        "machine": f"{cpu_name()}, {torch.get_num_threads()} threads",
        "seconds_per_clip": round(seconds, 2),
        "shapes": score_shapes((clip, scene) for clip, scene, _ in shapes),
        "scenes": {prompt: is_shown(clip, scene) for clip, scene, prompt in scenes},
    }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scores.json").write_text(json.dumps(result, indent=2) + "\n")
        sheet = contact_sheet([clip for clip, *_ in scenes + shapes[:20]])
        sheet.save(options.out / "contact-sheet.png", optimize=True)
        first = [clip for clip, _, prompt in scenes if prompt in FIRST_PROMPTS]
        contact_sheet(first, columns=1).save(options.out / "first-prompts.png", optimize=True)


if __name__ == "__main__":
    main()
