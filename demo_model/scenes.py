"""The small world that the demo model knows: what a clip can show, and how it is drawn.

A `Scene` holds the attributes a caption names. `draw` turns it into pixels; its `rng` decides only
small things (position, size, speed), so a caption nearly determines its clip.

Lengths are fractions of the frame's height unless said otherwise, y points down, and clips are
float32 arrays in 0..1 with axes CTHW (colour, time, height, width).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Colour = tuple[float, float, float]

NONE = "none"
PALETTE: dict[str, Colour] = {
    "red": (0.90, 0.10, 0.10),
    "green": (0.10, 0.65, 0.20),
    "blue": (0.10, 0.25, 0.90),
    "yellow": (0.98, 0.88, 0.10),
    "orange": (1.00, 0.52, 0.05),
    "purple": (0.55, 0.15, 0.75),
    "white": (0.97, 0.97, 0.97),
    "black": (0.04, 0.04, 0.04),
}
SHAPES = ("circle", "square", "triangle")
COLOURS = tuple(PALETTE)
DIRECTIONS = ("left", "right", "up", "down")
MOTIONS = (*DIRECTIONS, "still", "bounce")
CAT_COLOURS = ("orange", "black", "white")
CAR_COLOURS = ("red", "blue", "yellow", "white", "green")
KINDS = ("shape", "cat", "sunset", "sea", "rain", "night", "snow", "car", "bird")
MOVING = ("shape", "cat", "sunset", "car", "bird")
KIND_WEIGHTS = (0.50, 0.11, 0.09, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05)

REFERENCE_FRAMES = 33  # speeds are chosen so that a motion is complete after this many frames


@dataclass(frozen=True)
class Scene:
    """What a clip shows; attributes that do not apply to its kind are `none`."""

    kind: str
    shape: str = NONE
    colour: str = NONE
    background: str = NONE
    motion: str = NONE

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept from all training (a tenth of the shapes')."""
        if self.kind != "shape":
            return False
        key = f"{self.shape}|{self.colour}|{self.background}|{self.motion}"
        return hashlib.sha256(key.encode()).digest()[0] % 10 == 0


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "kind": (NONE, *KINDS),
    "shape": (NONE, *SHAPES),
    "colour": (NONE, *COLOURS),
    "background": (NONE, *COLOURS),
    "motion": (NONE, *MOTIONS),
}


def all_shape_scenes() -> list[Scene]:
    """Every combination of shape, colour, other background colour and motion."""
    return [
        Scene("shape", shape, colour, background, motion)
        for shape in SHAPES
        for colour in COLOURS
        for background in COLOURS
        if background != colour
        for motion in MOTIONS
    ]


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene for training; never one that is held out."""
    kind = str(rng.choice(KINDS, p=KIND_WEIGHTS))
    if kind == "cat":
        return Scene(kind, colour=str(rng.choice(CAT_COLOURS, p=(0.6, 0.2, 0.2))))
    if kind == "car":
        return Scene(kind, colour=str(rng.choice(CAR_COLOURS)))
    if kind != "shape":
        return Scene(kind)
    while True:
        colour, background = rng.choice(COLOURS, size=2, replace=False)
        motion = rng.choice(MOTIONS, p=(0.21, 0.21, 0.21, 0.21, 0.07, 0.09))
        scene = Scene(kind, str(rng.choice(SHAPES)), str(colour), str(background), str(motion))
        if not scene.held_out:
            return scene


@dataclass(frozen=True)
class Grid:
    """Coordinates of a clip's pixels: x, y in heights, t in frames; they broadcast to THW."""

    width: int
    height: int
    num_frames: int
    window: tuple[slice, slice] = (slice(None), slice(None))  # rows and columns

    @property
    def x(self) -> Array:
        columns = np.arange(self.width, dtype=np.float32)[self.window[1]]
        return ((columns + 0.5) / self.height)[None, None, :]

    @property
    def y(self) -> Array:
        rows = np.arange(self.height, dtype=np.float32)[self.window[0]]
        return ((rows + 0.5) / self.height)[None, :, None]

    @property
    def t(self) -> Array:
        return np.arange(self.num_frames, dtype=np.float32)[:, None, None]

    @property
    def progress(self) -> Array:
        """0 at the first frame, 1 at frame `REFERENCE_FRAMES`."""
        return self.t / (REFERENCE_FRAMES - 1)

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def fill(self, distance: Array) -> Array:
        """Anti-aliased coverage of a signed distance (negative inside)."""
        coverage: Array = np.clip(0.5 - distance * self.height, 0, 1, dtype=np.float32)
        return coverage


class Canvas:
    """A clip being painted, back to front."""

    def __init__(self, grid: Grid, clip: Array | None = None) -> None:
        self.grid = grid
        shape = (3, grid.num_frames, grid.height, grid.width)
        self.clip = np.zeros(shape, np.float32) if clip is None else clip

    def near(self, x: Array | float, y: Array | float, reach: float) -> "Canvas":
        """The part within `reach` of a path: small things need not touch every pixel."""

        def pixels(path: Array | float, size: int) -> slice:
            first, last = (np.min(path) - reach, np.max(path) + reach)
            first, last = first * self.grid.height - 1, last * self.grid.height + 1
            return slice(int(np.clip(first, 0, size - 1)), int(np.clip(last, 1, size)))

        grid = self.grid
        window = pixels(y, grid.height), pixels(x, grid.width)
        return Canvas(replace(grid, window=window), self.clip[:, :, window[0], window[1]])

    def paint(self, coverage: Array | float, colour: Colour | Array) -> None:
        """Blend a colour (three numbers, or an array CTHW) over the clip where it covers."""
        for channel, value in zip(self.clip, colour, strict=True):
            channel += coverage * (value - channel)

    def gradient(self, top: Colour, bottom: Colour, end: float = 1.0) -> None:
        """Fill with a vertical gradient that reaches `bottom` at height `end`."""
        ramp = np.clip(self.grid.y / end, 0, 1)
        for channel, a, b in zip(self.clip, top, bottom, strict=True):
            channel[:] = a + (b - a) * ramp

    def disc(self, x: Array | float, y: Array | float, radius: float, colour: Colour) -> None:
        grid = self.grid
        self.paint(grid.fill(length(grid.x - x, grid.y - y) - radius), colour)


def length(dx: Array, dy: Array) -> Array:
    """Faster than `np.hypot`, which guards against overflow."""
    distance: Array = np.sqrt(dx * dx + dy * dy)
    return distance


def capsule(
    grid: Grid, start: tuple[Array, Array], end: tuple[Array, Array], radius: float
) -> Array:
    """Signed distance to a thick line whose ends may move with time."""
    dx, dy = grid.x - start[0], grid.y - start[1]
    ex, ey = end[0] - start[0], end[1] - start[1]
    along = np.clip((dx * ex + dy * ey) / (ex * ex + ey * ey + 1e-8), 0, 1)
    return length(dx - along * ex, dy - along * ey) - radius


def box(
    dx: Array, dy: Array, half_width: float, half_height: float, rounding: float = 0.0
) -> Array:
    """Signed distance to a rectangle (exact inside and at the sides)."""
    outside = np.maximum(np.abs(dx) - half_width, np.abs(dy) - half_height)
    if not rounding:
        return outside
    qx = np.maximum(np.abs(dx) - half_width + rounding, 0)
    qy = np.maximum(np.abs(dy) - half_height + rounding, 0)
    return np.where((qx > 0) & (qy > 0), length(qx, qy) - rounding, outside)


def triangle(dx: Array, dy: Array, inradius: float) -> Array:
    """Signed distance to an equilateral triangle that points up."""
    return np.maximum(dy - inradius, np.abs(dx) * 0.866 - dy * 0.5 - inradius)


class Uniform(Protocol):
    """Chooses small things: a random generator, or `_Middle`."""

    def uniform(self, low: float, high: float, /) -> float: ...


class _Middle:
    """Always chooses the most usual."""

    def uniform(self, low: float, high: float, /) -> float:
        return (low + high) / 2


def jitter(rng: Uniform, amount: float) -> float:
    return float(rng.uniform(-amount, amount))


def shape_path(motion: str, grid: Grid, rng: Uniform) -> tuple[Array, Array]:
    """Centre of a moving shape over time, in heights."""
    x = grid.aspect * (0.5 + jitter(rng, 0.02))
    y = 0.5 + jitter(rng, 0.02)
    travel = 0.48 + jitter(rng, 0.02)
    shift = (grid.progress - 0.5) * travel
    still = np.zeros_like(shift)
    if motion == "bounce":
        height = np.abs(np.cos(np.pi * (grid.t / 16 + jitter(rng, 0.03))))
        return x + still, 0.72 + jitter(rng, 0.01) - 0.44 * height
    dx = {"left": -shift, "right": shift}.get(motion, still)
    dy = {"up": -shift, "down": shift}.get(motion, still)
    return x + dx * grid.aspect, y + dy


def path(scene: Scene, grid: Grid, rng: Uniform) -> tuple[Array, Array]:
    """Centre over time, in heights, of the moving thing in a scene of a kind in MOVING."""
    still = np.zeros_like(grid.progress)
    match scene.kind:
        case "shape":
            return shape_path(scene.motion, grid, rng)
        case "sunset":
            x, y = 0.5 + jitter(rng, 0.02) + still, 0.30 + jitter(rng, 0.01) + 0.17 * grid.progress
        case "cat":
            x, y = 0.28 + jitter(rng, 0.02) + 0.40 * grid.progress, 0.60 + jitter(rng, 0.01) + still
        case "car":
            x, y = 0.27 + jitter(rng, 0.02) + 0.46 * grid.progress, 0.62 + jitter(rng, 0.01) + still
        case "bird":
            x, y = 0.27 + jitter(rng, 0.02) + 0.46 * grid.progress, 0.48 + jitter(rng, 0.02) + still
    return grid.aspect * x, y


def usual_path(scene: Scene, grid: Grid) -> tuple[Array, Array] | None:
    """The path that the moving thing takes in most clips of a scene, if there is one."""
    return path(scene, grid, _Middle()) if scene.kind in MOVING else None


def draw_shape(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.paint(1.0, PALETTE[scene.background])
    x, y = path(scene, grid, rng)
    part = canvas.near(x, y, 0.33)
    dx, dy = part.grid.x - x, part.grid.y - y
    size = 1 + jitter(rng, 0.05)
    if scene.shape == "circle":
        distance = length(dx, dy) - 0.20 * size
    elif scene.shape == "square":
        distance = box(dx, dy, 0.18 * size, 0.18 * size)
    else:
        distance = triangle(dx, dy, 0.14 * size)
    part.paint(grid.fill(distance), PALETTE[scene.colour])


def draw_cat(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.45, 0.72, 0.96), (0.75, 0.90, 1.0), 0.5)
    blades = 0.05 * np.sin(grid.x * 22) * np.sin(grid.y * 19)
    ground = grid.fill(0.55 + 0.012 * np.sin(grid.x * 9) - grid.y)
    canvas.paint(ground, (0.20 + blades, 0.62 + blades, 0.16 + blades))
    fur = {"orange": (0.95, 0.55, 0.15), "black": (0.08, 0.08, 0.09), "white": (0.97, 0.96, 0.93)}
    colour = fur[scene.colour]
    x, y = path(scene, grid, rng)
    stride = grid.t * (2 * np.pi / 16) + jitter(rng, 0.2)
    y = y + 0.008 * np.sin(2 * stride)
    canvas = canvas.near(x, y, 0.4)
    grid = canvas.grid
    parts = [capsule(grid, (x - 0.15, y), (x + 0.13, y), 0.095)]
    for hip, phase in ((-0.17, 0.0), (-0.11, np.pi), (0.09, np.pi), (0.15, 0.0)):
        foot = x + hip + 0.055 * np.sin(stride + phase)
        parts.append(capsule(grid, (x + hip, y + 0.04), (foot, y + 0.22), 0.027))
    tail = 0.05 * np.sin(stride / 2)
    parts.append(capsule(grid, (x - 0.22, y - 0.03), (x - 0.33 + tail, y - 0.22), 0.024))
    hx, hy = grid.x - (x + 0.23), grid.y - (y - 0.12)
    parts.append(length(hx, hy) - 0.105)
    parts += [triangle(hx - side, hy + 0.10, 0.026) for side in (-0.06, 0.06)]
    canvas.paint(grid.fill(np.minimum.reduce(np.broadcast_arrays(*parts))), colour)
    eye = (0.75, 0.85, 0.20) if scene.colour == "black" else (0.08, 0.10, 0.08)
    canvas.disc(x + 0.265, y - 0.14, 0.018, eye)


def waves(canvas: Canvas, horizon: float, deep: Colour, crest: Colour, phase: float) -> None:
    """Sea below the horizon whose bands of light roll towards the viewer."""
    grid = canvas.grid
    swell = 0.02 * np.sin(grid.x * 7 + grid.t * 0.30 + phase)
    band = 0.5 + 0.5 * np.sin(
        (grid.y + swell - horizon) * (2 * np.pi / 0.15) - grid.t * 0.35 + phase
    )
    canvas.paint(grid.fill(horizon - grid.y), deep)
    canvas.paint(grid.fill(horizon + 0.015 - grid.y) * 0.75 * band * band, crest)


def draw_sunset(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.42, 0.20, 0.45), (1.0, 0.55, 0.18), 0.55)
    x, y = path(scene, grid, rng)
    glow = np.exp(-length(grid.x - x, grid.y - y) / 0.22)
    canvas.paint(0.6 * glow, (1.0, 0.75, 0.30))
    canvas.disc(x, y, 0.15 * (1 + jitter(rng, 0.05)), (1.0, 0.90, 0.45))
    waves(canvas, 0.55, (0.10, 0.14, 0.34), (0.55, 0.40, 0.50), jitter(rng, 0.3))
    glint = np.exp(-(((grid.x - x) / (0.08 + 0.25 * (grid.y - 0.5))) ** 2))
    ripple = 0.6 + 0.4 * np.sin((grid.y - 0.55) * (2 * np.pi / 0.15) - grid.t * 0.35)
    canvas.paint(grid.fill(0.55 - grid.y) * glint * 0.8 * ripple, (1.0, 0.62, 0.25))


def clouds(canvas: Canvas, x: float, y: float, colour: Colour, drift: float = 0.0) -> None:
    grid = canvas.grid
    left = x + drift * grid.t
    part = canvas.near(left + 0.1, y, 0.22)
    for dx, dy, radius in ((0.0, 0.0, 0.07), (0.10, -0.03, 0.09), (0.21, 0.0, 0.07)):
        part.disc(left + dx, y + dy, radius, colour)


def draw_sea(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((0.40, 0.70, 0.97), (0.80, 0.92, 1.0), 0.45)
    clouds(canvas, canvas.grid.aspect * (0.2 + jitter(rng, 0.02)), 0.2, (1.0, 1.0, 1.0), 0.003)
    waves(canvas, 0.45, (0.05, 0.30, 0.62), (0.75, 0.92, 0.97), jitter(rng, 0.3))


@lru_cache
def scatter(name: str, count: int) -> Array:
    """The same `count` points of the unit square in every clip: drops, flakes, stars."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    rows = np.arange(count)
    spread = np.random.default_rng(seed).uniform(-0.3, 0.3, (count, 2)) / np.sqrt(count)
    points: Array = np.stack([(rows * 0.618034) % 1, (rows + 0.5) / count], axis=1) + spread
    return points


def falling(y: float, speed: float, grid: Grid) -> Array:
    """Height over time of something that falls, leaves below and enters again above."""
    return (y + speed * grid.t) % 1.3 - 0.15


def draw_rain(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.34, 0.38, 0.45), (0.20, 0.23, 0.30))
    for x in (0.05, 0.30, 0.55, 0.80):
        clouds(canvas, grid.aspect * x - 0.1, 0.08, (0.52, 0.55, 0.60))
    phase = rng.uniform(0, 0.03)
    for x, y in scatter("rain", 26):
        height = falling(1.3 * y + phase, 0.02, grid)
        part = canvas.near(grid.aspect * x, height, 0.07)
        dx, dy = part.grid.x - grid.aspect * x, part.grid.y - height
        part.paint(grid.fill(box(dx, dy, 0.013, 0.065)), (0.68, 0.82, 0.97))


def draw_snow(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.36, 0.46, 0.62), (0.62, 0.70, 0.82))
    canvas.paint(grid.fill(0.84 + 0.02 * np.sin(grid.x * 5) - grid.y), (0.95, 0.97, 1.0))
    phase = rng.uniform(0, 0.03)
    for x, y in scatter("snow", 30):
        sway = 0.02 * np.sin(grid.t * 0.2 + 20 * x)
        height = falling(1.3 * y + phase, 0.011, grid)
        part = canvas.near(grid.aspect * x + sway, height, 0.03)
        part.disc(grid.aspect * x + sway, height, 0.026, (1, 1, 1))


def draw_night(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.02, 0.03, 0.14), (0.08, 0.11, 0.32))
    phase = rng.uniform(0, 0.5)
    for x, y in scatter("night", 26):
        shine = 0.6 + 0.4 * np.sin(grid.t * 0.35 + 40 * x + phase)
        part = canvas.near(grid.aspect * x, 0.78 * y, 0.02)
        distance = length(part.grid.x - grid.aspect * x, part.grid.y - 0.78 * y)
        part.paint(grid.fill(distance - 0.016) * shine, (1.0, 1.0, 0.92))
    canvas.disc(grid.aspect * (0.76 + jitter(rng, 0.02)), 0.26, 0.12, (0.98, 0.95, 0.78))
    hills = 0.84 + 0.05 * np.sin(grid.x * 4) + 0.02 * np.sin(grid.x * 9)
    canvas.paint(grid.fill(hills - grid.y), (0.02, 0.03, 0.05))


def draw_car(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.45, 0.72, 0.96), (0.80, 0.92, 1.0), 0.5)
    canvas.paint(grid.fill(0.52 + 0.03 * np.sin(grid.x * 4) - grid.y), (0.30, 0.62, 0.25))
    canvas.paint(grid.fill(0.66 - grid.y), (0.28, 0.28, 0.30))
    dashes = box((grid.x % 0.3) - 0.15, grid.y - 0.87, 0.08, 0.014)
    canvas.paint(grid.fill(dashes), (0.92, 0.92, 0.88))
    x, y = path(scene, grid, rng)
    canvas = canvas.near(x, 0.6, 0.3)
    grid = canvas.grid
    dx, dy = grid.x - x, grid.y - y
    body = box(dx, dy, 0.27, 0.085, 0.05)
    cabin = box(dx + 0.02, dy + 0.13, 0.145, 0.085, 0.05)
    canvas.paint(grid.fill(np.minimum(body, cabin)), PALETTE[scene.colour])
    canvas.paint(grid.fill(box(dx + 0.02, dy + 0.13, 0.105, 0.05, 0.03)), (0.75, 0.88, 0.95))
    for wheel in (-0.16, 0.16):
        canvas.disc(x + wheel, 0.71, 0.065, (0.07, 0.07, 0.08))
        canvas.disc(x + wheel, 0.71, 0.028, (0.75, 0.75, 0.78))


def draw_bird(scene: Scene, canvas: Canvas, rng: np.random.Generator) -> None:
    grid = canvas.grid
    canvas.gradient((0.30, 0.60, 0.95), (0.70, 0.87, 1.0))
    clouds(canvas, grid.aspect * 0.12, 0.22, (1.0, 1.0, 1.0), 0.002)
    clouds(canvas, grid.aspect * 0.62, 0.78, (1.0, 1.0, 1.0), 0.002)
    x, y = path(scene, grid, rng)
    beat = grid.t * (2 * np.pi / 16) + jitter(rng, 0.2)
    y = y - 0.02 * np.sin(beat)
    tip = y - 0.16 * np.cos(beat)
    canvas = canvas.near(x, y, 0.25)
    grid = canvas.grid
    parts = [
        capsule(grid, (x - 0.07, y), (x + 0.06, y - 0.01), 0.042),
        capsule(grid, (x - 0.07, y), (x - 0.17, y - 0.01), 0.02),
        length(grid.x - (x + 0.12), grid.y - (y - 0.035)) - 0.042,
    ]
    parts += [capsule(grid, (x + root, y), (x - 0.06, tip), 0.025) for root in (-0.05, -0.01, 0.03)]
    canvas.paint(grid.fill(np.minimum.reduce(np.broadcast_arrays(*parts))), (0.12, 0.12, 0.16))
    canvas.disc(x + 0.17, y - 0.03, 0.018, (0.98, 0.70, 0.15))


PAINTERS: dict[str, Callable[[Scene, Canvas, np.random.Generator], None]] = {
    "shape": draw_shape,
    "cat": draw_cat,
    "sunset": draw_sunset,
    "sea": draw_sea,
    "rain": draw_rain,
    "night": draw_night,
    "snow": draw_snow,
    "car": draw_car,
    "bird": draw_bird,
}


def draw(scene: Scene, rng: np.random.Generator, width: int, height: int, num_frames: int) -> Array:
    """The clip of a scene, CTHW in 0..1."""
    canvas = Canvas(Grid(width, height, num_frames))
    PAINTERS[scene.kind](scene, canvas, rng)
    return np.clip(canvas.clip, 0, 1, out=canvas.clip)
