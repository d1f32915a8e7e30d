"""What the routes work on: the job store, the files and the installed models."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Self
from urllib.parse import urlsplit

from fastapi import Depends, Request

from hunyuan_runner.api.errors import NOT_OPEN, ApiError, unavailable
from hunyuan_runner.api.files import REDIRECT_LIFETIME
from hunyuan_runner.api.links import lasting_base
from hunyuan_runner.catalogue import MODELS, Model, PresetName, download_command
from hunyuan_runner.jobs.job import Job, Webhook
from hunyuan_runner.jobs.standing import NO_WORKER
from hunyuan_runner.jobs.store import Jobs, Submission
from hunyuan_runner.machine.precision import SMALL_PARAMETERS
from hunyuan_runner.network import is_public, literal_address
from hunyuan_runner.params import (
    MAX_PIXEL_FRAMES,
    MAX_PRIORITY,
    WEBHOOK_EVENTS,
    EstimateRequest,
    GenerationParams,
    GenerationRequest,
)
from hunyuan_runner.prompts.check import PromptCheck
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.quoting.memory import available_bytes
from hunyuan_runner.quoting.quotes import (
    MAX_ALTERNATIVES,
    Alternative,
    Estimate,
    Quote,
    Terms,
    alternatives,
    in_time,
)
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.storage.protocol import Storage, StorageFailed
from hunyuan_runner.tracing import CLIENT, begin
from hunyuan_runner.wire import ClipWarning

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backend:
    """Opened once by the front, and shared by all its routes."""

    settings: Settings
    jobs: Jobs
    storage: Storage
    prompts: PromptCheck = field(default_factory=PromptCheck)
    base: str = ""  # what the links in answers to the caller begin with
    webhook_base: str = ""  # what the links in the webhooks of their jobs begin with

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings, Jobs(settings), open_storage(settings))

    def is_installed(self, model: Model) -> bool:
        """Whether this machine has the model, or a live runner."""
        return self.settings.has_model(model.id) or self.jobs.is_rendered_now(model.id)

    def has_fast_decoder(self, model: Model) -> bool:
        """Whether a live runner has the model with its fast decoder, or this machine while none
        has the model."""
        if model.fast_decoder is None:
            return False
        forecast = self.jobs.forecast()
        if forecast.has(model.id):
            return forecast.has_fast_decoder(model.id)
        return model.fast_decoder_in(self.settings.models_dir) is not None

    def installed_models(self) -> list[str]:
        """The ids of the models that this machine or a live runner has."""
        return [model.id for model in MODELS.values() if self.is_installed(model)]

    @property
    def media_origin(self) -> str:
        """From where a browser gets videos if they are redirected to a bucket; empty otherwise."""
        if self.settings.downloads == "proxy":
            return ""
        try:
            url = urlsplit(self.storage.signed_url("video", REDIRECT_LIFETIME) or "")
        except StorageFailed:
            return ""
        return f"{url.scheme}://{url.netloc}" if url.netloc else ""

    def submit(
        self,
        request: GenerationRequest,
        *,
        idempotency_key: str | None = None,
        remixed_from: str | None = None,
    ) -> Job:
        """Queue a clip, or return the job that the same request and idempotency key queued before.

        Raises ApiError, ValidationError, KeyReused, QueueFull or DiskLow, and then queues
        nothing.
        """
        span = begin("submit", CLIENT.get(), kind="server")
        try:
            job = self._submit(request, idempotency_key, remixed_from, span.traceparent)
            span.note(job_id=job.id, model=job.model)
            log.info("job %s is queued", job.id, extra={"job_id": job.id})
        except Exception as error:
            span.fail(type(error).__name__)
            raise
        finally:
            span.end()
        if self.settings.log_prompts:
            log.info("job %s: %s", job.id, ascii(job.params.prompt), extra={"job_id": job.id})
        return job

    def _submit(
        self,
        request: GenerationRequest,
        idempotency_key: str | None,
        remixed_from: str | None,
        traceparent: str | None,
    ) -> Job:
        model, params = self._resolve(request)
        webhook = self._webhook(request)
        self._refuse_what_does_not_fit(request, model, params)
        return self.jobs.submit(
            params,
            remixed_from=remixed_from,
            warnings=self._warnings(params),
            webhook=webhook,
            submission=submission_of(idempotency_key, request, remixed_from),
            traceparent=traceparent,
            **request.kept,
        )

    def estimate(self, request: EstimateRequest) -> Estimate:
        """What a clip would take now. Raises what submit() does, except that it need not fit."""
        model, params = self._resolve(request)
        self._webhook(request)
        queue_seconds = self.jobs.queue_seconds(request.priority)
        terms = self._terms(loaded=queue_seconds > 0)
        quote = terms.quote(params, model)
        instead = self._instead(request, model, terms, quote, queue_seconds)
        too_long = queue_seconds >= (request.deadline_seconds or math.inf)
        warnings = self._warnings(params)
        if not self.jobs.live_workers():
            warnings.append(NO_WORKER)
        if (room := self.jobs.scarce_room()) is not None:
            warnings.append(ClipWarning(code="disk_low", message=room.too_little))
        if too_long:
            warnings.append(_queue_too_long(queue_seconds))
        return Estimate(quote, queue_seconds, instead, warnings)

    def preset_quotes(self, model: Model) -> dict[PresetName, Quote]:
        """What a clip with each preset of a model takes on an engine that holds the model.

        The page shows it for as long as it is open.
        """
        terms = self._terms(loaded=True)
        wanted = EstimateRequest()
        has_fast_decoder = self.has_fast_decoder(model)

        def params(preset: PresetName) -> GenerationParams:
            return wanted.model_copy(update={"preset": preset}).resolve(
                model.id, model.presets, has_fast_decoder=has_fast_decoder
            )

        return {name: terms.quote(params(name), model) for name in model.presets}

    def _instead(
        self,
        request: EstimateRequest,
        model: Model,
        terms: Terms,
        quote: Quote,
        queue_seconds: float,
    ) -> list[Alternative]:
        """Clips that fit and finish in time if the requested one does not, the nearest first."""
        deadline = request.deadline_seconds or math.inf
        if quote.fits and in_time(quote, deadline - queue_seconds):
            return []
        found: list[Alternative] = []
        if queue_seconds < deadline:
            seconds_left = deadline - queue_seconds
            found = alternatives(request, quote.params, self._models(model), terms, seconds_left)
        elif not quote.fits:  # nothing can finish in time, but something may fit
            found = alternatives(request, quote.params, self._models(model), terms)
        if quote.fits and (ahead := self.jobs.queue_seconds(MAX_PRIORITY)) < queue_seconds:
            sooner = self._terms(loaded=ahead > 0).quote(quote.params, model)
            if in_time(sooner, deadline - ahead):
                found.insert(0, Alternative({"priority": MAX_PRIORITY}, sooner))
        return found[:MAX_ALTERNATIVES]

    def _warnings(self, params: GenerationParams) -> list[ClipWarning]:
        return self.prompts.warnings(params, self.settings.model_dir(params.model))

    def _resolve(self, request: GenerationRequest) -> tuple[Model, GenerationParams]:
        """The clip in full. Raises ApiError or ValidationError."""
        model = self.installed_model(request.model)
        has_fast_decoder = self.has_fast_decoder(model)
        if request.decoder == "fast" and not has_fast_decoder:
            raise _no_fast_decoder(model)
        params = request.resolve(model.id, model.presets, has_fast_decoder=has_fast_decoder)
        _refuse_too_many_pixels(params)
        _require_steps_after_draft(request.draft_steps, params)
        return model, params

    def _refuse_what_does_not_fit(
        self, request: GenerationRequest, model: Model, params: GenerationParams
    ) -> None:
        """Raises ApiError if no machine has the memory: the clip would be killed after hours."""
        if model.parameters < SMALL_PARAMETERS:
            return
        terms = self._terms()
        quote = terms.quote(params, model)
        if not quote.fits:
            available = available_bytes(terms.machine.memory_bytes)
            instead = alternatives(request, params, self._models(model), terms)
            hint = f"; it would fit with {instead[0].summary}" if instead else ""
            raise ApiError(
                422,
                "does_not_fit",
                f"This clip needs {quote.peak_memory_bytes / 1e9:.1f} GB of memory; the largest "
                f"machine has {available / 1e9:.1f} GB for it{hint}.",
                alternatives=instead,
            )

    def _terms(self, *, loaded: bool = False) -> Terms:
        forecast = self.jobs.forecast()
        return Terms(
            machine=forecast.largest,
            expect=lambda params: forecast.expect(
                Work.of(params, MODELS[params.model]), params.model
            ),
            cost_per_hour=self.settings.cost_per_hour,
            has_fast_decoder=self.has_fast_decoder,
            loaded=loaded,
        )

    def _models(self, first: Model) -> list[Model]:
        """The installed models, this one first."""
        others = (model for model in MODELS.values() if model != first)
        return [first, *filter(self.is_installed, others)]

    def _webhook(self, request: GenerationRequest) -> Webhook | None:
        """The webhook of a request. Raises ApiError if its address is private."""
        if request.webhook_url is None:
            return None
        address = literal_address(urlsplit(request.webhook_url).hostname or "")
        if address and not (self.settings.webhook_allow_private or is_public(address)):
            message = (
                "webhook_url must be on a public address (or see HUNYUAN_WEBHOOK_ALLOW_PRIVATE)"
            )
            raise ApiError(422, "private_address", message, param="webhook_url")
        events = tuple(request.webhook_events or WEBHOOK_EVENTS)
        return Webhook(request.webhook_url, events, self.webhook_base)

    def installed_model(self, model_id: str | None) -> Model:
        """The model named, or the service's default. Raises ApiError if it is not installed."""
        model_id = model_id or self.settings.model
        model = MODELS.get(model_id)
        if model is not None and self.is_installed(model):
            return model
        if model is not None:
            fetch = download_command(model_id)
            message = f"model {model_id} is not installed; run on the service's machine: {fetch}"
        else:
            installed = ", ".join(self.installed_models()) or "none"
            message = f"there is no such model; installed: {installed}"
        raise ApiError(422, "unknown_model", message, param="model")


async def _backend_of(request: Request) -> Backend:
    """The backend, with the rights of the caller."""
    backend: Backend | None = request.app.state.backend
    if backend is None:
        raise unavailable(NOT_OPEN)
    return replace(
        backend,
        jobs=backend.jobs.seen_by(request.scope["caller"]),
        base=request.scope["base"],
        webhook_base=lasting_base(request.scope),
    )


FromBackend = Annotated[Backend, Depends(_backend_of)]


def submission_of(
    key: str | None, request: GenerationRequest, remixed_from: str | None
) -> Submission | None:
    """What identifies a submission that a client repeats; None without an idempotency key."""
    if key is None:
        return None
    # Without fields that have their default, so that a later version may add fields.
    said = {
        name
        for name, field in type(request).model_fields.items()
        if getattr(request, name) != field.get_default(call_default_factory=True)
    }
    named = json.dumps(request.model_dump(mode="json", include=said), sort_keys=True)
    # As computed by versions up to 2026-11, for as long as their jobs are kept.
    former = request.model_dump_json(exclude={"size", "seconds", "decoder"})
    return Submission(key, *(_fingerprint(f"{remixed_from} {asked}") for asked in (named, former)))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _queue_too_long(queue_seconds: float) -> ClipWarning:
    return ClipWarning(
        code="queue_too_long",
        message=f"The wait in the queue alone takes about {queue_seconds:.0f} s, longer than "
        "deadline_seconds.",
    )


def _no_fast_decoder(model: Model) -> ApiError:
    if model.fast_decoder is None:
        message = f"there is no fast decoder for {model.id}; leave decoder out, or send full"
    else:
        message = (
            f"the fast decoder for {model.id} is not installed; run on the runner's machine: "
            f"{download_command(model.fast_decoder.id)}"
        )
    return ApiError(422, "no_fast_decoder", message, param="decoder")


def _refuse_too_many_pixels(params: GenerationParams) -> None:
    pixels = params.width * params.height
    if pixels * params.num_frames > MAX_PIXEL_FRAMES:
        most = (MAX_PIXEL_FRAMES // pixels - 1) // 4 * 4 + 1
        raise ApiError(
            422,
            "too_large",
            f"num_frames must be at most {most} at {params.width}x{params.height}",
            param="num_frames",
        )


def _require_steps_after_draft(draft_steps: int | None, params: GenerationParams) -> None:
    if draft_steps is not None and draft_steps >= params.num_inference_steps:
        raise ApiError(
            422,
            "invalid_value",
            f"draft_steps must be below num_inference_steps, here {params.num_inference_steps}",
            param="draft_steps",
        )
