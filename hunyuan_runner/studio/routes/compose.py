"""Composing a clip: its form, a live quote for it, and submitting it."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.errors import KNOWN_ERRORS, ApiError, as_api_error, each_refusal
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.params import EstimateRequest, GenerationRequest
from hunyuan_runner.prompts.words import KnownWords
from hunyuan_runner.quoting.quotes import Estimate
from hunyuan_runner.studio.forms import form_of
from hunyuan_runner.studio.rendering import render

OF_THE_PAGE = ("variations",)  # fields of the form that are none of the API
QUOTED_ONLY = ("deadline_seconds",)  # the API takes it in an estimate only

router = APIRouter()


def context(backend: Backend, model_id: str = "") -> dict[str, Any]:
    """What the form shows for a model, or for the service's default."""
    model = MODELS.get(model_id) or MODELS[backend.settings.model]
    return {
        "model": model,
        "models": [(each, backend.is_installed(each)) for each in MODELS.values()],
        "presets": backend.preset_quotes(model),
        "workers": backend.jobs.live_workers(),
        "known": KnownWords.of(backend.settings.model_dir(model.id)),
    }


@router.get("/compose")
def of_model(request: Request, backend: FromBackend, model: str = "") -> HTMLResponse:
    """The parts of the form that depend on the model."""
    return render(request, "compose/of_model.html", **context(backend, model))


@router.post("/quote")
async def quote(request: Request, backend: FromBackend) -> HTMLResponse:
    """The quote for the form, or what is wrong with it."""
    form = await form_of(request)
    return await run_in_threadpool(_quote, request, backend, form)


@router.post("/generate")
async def generate(request: Request, backend: FromBackend) -> HTMLResponse:
    """Queue the clip of the form. The answer is its quote, and the event `jobs-changed`."""
    form = await form_of(request)
    return await run_in_threadpool(_generate, request, backend, form)


def _quote(
    request: Request, backend: Backend, form: dict[str, str], refusals: list[ApiError] | None = None
) -> HTMLResponse:
    """The quote, with these refusals of the clip if there are any."""
    estimate: Estimate | None = None
    if not refusals:
        try:
            estimate = backend.estimate(EstimateRequest.model_validate(_asked(form)))
        except KNOWN_ERRORS as error:
            refusals = _refusals(error)
    model = MODELS.get(form.get("model", "")) or MODELS[backend.settings.model]
    facts = {
        "problems": {one.param: _beside_its_field(one) for one in refusals or [] if one.param},
        "params": estimate and estimate.quote.params.model_dump(mode="json"),
        "unknown": _unknown_words(backend, model, form.get("prompt", "")),
    }
    return render(
        request,
        "compose/quote.html",
        facts=facts,
        estimate=estimate,
        others=[one for one in refusals or [] if not one.param],
        problems=facts["problems"],
        deadline=form.get("deadline_seconds", ""),
        workers=backend.jobs.live_workers(),
    )


def _generate(request: Request, backend: Backend, form: dict[str, str]) -> HTMLResponse:
    try:
        wanted = GenerationRequest.model_validate(_asked(form, without=QUOTED_ONLY))
        job = backend.submit(wanted)
    except KNOWN_ERRORS as error:
        return _quote(request, backend, form, _refusals(error))
    response = _quote(request, backend, form)
    response.headers["HX-Trigger"] = json.dumps({"jobs-changed": {"ids": [job.id]}})
    return response


def _asked(form: dict[str, str], without: tuple[str, ...] = ()) -> dict[str, str]:
    return {name: value for name, value in form.items() if name not in (*OF_THE_PAGE, *without)}


def _refusals(error: Exception) -> list[ApiError]:
    if isinstance(error, ValidationError):
        return each_refusal(error)
    return [as_api_error(error)]


def _beside_its_field(refusal: ApiError) -> str:
    """The message without the name of its field, which stands there as a label."""
    text = refusal.message.removeprefix(f"{refusal.param} ")
    return text[:1].upper() + text[1:]


def _unknown_words(backend: Backend, model: Model, prompt: str) -> list[str]:
    known = KnownWords.of(backend.settings.model_dir(model.id))
    return known.unknown(prompt) if known else []
