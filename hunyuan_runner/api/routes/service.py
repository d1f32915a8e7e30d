"""What this service is: its models, its bounds and the machines it runs on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.document import refusals
from hunyuan_runner.api.views import capacity_view, model_view, runner_view
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.machine.host import (
    cpu_name,
    engine_threads,
    memory_bytes,
    package_versions,
    usable_cores,
)
from hunyuan_runner.params import MAX_PIXEL_FRAMES, GenerationRequest
from hunyuan_runner.settings import MIN_TARGET_WAIT
from hunyuan_runner.wire import CapacityView, HostView, Info, ModelList, ModelView

BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength")
MAX_WAIT_SECONDS = 30 * 24 * 3600

router = APIRouter(tags=["service"])


@router.get("/api/models", operation_id="list_models", responses=refusals())
def list_models(backend: FromBackend) -> ModelList:
    """List the models this service knows, and which of them are installed."""
    return ModelList(models=tuple(_model_view(backend, model) for model in MODELS.values()))


@router.get("/api/info", operation_id="get_info", responses=refusals(503))
def get_info(backend: FromBackend) -> Info:
    """Describe this service: its versions, models, bounds and machines."""
    settings = backend.settings
    return Info(
        name="hunyuan-runner",
        versions=package_versions(),
        models=list_models(backend).models,
        bounds=_bounds(),
        max_pixel_frames=MAX_PIXEL_FRAMES,
        retention_hours=settings.retention_hours,
        host=HostView(
            cpu=cpu_name(),
            cores=usable_cores(),
            threads=engine_threads(settings),
            memory_bytes=memory_bytes(),
        ),
        runners=tuple(map(runner_view, backend.jobs.forecast().machines.values())),
    )


@router.get("/api/capacity", operation_id="get_capacity", responses=refusals(422, 503))
def get_capacity(
    backend: FromBackend,
    target_wait_seconds: Annotated[
        float | None,
        Query(
            ge=MIN_TARGET_WAIT,
            le=MAX_WAIT_SECONDS,
            description="How long a job may wait in the queue; default: "
            "HUNYUAN_TARGET_WAIT_SECONDS.",
        ),
    ] = None,
) -> CapacityView:
    """Say how much work is queued and how many runners it needs, to start and stop machines."""
    target = target_wait_seconds or backend.settings.target_wait_seconds
    return capacity_view(backend.jobs.capacity(), backend.installed_models(), target)


def _model_view(backend: Backend, model: Model) -> ModelView:
    installed, default = backend.is_installed(model), model.id == backend.settings.model
    return model_view(
        model,
        installed=installed,
        has_fast_decoder=backend.has_fast_decoder(model),
        default=default,
    )


def _bounds() -> dict[str, dict[str, float]]:
    fields = GenerationRequest.model_json_schema()["properties"]
    rules = {name: field.get("anyOf", [field])[0] for name, field in fields.items()}
    return {
        name: found
        for name, rule in rules.items()
        if (found := {key: rule[key] for key in BOUNDS if key in rule})
    }
