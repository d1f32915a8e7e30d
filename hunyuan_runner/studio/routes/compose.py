"""Composing a clip: its form, a live quote for it, and submitting it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.errors import KNOWN_ERRORS, ApiError, as_api_error, each_refusal
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.params import EstimateRequest, GenerationRequest
from hunyuan_runner.prompts.words import KnownWords
from hunyuan_runner.quoting.quotes import Estimate, in_time
from hunyuan_runner.studio.forms import form_of
from hunyuan_runner.studio.rendering import render
from hunyuan_runner.studio.variations import count_of, submit

VARIATIONS = (1, 2, 4, 6, 9)
DEADLINES = (60, 5 * 60, 15 * 60, 3600, 3 * 3600, 12 * 3600)  # seconds
DEFAULT_PRESET = "standard"
ESTIMATED_ONLY = "deadline_seconds"  # a field of an estimate that a submission has not
OF_THE_PAGE = "variations"  # a field of the form that is none of the API's

EXAMPLES = (
    "A red fox trots through fresh snow at dawn, its breath visible in the cold air, tracking shot",
    "Espresso pours into a glass cup, steam rises, morning light, close-up, shallow depth of field",
    "Waves roll onto a black beach under heavy clouds, aerial view, slow camera movement",
    "An old lighthouse at night, its beam sweeping through the rain, cinematic",
)
# For a model with a small vocabulary: each is understood whole by the demo model.
SIMPLE_EXAMPLES = (
    "A cat walks on grass",
    "A red ball bounces on a white background",
    "The sun sets over a calm sea",
    "Snow falls on a field in winter",
    "A yellow car drives on a road",
    "A seagull glides across the sky",
)

# How the form names the fields that a refusal may be about.
LABELS = {
    "prompt": "The prompt",
    "model": "The model",
    "width": "Width",
    "height": "Height",
    "num_frames": "Frames",
    "fps": "Frames per second",
    "num_inference_steps": "Steps",
    "seed": "Seed",
    "guidance_scale": "Guidance",
    "negative_prompt": "What it should not show",
    "true_cfg_scale": "Weight against it",
    "flow_shift": "Noise shift",
    "decoder": "Decoder",
    "draft_steps": "Pause with a draft",
    "priority": "Priority",
}

router = APIRouter()


def context(backend: Backend, model_id: str = "", preset: str = DEFAULT_PRESET) -> dict[str, Any]:
    """What the form shows for a model, or for the service's default."""
    model = _model(backend, model_id)
    known = _known_words(backend, model)
    return {
        "model": model,
        "models": [(each, backend.is_installed(each)) for each in MODELS.values()],
        "presets": backend.preset_quotes(model),
        "preset": preset if preset in model.presets else DEFAULT_PRESET,
        "workers": backend.jobs.live_workers(),
        "known": known,
        "has_fast_decoder": backend.has_fast_decoder(model),
        "examples": SIMPLE_EXAMPLES if known else EXAMPLES,
        "variations": VARIATIONS,
        "deadlines": DEADLINES,
    }


@router.get("/compose")
def of_model(
    request: Request, backend: FromBackend, model: str = "", preset: str = DEFAULT_PRESET
) -> HTMLResponse:
    """The parts of the form that depend on the model."""
    return render(request, "compose/of_model.html", **context(backend, model, preset))


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


def _generate(request: Request, backend: Backend, form: dict[str, str]) -> HTMLResponse:
    try:
        jobs = _submit(backend, form)
    except KNOWN_ERRORS as error:
        refusals = _refusals(error)
        response = _answer(request, backend, form, None, refusals)
        # Also as a message: the next quote replaces this one, and may know no reason to refuse.
        message = _labelled(refusals[0].message)
        response.headers["HX-Trigger"] = json.dumps({"refused": message})
        return response
    response = _quote(request, backend, form)
    events = {"jobs-changed": {"ids": [job.id for job in jobs]}, "say": "It is in the queue."}
    response.headers["HX-Trigger"] = json.dumps(events)
    return response


def _submit(backend: Backend, form: dict[str, str]) -> list[Job]:
    wanted = GenerationRequest.model_validate(_asked(form, without=ESTIMATED_ONLY))
    return submit(backend, wanted, count_of(form.get(OF_THE_PAGE, "")))


def _quote(request: Request, backend: Backend, form: dict[str, str]) -> HTMLResponse:
    try:
        wanted = EstimateRequest.model_validate(_asked(form))
        estimate = backend.estimate(wanted)
    except KNOWN_ERRORS as error:
        return _answer(request, backend, form, None, _refusals(error))
    return _answer(request, backend, form, estimate, [], wanted.deadline_seconds)


def _answer(
    request: Request,
    backend: Backend,
    form: dict[str, str],
    estimate: Estimate | None,
    refusals: Sequence[ApiError],
    deadline: float | None = None,
) -> HTMLResponse:
    """The quote, or what is wrong with the form. compose.js puts `facts` beside the fields."""
    problems = {one.param: _beside_its_field(one) for one in refusals if one.param}
    known = _known_words(backend, _model(backend, form.get("model", "")))
    facts = {
        "problems": problems,
        "params": estimate and estimate.quote.params.model_dump(mode="json"),
        "unread": _unread(known, form.get("prompt", "")),
    }
    refused = [each for one in refusals for each in one.alternatives or ()]
    return render(
        request,
        "compose/quote.html",
        facts=facts,
        estimate=estimate,
        problems=problems,
        labels=LABELS,
        count=_count(form),
        others=[_labelled(one.message) for one in refusals if not one.param],
        alternatives=estimate.alternatives if estimate else refused,
        workers=backend.jobs.live_workers(),
        deadline=deadline,
        late=bool(estimate and deadline and _is_late(estimate, deadline)),
    )


def _is_late(estimate: Estimate, deadline: float) -> bool:
    """Whether the clip may be ready after the deadline, in seconds from now."""
    return not in_time(estimate.quote, deadline - estimate.queue_seconds)


def _asked(form: Mapping[str, str], without: str = "") -> dict[str, str]:
    return {name: value for name, value in form.items() if name not in (OF_THE_PAGE, without)}


def _count(form: Mapping[str, str]) -> int:
    """The variations that the form asks for; one if it asks for no valid number."""
    try:
        return count_of(form.get(OF_THE_PAGE, ""))
    except ApiError:
        return 1


def _refusals(error: Exception) -> list[ApiError]:
    if isinstance(error, ValidationError):
        return each_refusal(error)
    return [as_api_error(error)]


def _beside_its_field(refusal: ApiError) -> str:
    """The message without the name of its field, which stands there as a label."""
    text = _labelled(refusal.message.removeprefix(f"{refusal.param} "))
    return text[:1].upper() + text[1:]


def _labelled(message: str) -> str:
    """The message with the labels of the form in place of the API's names."""
    for name, label in LABELS.items():
        if "_" in name:
            message = message.replace(name, f"“{label}”")
    return message


def _model(backend: Backend, model_id: str) -> Model:
    return MODELS.get(model_id) or MODELS[backend.settings.model]


def _known_words(backend: Backend, model: Model) -> KnownWords | None:
    return KnownWords.of(backend.settings.model_dir(model.id))


def _unread(known: KnownWords | None, prompt: str) -> dict[str, Any]:
    """The words of a prompt that the model does not know, or cannot draw together with others."""
    if known is None or not prompt.strip():
        return {"unknown": [], "foreign": [], "scene": ""}
    scene, foreign = known.out_of_place(prompt)
    return {"unknown": known.unknown(prompt), "foreign": foreign, "scene": scene}
