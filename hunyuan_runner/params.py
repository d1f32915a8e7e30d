"""The parameters of a clip: every field of a request, with its bounds and its default."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypedDict, cast, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from hunyuan_runner.catalogue import MODELS, Preset, PresetName
from hunyuan_runner.families.family import Family
from hunyuan_runner.schedule import StepCache, computed_steps, shifted_sigmas

MAX_SEED = 2**32 - 1
MIN_SIDE, MAX_SIDE = 64, 1280
MAX_NUM_FRAMES = 257
MIN_FPS, MAX_FPS = 1, 60
MAX_PIXEL_FRAMES = 1280 * 720 * 129
DEFAULT_PRIORITY = 0
MAX_PRIORITY = 10
MAX_URL_LENGTH = 2048
NEGATIVE_PROMPT_CFG_SCALE = 3.0
Decoder = Literal["full", "fast"]  # the model's VAE, or the fast decoder of the catalogue
RANDOM_SEED = -1  # means a random seed in other tools
ALIASES: Mapping[str, str] = {"steps": "num_inference_steps", "video_length": "num_frames"}


def _valid_size(size: str) -> str:
    """`WIDTHxHEIGHT`; the x may be typed as X, * or ×."""
    match = re.fullmatch(r"(\d{1,5})\s*[xX*\u00d7]\s*(\d{1,5})", size, re.ASCII)
    if match is None or not all(MIN_SIDE <= int(side) <= MAX_SIDE for side in match.groups()):
        raise ValueError(
            f"must be WIDTHxHEIGHT, each from {MIN_SIDE} to {MAX_SIDE}, such as 640x480"
        )
    return "x".join(match.groups())


def _plain(number: float) -> float:
    """24 for 24.0. Rates were integers at first, and whole ones are still written so."""
    return int(number) if number == int(number) else number


def _valid_webhook_url(url: str) -> str:
    """The URL in the form that browsers write, which shows the real host."""
    try:
        parsed = HttpUrl(url)
    except ValidationError:
        raise ValueError("must be an http or https URL: https://example.com/hook") from None
    if parsed.username or parsed.password:
        raise ValueError("must not carry a user name or password")
    return str(parsed)


def _next_even(pixels: int) -> int:
    """All players support H.264 in 4:2:0, which has no odd sides; some support nothing else."""
    return pixels + pixels % 2


Prompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Pixels = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE), AfterValidator(_next_even)]
NumFrames = Annotated[int, Field(ge=1, le=MAX_NUM_FRAMES)]
Fps = Annotated[
    float,
    Field(ge=MIN_FPS, le=MAX_FPS, allow_inf_nan=False),
    AfterValidator(_plain),
    PlainSerializer(_plain, return_type=int | float, when_used="unless-none"),  # see wire.Clip
    WithJsonSchema({"type": "number", "minimum": MIN_FPS, "maximum": MAX_FPS}),
]
Size = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_valid_size)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Steps = Annotated[int, Field(ge=1, le=100)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
GuidanceScale = Annotated[float, Field(ge=1, le=30)]
FlowShift = Annotated[float, Field(ge=0.01, le=50)]
Priority = Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
WebhookUrl = Annotated[
    str,
    StringConstraints(max_length=MAX_URL_LENGTH),
    Field(json_schema_extra={"format": "uri"}),
    AfterValidator(_valid_webhook_url),
]
WebhookEvent = Literal["started", "completed", "failed", "canceled"]
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
WebhookEvents = Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WEBHOOK_EVENTS))]


class Stage(StrEnum):
    """What a job is doing, in this order; a job may be paused at any stage up to denoising."""

    PAUSED = "paused"
    QUEUED = "queued"
    LOADING = "loading"
    ENCODING = "encoding"
    DENOISING = "denoising"
    DECODING = "decoding"
    PUBLISHING = "publishing"


class GenerationParams(BaseModel):
    """A clip in full. With the same weights on the same machine, they give the same file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt
    negative_prompt: Prompt | None = None
    model: str
    width: Pixels
    height: Pixels
    num_frames: NumFrames
    fps: Fps
    num_inference_steps: Steps
    seed: Seed
    guidance_scale: GuidanceScale
    true_cfg_scale: GuidanceScale
    flow_shift: FlowShift
    step_cache: StepCache = "off"  # as before this field existed
    decoder: Decoder = "full"  # likewise

    @property
    def sigmas(self) -> list[float]:
        """The share of noise, from 1 to 0, before each step and after the last."""
        return shifted_sigmas(self.num_inference_steps, self.flow_shift)

    @property
    def computed_steps(self) -> tuple[int, ...]:
        """The steps (from 0) that the transformer computes. The others are predicted."""
        return computed_steps(self.num_inference_steps, self.flow_shift, self.step_cache)


class Kept(TypedDict, total=False):
    """The fields of a request that are kept with the job as they are, besides the clip."""

    priority: int
    metadata: dict[str, str]
    draft_steps: int | None
    seconds: float | None


class GenerationRequest(BaseModel):
    """What a client sends: a prompt, and the settings that the preset should not choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt = Field(
        description="What the clip should show.", examples=["A cat walks on grass"]
    )
    negative_prompt: Prompt | None = Field(
        None, description="What the clip should not show. Doubles the denoising time."
    )
    model: str | None = Field(
        None, description="A model id from /api/models; default: the service's model."
    )
    preset: PresetName | None = Field(
        None, description="The source of all settings that are not given."
    )
    width: Pixels | None = Field(
        None, description="Pixels; an odd width is rounded up to the next even one."
    )
    height: Pixels | None = Field(
        None, description="Pixels; an odd height is rounded up to the next even one."
    )
    size: Size | None = Field(
        None,
        description="WIDTHxHEIGHT, such as 192x128, instead of width and height.",
        examples=["192x128"],
    )
    num_frames: NumFrames | None = Field(
        None,
        description="A multiple of 4 plus 1: 1, 5, … 33, … 129. Also accepted as video_length.",
    )
    seconds: Seconds | None = Field(
        None, description="Length, instead of num_frames; rounded to a number of frames."
    )
    fps: Fps | None = Field(None, description="Frames per second. Rates like 23.976 are exact.")
    num_inference_steps: Steps | None = Field(
        None, description="Denoising steps. Also accepted as steps."
    )
    seed: Annotated[int, Field(ge=RANDOM_SEED, le=MAX_SEED)] | None = Field(
        None, description="The same seed gives the same clip. Default, or -1: a random seed."
    )
    guidance_scale: GuidanceScale | None = Field(
        None,
        description="How closely the clip follows the prompt. The 13B models were trained with it; "
        "to HunyuanVideo-1.5 it is the weight against the negative prompt, and 1 turns it off.",
    )
    true_cfg_scale: GuidanceScale | None = Field(
        None,
        description="Weight of the prompt against the negative prompt in the 13B models. It takes "
        "effect above 1.",
    )
    flow_shift: FlowShift | None = Field(
        None,
        description="Shift of the noise schedule. A higher value spends more steps on the layout.",
    )
    step_cache: StepCache | None = Field(
        None,
        description="Skip steps that can be predicted: `balanced` computes at most one step in "
        "1.8, `fast` one in 2.5. The clip changes slightly.",
    )
    decoder: Literal["auto", "full", "fast"] | None = Field(
        None,
        description="What makes the pixels: `full` is the model's VAE, `fast` a small network that "
        "takes seconds and shows less detail. Default, or `auto`: `fast` with the preset `fast` "
        "where it is installed, otherwise `full`.",
    )
    draft_steps: Steps | None = Field(
        None, description="Pause after this step, with a draft to look at. /resume continues."
    )
    priority: Priority = Field(
        DEFAULT_PRIORITY, description="Jobs with a higher priority are rendered first."
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description="Your own labels, returned with the job.",
        examples=[{"order": "17"}],
    )
    webhook_url: WebhookUrl | None = Field(
        None, description="The URL that receives a signed POST for each event of the job."
    )
    webhook_events: WebhookEvents | None = Field(
        None,
        description="The events to send: started, completed, failed, canceled; default: all.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_named(cls, data: Any) -> Any:
        """Leave out optional fields that are empty, and replace aliases with the fields' names."""
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in data.items() if not cls._left_out(name, value)}
        for alias, name in ALIASES.items():
            if alias in given:
                value = given.pop(alias)
                if given.setdefault(name, value) != value:
                    raise contradiction(alias, name)
        return given

    @classmethod
    def _left_out(cls, name: object, value: object) -> bool:
        if value is not None and not (isinstance(value, str) and not value.strip()):
            return False
        field = cls.model_fields.get(str(name))
        return name in ALIASES or (field is not None and not field.is_required())

    @field_validator("seed")
    @classmethod
    def _draw_for_minus_one(cls, seed: int | None) -> int | None:
        return None if seed == RANDOM_SEED else seed

    @model_validator(mode="after")
    def _size_agrees_with_width_and_height(self) -> Self:
        for name, side in self._sides.items():
            if getattr(self, name) not in (None, side):
                raise contradiction("size", name)
        return self

    @model_validator(mode="after")
    def _true_cfg_needs_a_negative_prompt(self) -> Self:
        if self.true_cfg_scale is not None and self.true_cfg_scale > 1 and not self.negative_prompt:
            raise ValueError("true_cfg_scale above 1 needs a negative_prompt")
        return self

    @model_validator(mode="after")
    def _webhook_events_need_a_webhook_url(self) -> Self:
        if self.webhook_events is not None and self.webhook_url is None:
            raise ValueError("webhook_events needs a webhook_url; send both or neither")
        return self

    def resolve(
        self, model: str, presets: Mapping[PresetName, Preset], *, has_fast_decoder: bool = False
    ) -> GenerationParams:
        """The clip in full: the preset fills in what is missing, and a seed is drawn.

        `has_fast_decoder` says whether the model's fast decoder is installed.
        Raises pydantic's ValidationError if the result is out of bounds.
        """
        family = MODELS[model].family
        preset = presets[self.preset or "standard"]
        chosen = self._sides | self.model_dump(
            exclude_none=True, include=set(GenerationParams.model_fields) - {"model"}
        )
        if self.num_frames is not None:
            _require_possible(self.num_frames, family)
        if self.seconds is not None:
            frames = _frames(self.seconds, self.fps or preset.fps, family)
            if chosen.setdefault("num_frames", frames) != frames:
                raise _refusal("seconds", contradiction("seconds", "num_frames"))
        true_cfg = self.negative_prompt is not None and family.guidance == "input"
        defaults = {
            "model": model,
            "seed": secrets.randbelow(MAX_SEED + 1),
            "true_cfg_scale": NEGATIVE_PROMPT_CFG_SCALE if true_cfg else 1.0,
            **preset.__dict__,
        }
        if self.decoder in (None, "auto"):
            chosen["decoder"] = "fast" if has_fast_decoder and self.preset == "fast" else "full"
        params = GenerationParams(**(defaults | chosen))
        if family.guidance == "negative prompt":
            _require_one_guidance(params)
        return params

    @property
    def kept(self) -> Kept:
        """What the job keeps of this request."""
        return cast(Kept, {name: getattr(self, name) for name in Kept.__annotations__})

    @property
    def _sides(self) -> dict[str, int]:
        if self.size is None:
            return {}
        width, height = map(int, self.size.split("x"))
        return {"width": _next_even(width), "height": _next_even(height)}


class ClipOptions(TypedDict, total=False):
    """The fields of a request besides its prompt, as keyword arguments that a type checker knows.

    None leaves the field to the service, like leaving it out. A test compares these fields with
    those of GenerationRequest.
    """

    negative_prompt: str | None
    model: str | None
    preset: PresetName | None
    width: int | None
    height: int | None
    size: str | None
    num_frames: int | None
    seconds: float | None
    fps: float | None
    num_inference_steps: int | None
    seed: int | None
    guidance_scale: float | None
    true_cfg_scale: float | None
    flow_shift: float | None
    step_cache: StepCache | None
    decoder: Literal["auto", "full", "fast"] | None
    draft_steps: int | None
    priority: int | None
    metadata: dict[str, str] | None
    webhook_url: str | None
    webhook_events: list[WebhookEvent] | None


class EstimateRequest(GenerationRequest):
    """A clip whose cost is asked for. Nothing is queued."""

    prompt: Prompt = Field(
        "A clip", description="What the clip should show. It does not change the cost."
    )
    deadline_seconds: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds from now, the wait included. Alternatives finish within them.",
    )


def contradiction(one: str, other: str) -> PydanticCustomError:
    """The error that two fields of a request ask for different things."""
    message = "{param} and {other} contradict each other; send one of them"
    return PydanticCustomError("contradiction", message, {"param": one, "other": other})


def _require_possible(num_frames: int, family: Family) -> None:
    """Raises ValidationError unless the VAE can make so many frames: it packs some of them into one
    latent frame, but the first frame has its own."""
    nearest = family.neighbouring_num_frames(num_frames)
    if num_frames not in nearest:
        numbers = {
            "step": family.frames_per_latent,
            "nearest": " or ".join(map(str, nearest)),
        }
        message = "must be {step}k+1, such as {nearest}"
        raise _refusal("num_frames", PydanticCustomError("frames", message, numbers))


def _require_one_guidance(params: GenerationParams) -> None:
    """Raises ValidationError if a field has no effect, because the guidance scale is what weighs
    the prompt against the negative prompt."""
    message = ""
    if params.true_cfg_scale != 1:
        param, message = "true_cfg_scale", "has no effect on {model}; use guidance_scale instead"
    elif params.negative_prompt and params.guidance_scale == 1:
        param, message = "negative_prompt", "has no effect on {model} with guidance_scale 1"
    if message:
        about = {"model": params.model}
        raise _refusal(param, PydanticCustomError("without_effect", message, about))


def _frames(seconds: float, fps: float, family: Family) -> int:
    """The number of frames whose duration is nearest to `seconds`.

    Raises ValidationError if it is too large.
    """
    if seconds * fps > MAX_NUM_FRAMES:
        most = {"most": int(MAX_NUM_FRAMES / fps)}
        raise _refusal("seconds", PydanticCustomError("too_long", "must be at most {most}", most))
    return family.nearest_num_frames(seconds * fps)


def _refusal(param: str, error: PydanticCustomError) -> ValidationError:
    """The refusal of a field whose error shows only together with the preset."""
    line = InitErrorDetails(type=error, loc=(param,), input=None)
    return ValidationError.from_exception_data("GenerationRequest", [line])
