"""What the service answers and tells, as values with types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from hunyuan_runner.params import GenerationParams, Stage

Status = Literal["pending", "in_progress", "completed", "failed", "canceled"]
KnownStage = Annotated[Stage | str, Field(union_mode="left_to_right")]


class View(BaseModel):
    """Tolerant of fields and of states it does not know: a newer service can be talked to."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Params(GenerationParams):
    """The clip in full, its seed included."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="wrap")
    @classmethod
    def _beyond_our_bounds(cls, data: Any, validate: ModelWrapValidatorHandler[Params]) -> Params:
        """A newer service may know larger clips, and settings that have no name here."""
        try:
            return validate(data)
        except ValidationError as error:
            if any(problem["type"] in ("missing", "model_type") for problem in error.errors()):
                raise
            fields = cls.model_fields.keys() & data.keys()
            return cls.model_construct(**{name: data[name] for name in fields})


class Eta(View):
    """Seconds, with the range they should fall in."""

    low: float
    expected: float
    high: float


class JobError(View):
    """Why a job failed."""

    code: str
    message: str


class ClipWarning(View):
    """What to know of a clip that is taken all the same: a code for programs, and a sentence."""

    code: str
    message: str


class Job(View):
    """A job as the service last saw it."""

    job_id: str
    status: Status | str
    progress: float  # 0-1
    stage: KnownStage | None
    step: int
    num_inference_steps: int
    pausing: bool
    queue_position: int | None
    eta_seconds: Eta | None
    attempts: int
    resumed_from_step: int | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    params: Params
    draft_steps: int | None
    model: str
    priority: int
    metadata: dict[str, str]
    remixed_from: str | None
    webhook_url: str | None
    video_url: str | None
    thumbnail_url: str | None
    preview_url: str | None
    draft_url: str | None
    error: JobError | None
    warnings: tuple[ClipWarning, ...] = ()  # none from an older service

    @property
    def ended(self) -> bool:
        if self.status in get_args(Status):
            return self.status in ("completed", "failed", "canceled")
        return self.completed_at is not None  # in a state of a newer service

    @property
    def paused(self) -> bool:
        return self.stage is Stage.PAUSED

    def after(self, event: Event) -> Job:
        """This job once that has happened to it."""
        match event:
            case StateEvent():
                return event.job
            case ProgressEvent():
                names = ("stage", "step", "progress", "eta_seconds")
                return self.model_copy(update={name: getattr(event, name) for name in names})
            case PreviewEvent():
                return self.model_copy(update={"preview_url": event.preview_url})


class StateEvent(View):
    """The job moved to another state, or is there as a stream begins."""

    id: str  # rises; of an event that a reconnect begins behind
    job: Job

    @property
    def job_id(self) -> str:
        return self.job.job_id


class FinalEvent(StateEvent):
    """The job ended."""


class ProgressEvent(View):
    """The job is at another stage, or a step or a tile further."""

    id: str = ""
    job_id: str
    stage: KnownStage | None
    step: int
    num_inference_steps: int
    progress: float  # 0-1
    eta_seconds: Eta | None


class PreviewEvent(View):
    """There is a new picture of what the clip becomes."""

    id: str = ""
    job_id: str
    preview_url: str


Event = StateEvent | ProgressEvent | PreviewEvent  # a FinalEvent is a StateEvent


class JobPage(View):
    """Some jobs, newest first; `next` is what `after` takes to go on."""

    jobs: tuple[Job, ...]
    has_more: bool
    next: str | None


class Canceled(View):
    """How many jobs were canceled at once, and whether more are left."""

    canceled: int
    has_more: bool


class Quote(View):
    """What a clip costs by itself."""

    seconds: Eta
    peak_memory_bytes: int
    cost: float | None  # where the service knows what an hour costs


class Alternative(Quote):
    """What to ask for instead: the same with `changes`."""

    changes: dict[str, Any]
    summary: str


class Estimate(Quote):
    """What there is to know before a clip is queued."""

    fits: bool
    queue_seconds: float
    in_time: bool | None  # None where no deadline was given
    params: Params
    alternatives: tuple[Alternative, ...]
    warnings: tuple[ClipWarning, ...] = ()  # none from an older service


class Preset(View):
    """The settings a model uses where a request names none."""

    width: int
    height: int
    num_frames: int
    fps: float
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    step_cache: str


class Model(View):
    """A model the service knows; only an installed one can be asked for."""

    id: str
    title: str
    licence: str
    installed: bool
    default: bool
    presets: dict[str, Preset]


class Host(View):
    """The machine that answers; workers may run on others."""

    cpu: str
    cores: int
    threads: int
    memory_bytes: int


class Precision(View):
    """What a model is computed in, and why."""

    precision: str
    reason: str


class Runner(View):
    """A machine that renders."""

    cpu: str
    threads: int
    memory_bytes: int
    models: dict[str, Precision]


class Info(View):
    """What the service is, what it can do and where it runs."""

    name: str
    versions: dict[str, str | None]
    models: tuple[Model, ...]
    retention_hours: float
    host: Host
    runners: tuple[Runner, ...] = ()


class Refusal(View):
    code: str
    message: str
    param: str | None = None


class ErrorBody(View):
    error: Refusal
    alternatives: tuple[Alternative, ...] = ()
