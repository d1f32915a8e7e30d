"""What goes over HTTP, written once for the service and its clients.

The service sets every field; a reader is tolerant, because the other side may be older or newer:

- A field that is missing, null or in an unknown form gets the default of its type: None for
  `Maybe[int]`, 0 for `Count`. Only a few fields are required, such as a job's id.
- A word that is not one of ours, such as a new stage, is read as the str that it is (`Word`).
- A clip may exceed our bounds and have fields that we do not know (`Clip`).
- Unknown fields are kept and written again, so `hunyuan jobs --json` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hunyuan_runner.catalogue import PresetName
from hunyuan_runner.params import Fps, GenerationParams, Stage
from hunyuan_runner.schedule import StepCache

T = TypeVar("T")


@dataclass(frozen=True)
class _Otherwise:
    """The value to read if there is none, or one in an unknown form."""

    value: object

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_default_schema(
            handler(source), default=self.value, on_error="default"
        )

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        described.pop("default", None)  # the service always sets the field
        return described


class _AnyWord:
    """Accepts any str. The OpenAPI document lists only our own words."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.union_schema(
            [handler(source), core_schema.str_schema()], mode="left_to_right"
        )

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        ours, _any = handler(schema)["anyOf"]
        return cast(JsonSchemaValue, ours)


class _NewerParams(GenerationParams):
    """The parameters of a clip that this version cannot render."""

    model_config = ConfigDict(extra="allow")


_REQUIRED = [name for name, field in GenerationParams.model_fields.items() if field.is_required()]


def _beyond_our_bounds(data: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The parameters as they are, if they are not valid here; None for those that are missing."""
    try:
        return validate(data)
    except ValidationError:
        if not isinstance(data, dict):
            raise
        known: dict[str, Any] = dict.fromkeys(_REQUIRED) | data
        return _NewerParams.model_construct(**known)


def _rounded(digits: int) -> PlainSerializer:
    return PlainSerializer(lambda number: round(number, digits), return_type=float)


Maybe = Annotated[T | None, _Otherwise(None)]
Many = Annotated[tuple[T, ...], _Otherwise(())]
Word = Annotated[T, _AnyWord()]
Text = Annotated[str, _Otherwise("")]
Flag = Annotated[bool, _Otherwise(False)]
Count = Annotated[int, _Otherwise(0)]
Number = Annotated[float, _Otherwise(0.0)]
Share = Annotated[float, _rounded(4), _Otherwise(0.0)]  # 0 to 1
Seconds = Annotated[float, _rounded(1)]
Labels = Annotated[dict[str, str], _Otherwise({})]
Clip = SerializeAsAny[Annotated[GenerationParams, WrapValidator(_beyond_our_bounds)]]


class Wire(BaseModel):
    """Something that goes over HTTP."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """What the service writes: every field, and no other."""
        described = handler(schema)
        resolved = handler.resolve_ref_schema(described)
        resolved.pop("additionalProperties", None)
        resolved["required"] = [
            name for name, field in cls.model_fields.items() if field.is_required()
        ]
        return described


class JobState(StrEnum):
    """The states of a job: BentoML's of a task, and `paused`."""

    PENDING = "pending"
    PAUSED = "paused"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


WarningCode = Literal[
    "prompt_cut", "unknown_words", "no_worker", "queue_too_long", "disk_low", "continued_elsewhere"
]


class RangeView(Wire):
    """Seconds, with the range they should fall in."""

    low: Seconds
    expected: Seconds
    high: Seconds
    guess: Flag = Field(
        description="Whether it is a guess: the machine was not measured, and rendered no clip yet."
    )


class JobError(Wire):
    """Why a job failed: a stable code for programs, a sentence for people."""

    code: str
    message: str


class ClipWarning(Wire):
    """What to know about a clip that is accepted all the same: a code for programs, a sentence
    for people."""

    code: Word[WarningCode]
    message: str


class JobRecord(Wire):
    """What the job store knows about a job and the API shows under the same name."""

    job_id: str
    status: Word[JobState]
    progress: Share = Field(description="0 to 1, over all stages by expected time.")
    stage: Maybe[Word[Stage]] = Field(description="What the job is doing; null once it ended.")
    step: Count = Field(description="Denoising steps done.")
    num_inference_steps: Count
    pausing: Flag = Field(description="It will pause after the current step.")
    queue_position: Maybe[int] = Field(
        description="1 is next; null while the job is not in the queue."
    )
    eta_seconds: Maybe[RangeView] = Field(description="From now until the clip is finished.")
    attempts: Count = Field(description="How often a worker started it.")
    resumed_from_step: Maybe[int] = Field(
        description="The step of the checkpoint that the last attempt resumed from."
    )
    created_at: datetime
    started_at: Maybe[datetime]
    completed_at: Maybe[datetime] = Field(description="When it ended, in whatever state.")
    expires_at: Maybe[datetime] = Field(description="When the job and its files are deleted.")
    params: Clip = Field(description="The clip in full, its seed included.")
    draft_steps: Maybe[int] = Field(description="The step after which it pauses with a draft.")
    model: Text
    priority: Count
    metadata: Labels
    remixed_from: Maybe[str] = Field(description="The job that this one is a remix of.")
    error: Maybe[JobError]
    warnings: Many[ClipWarning] = Field(
        description="Why the clip, or its time, may differ from what was asked. It is rendered."
    )


class JobView(JobRecord):
    """A job, as every route shows it. Times are RFC 3339 in UTC. URLs are paths of this service,
    or whole URLs if it knows its own (HUNYUAN_PUBLIC_URL)."""

    webhook_url: Maybe[str] = Field(description="Without its query, which may carry a token.")
    video_url: Maybe[str]
    thumbnail_url: Maybe[str]
    preview_url: Maybe[str] = Field(
        description="A still while the clip is denoised, an animation once it is finished."
    )
    draft_url: Maybe[str] = Field(description="The draft, until the job is completed.")


class JobList(Wire):
    """A page of jobs, the newest first."""

    jobs: tuple[JobView, ...]
    has_more: Flag
    next: Maybe[str] = Field(description="Give this as `after` for the next page.")


class Canceled(Wire):
    """The result of a request to cancel many jobs."""

    canceled: int = Field(description="How many jobs were canceled.")
    has_more: Flag = Field(description="Whether more jobs are left; if so, repeat the request.")


class ProgressView(Wire):
    """The progress of a job: the fields that change while its state does not."""

    job_id: str
    stage: Maybe[Word[Stage]]
    step: Count
    num_inference_steps: Count
    progress: Share
    eta_seconds: Maybe[RangeView]


class PreviewView(Wire):
    """Where the new preview of a job is."""

    job_id: str
    preview_url: str


class QuoteView(Wire):
    """What a clip costs by itself."""

    seconds: RangeView = Field(description="From its start to the finished file.")
    peak_memory_bytes: Count
    cost: Maybe[float] = Field(description="By HUNYUAN_COST_PER_HOUR; null if that is not set.")


Change = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": kind} for kind in ("integer", "number", "string", "null")]}),
]


class AlternativeView(QuoteView):
    """What to ask for instead."""

    changes: dict[str, Change] = Field(
        description="The fields to put into the request, or to leave out if null."
    )
    summary: Text = Field(description="The same, for people.")


class EstimateView(QuoteView):
    """What a clip would take if it were queued."""

    fits: Annotated[bool, _Otherwise(True)] = Field(
        description="Whether a machine has the memory; if not, the clip is refused."
    )
    queue_seconds: Annotated[Seconds, _Otherwise(0.0)] = Field(
        description="The wait in the queue, if it were queued now."
    )
    in_time: Maybe[bool] = Field(
        description="Whether it is finished within deadline_seconds even if it takes long; "
        "null without a deadline."
    )
    params: Clip = Field(description="The clip in full, as it would be queued.")
    alternatives: Many[AlternativeView] = Field(
        description="Clips that fit and finish in time, the nearest first; empty if this one does."
    )
    warnings: Many[ClipWarning] = Field(description="The warnings that the job would have.")


class PresetView(Wire):
    """The settings a model uses where the request names none."""

    width: Count
    height: Count
    num_frames: Count
    fps: Annotated[Fps, _Otherwise(0)]
    num_inference_steps: Count
    guidance_scale: Number
    flow_shift: Number
    step_cache: Annotated[Word[StepCache], _Otherwise("off")]


class ModelView(Wire):
    """A model this service can run."""

    id: str
    title: Text
    licence: Text
    parameters: Number
    installed: Flag
    fast_decoder: Flag = Field(description="Whether a request may ask for the decoder `fast`.")
    default: Flag = Field(description="Used if a request names no model.")
    presets: Annotated[dict[Word[PresetName], PresetView], _Otherwise({})]


class ModelList(Wire):
    models: tuple[ModelView, ...]


class QueueView(Wire):
    pending: Count
    in_progress: Count
    paused: Count


class DownloadView(Wire):
    """A model whose download is not complete: it is under way, or was interrupted."""

    model: str
    bytes: Count = Field(description="Fetched so far.")
    total_bytes: Annotated[int | None, _Otherwise(None)] = Field(
        description="Of the whole model; null until they are known."
    )


class Health(Wire):
    """Whether jobs are accepted and rendered."""

    status: Word[Literal["ok", "no_worker", "disk_low"]] = Field(
        description="no_worker: jobs are accepted, and wait for a worker; disk_low: no job is "
        "accepted, because the disk is nearly full."
    )
    workers: int = Field(description="Workers that reported lately.")
    queue: QueueView
    downloads: Many[DownloadView] = Field(
        description="Models that are being fetched to this machine."
    )


class ModelCapacity(Wire):
    """The work for one model, and the runners that can do it."""

    model: str
    queued_jobs: Count
    queued_seconds: Annotated[Seconds, _Otherwise(0.0)] = Field(
        description="To render the queued jobs one after another on the largest machine."
    )
    running_jobs: Count
    running_seconds: Annotated[Seconds, _Otherwise(0.0)] = Field(
        description="What the jobs being rendered still take, added up."
    )
    runners: Count = Field(description="Live runners that have the model.")
    runners_wanted: Count = Field(
        description="Runners with which every queued job of this model would begin in time, those "
        "that render one now included."
    )


class CapacityView(Wire):
    """The work in the queue, and how many runners it needs."""

    target_wait_seconds: Annotated[Seconds, _Otherwise(0.0)] = Field(
        description="How long a job may wait in the queue."
    )
    queued_jobs: Count
    queued_seconds: Annotated[Seconds, _Otherwise(0.0)]
    running_jobs: Count
    running_seconds: Annotated[Seconds, _Otherwise(0.0)]
    runners: Count = Field(description="Live runners.")
    runners_wanted: Count = Field(
        description="Runners with which every queued job would begin within target_wait_seconds. "
        "Never fewer than render a job now."
    )
    models: Many[ModelCapacity]


class Ready(Wire):
    status: Literal["ok"]


class PrecisionView(Wire):
    """The precision a model is computed in, and why."""

    precision: Text = Field(description="fp32, bf16 or int8.")
    reason: Text


class KernelsView(Wire):
    """The kernels that compute int8 models, and decode where the CPU has no BF16."""

    instructions: Text = Field(description="Their instruction set: amx, avx512-bf16, …")
    attention: Text = Field(description="Their form of attention: bf16, int16 or int8.")
    reason: Text


class RunnerView(Wire):
    """The machine of a live worker."""

    cpu: Text
    threads: Count
    memory_bytes: Count
    kernels: Maybe[KernelsView] = Field(description="Null if there are none for its CPU.")
    models: Annotated[dict[str, PrecisionView], _Otherwise({})] = Field(
        description="By id, those whose weights it has."
    )


class HostView(Wire):
    """The machine that answers; workers may run on others."""

    cpu: Text
    cores: Count
    threads: Count = Field(description="Threads of the engine.")
    memory_bytes: Count


class Info(Wire):
    """What this service is, what it can do and where it runs."""

    name: str
    versions: Annotated[dict[str, str | None], _Otherwise({})]
    models: Many[ModelView]
    bounds: Annotated[dict[str, dict[str, float]], _Otherwise({})] = Field(
        description="The smallest and largest value of each field of POST /api/generate."
    )
    max_pixel_frames: Count = Field(description="The most that width x height x num_frames may be.")
    retention_hours: Number = Field(description="How long ended jobs and their files are kept.")
    host: Annotated[HostView, _Otherwise(HostView.model_validate({}))]
    runners: Many[RunnerView] = Field(description="Where clips are rendered.")


class ErrorDetail(Wire):
    code: str = Field(description="A stable code for programs.")
    message: str = Field(description="What is wrong and what to do, for people.")
    param: Maybe[str] = Field(
        description="The field that is wrong, if the request has such a field."
    )
    type: Text = Field(description="`invalid_request_error` or `server_error`.")


class ErrorBody(Wire):
    """The body of every answer with a status of 400 or above."""

    error: ErrorDetail
    alternatives: Many[AlternativeView] = Field(
        default=(), description="Only with `does_not_fit`: clips that would fit, the nearest first."
    )
