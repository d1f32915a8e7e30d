"""What a clip would cost before it is rendered, and what to ask for instead.

The search for alternatives tries the fast decoder, fewer frames, fewer steps and a smaller picture,
alone and together, quicker presets and other models, and keeps the nearest to the request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, get_args

from pydantic import ValidationError

from hunyuan_runner.catalogue import MODELS, Model, PresetName
from hunyuan_runner.params import MIN_SIDE, GenerationParams, GenerationRequest
from hunyuan_runner.quoting.estimate import Expectation, Range
from hunyuan_runner.quoting.memory import fits, peak_bytes
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.wire import ClipWarning

MAX_ALTERNATIVES = 4
SHAPE = ("width", "height", "num_frames")
COSTLY = (*SHAPE, "num_inference_steps")
SHORTHANDS = ("size", "seconds")  # that a request may give in place of its shape
SHAPE_TOLERANCE = 0.03  # difference in the logarithm of the aspect ratio
LEVELS = 48  # how many smaller clips are tried, down to SMALLEST
SMALLEST = 1 / 64  # of the requested clip
# Added for every changed field to the size of the change, the logarithm of a ratio: one field
# changed by a half is nearer than two changed by a third.
FIELD_DISTANCE = 0.25
MODEL_DISTANCE = 0.5


@dataclass(frozen=True)
class Quote:
    """What a clip costs, without its wait in the queue."""

    params: GenerationParams
    seconds: Range
    peak_memory_bytes: int
    fits: bool
    cost: float | None  # in the unit of HUNYUAN_COST_PER_HOUR


@dataclass(frozen=True)
class Alternative:
    """A quote for the request with `changes`."""

    changes: Mapping[str, Any]
    quote: Quote

    @property
    def summary(self) -> str:
        """The changes in words, such as `320x240, 33 frames`."""
        params = self.quote.params
        words = {
            "model": f"model {params.model}",
            "width": f"{params.width}x{params.height}",
            "num_frames": f"{params.num_frames} frames",
            "num_inference_steps": f"{params.num_inference_steps} steps",
            "decoder": f"the {params.decoder} decoder",
            "priority": f"priority {self.changes.get('priority')}",
        }
        return ", ".join(text for name, text in words.items() if name in self.changes)


@dataclass(frozen=True)
class Estimate:
    """What a user may want to know before queueing a clip."""

    quote: Quote
    queue_seconds: float  # until its turn
    alternatives: Sequence[Alternative]  # none if the clip fits and is ready in time
    warnings: Sequence[ClipWarning] = ()


@dataclass(frozen=True)
class Terms:
    """What quotes depend on: the machine, how long clips take on it, and what its time costs."""

    machine: Profile
    expect: Callable[[GenerationParams], Expectation]
    cost_per_hour: float | None
    has_fast_decoder: Callable[[Model], bool] = lambda _: False
    loaded: bool = False  # by then the engine holds the model, which a job that goes first loaded

    def quote(self, params: GenerationParams, model: Model) -> Quote:
        expectation = self.expect(params)
        needed = peak_bytes(params, model, self.machine.models[model.id].precision)
        seconds = expectation.total + (0.0 if self.loaded else expectation.loading)
        return Quote(
            params=params,
            seconds=expectation.range(seconds),
            peak_memory_bytes=needed,
            fits=fits(model, needed, self.machine.memory_bytes),
            cost=None if self.cost_per_hour is None else self.cost_per_hour * seconds / 3600,
        )


def in_time(quote: Quote, seconds: float) -> bool:
    """Whether the clip is ready so many seconds after its start, even at the high end."""
    return quote.seconds.high <= seconds


def alternatives(
    request: GenerationRequest,
    asked: GenerationParams,
    models: Sequence[Model],
    terms: Terms,
    within_seconds: float = math.inf,
) -> list[Alternative]:
    """Clips that fit and are ready in time, the nearest to `asked` first.

    `asked` is the request resolved with the first of `models`; the others are tried as well.
    """

    def is_good(candidate: Candidate) -> bool:
        params, model = candidate
        if params.decoder == "fast" and not terms.has_fast_decoder(model):
            return False
        enough_steps = params.num_inference_steps > (request.draft_steps or 0)
        quote = terms.quote(params, model)
        return enough_steps and quote.fits and in_time(quote, within_seconds)

    def distance(candidate: Candidate) -> float:
        params, model = candidate
        return _distance(asked, params) + _model_distance(models[0], model)

    # Later candidates of a way are farther than its first good one.
    firsts = (next(filter(is_good, way), None) for way in _ways(request, asked, models, terms))
    nearest: list[Candidate] = []
    for candidate in sorted(filter(None, firsts), key=distance):
        if not any(_is_less(candidate[0], nearer) for nearer, _ in nearest):
            nearest.append(candidate)
    return [
        Alternative(_changes(request, asked, params), terms.quote(params, model))
        for params, model in nearest[:MAX_ALTERNATIVES]
    ]


Candidate = tuple[GenerationParams, Model]
Changes = dict[str, int]


def _ways(
    request: GenerationRequest, asked: GenerationParams, models: Sequence[Model], terms: Terms
) -> Iterator[Iterator[Candidate]]:
    """Ways to change the request, each a little farther with every candidate."""
    model, *others = models
    if request.decoder != "full":
        yield iter([(asked.model_copy(update={"decoder": "fast"}), model)])
    for number in range(1, len(_AXES) + 1):
        for axes in combinations(_AXES, number):
            yield _less(asked, model, axes)
    for name in get_args(PresetName):
        yield _preset(request, asked, model, name, terms)
    for other in others:
        if (as_asked := _with_model(request, asked, other, terms)) is not None:
            yield chain([(as_asked, other)], _less(as_asked, other, (_frames, _picture)))


def _less(
    asked: GenerationParams, model: Model, axes: Sequence[Callable[..., Changes | None]]
) -> Iterator[Candidate]:
    """Less and less along all `axes`, each by the same share."""
    for level in range(1, LEVELS + 1):
        share = SMALLEST ** (level / LEVELS / len(axes))
        changes: Changes = {}
        for axis in axes:
            changed = axis(asked, model, share)
            if changed is None:
                return
            changes |= changed
        yield asked.model_copy(update=changes), model


def _frames(asked: GenerationParams, model: Model, share: float) -> Changes:
    step = model.family.frames_per_latent
    fewest = min(asked.num_frames, step + 1)  # with fewer, it is a picture
    latent_frames = math.floor((asked.num_frames * share - 1) / step)
    return {"num_frames": max(fewest, latent_frames * step + 1)}


def _steps(asked: GenerationParams, model: Model, share: float) -> Changes:
    """No fewer than in the fast preset, which is known to work."""
    fewest = min(asked.num_inference_steps, model.presets["fast"].num_inference_steps)
    return {"num_inference_steps": max(fewest, math.floor(asked.num_inference_steps * share))}


def _picture(asked: GenerationParams, model: Model, share: float) -> Changes | None:
    """A smaller picture of the same shape that needs no cropping; None if there is none."""
    unit = model.family.pixels_per_token
    largest = math.floor(asked.width * math.sqrt(share) / unit) * unit
    for width in range(largest, MIN_SIDE - 1, -unit):
        height = round(asked.height * width / asked.width / unit) * unit
        if height < MIN_SIDE:
            return None
        if abs(math.log(width / height * asked.height / asked.width)) <= SHAPE_TOLERANCE:
            return {"width": width, "height": height}
    return None


_AXES = (_steps, _frames, _picture)


def _preset(
    request: GenerationRequest,
    asked: GenerationParams,
    model: Model,
    name: PresetName,
    terms: Terms,
) -> Iterator[Candidate]:
    """Another preset, if the request left everything that costs time to its preset."""
    if any(getattr(request, field) is not None for field in (*COSTLY, *SHORTHANDS)):
        return
    changed = request.model_copy(update={"preset": name, "seed": asked.seed})
    params = changed.resolve(
        model.id, model.presets, has_fast_decoder=terms.has_fast_decoder(model)
    )
    steps = params.num_inference_steps
    tokens = model.family.tokens
    if params != asked and tokens(params) <= tokens(asked) and steps <= asked.num_inference_steps:
        yield params, model


def _with_model(
    request: GenerationRequest, asked: GenerationParams, model: Model, terms: Terms
) -> GenerationParams | None:
    """The request for another model, with its own steps, guidance and shift. None if the request
    has a field that the other model cannot heed.

    The size is the model's own too, unless both models have the same architecture.
    """
    names = ("num_inference_steps", "guidance_scale", "flow_shift", *SHAPE, *SHORTHANDS)
    own = dict.fromkeys(names)
    kept = {"seed": asked.seed}
    if model.architecture == MODELS[asked.model].architecture:
        kept |= {name: getattr(asked, name) for name in SHAPE}
    try:
        return request.model_copy(update=own | kept).resolve(
            model.id, model.presets, has_fast_decoder=terms.has_fast_decoder(model)
        )
    except ValidationError:
        return None


def _is_less(params: GenerationParams, than: GenerationParams) -> bool:
    """Whether it is the same model and decoder with less, or the same, of everything."""
    less = all(getattr(params, name) <= getattr(than, name) for name in COSTLY)
    return less and (params.model, params.decoder) == (than.model, than.decoder)


def _changes(
    request: GenerationRequest, asked: GenerationParams, params: GenerationParams
) -> dict[str, Any]:
    """The fields to change in the request, width and height together. None removes a field."""
    values = params.model_dump()
    changed = {name for name, value in values.items() if value != getattr(asked, name)}
    if changed & {"width", "height"}:
        changed |= {"width", "height"}
    replaced = set()
    if request.size is not None and "width" in changed:
        replaced.add("size")
    if request.seconds is not None and changed & {"num_frames", "fps"}:
        changed.add("num_frames")
        replaced.add("seconds")
    return {name: value for name, value in values.items() if name in changed} | dict.fromkeys(
        replaced
    )


def _distance(asked: GenerationParams, params: GenerationParams) -> float:
    ratios = [
        asked.width * asked.height / (params.width * params.height),
        asked.num_frames / params.num_frames,
    ]
    if asked.model == params.model:  # the steps of different models do not compare
        ratios.append(asked.num_inference_steps / params.num_inference_steps)
    changed = sum(FIELD_DISTANCE + abs(math.log(ratio)) for ratio in ratios if ratio != 1)
    return changed + FIELD_DISTANCE * (asked.decoder != params.decoder)


def _model_distance(asked: Model, model: Model) -> float:
    if asked.id == model.id:
        return 0.0
    return MODEL_DISTANCE + abs(math.log(asked.parameters / model.parameters))
