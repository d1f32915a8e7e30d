"""The page itself, and what stands in its place until it can be used."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.errors import NOT_OPEN, ApiError
from hunyuan_runner.api.routes.pages import route_list
from hunyuan_runner.studio import queue
from hunyuan_runner.studio.rendering import allow_media_from, render
from hunyuan_runner.studio.routes import compose, library
from hunyuan_runner.studio.routes.session import REFUSED, renew, signed_in

SIGN_IN = "sign-in"  # in the query of the page

router = APIRouter()


@router.get("/", tags=["service"], operation_id="index", response_class=Response)
def index(request: Request) -> Response:
    """A page for browsers, or the list of routes for programs."""
    if "text/html" in request.headers.get("Accept", ""):
        response = _page(request)
    else:
        response = JSONResponse(route_list(request.app.openapi(), request.scope["base"]))
    response.headers["Vary"] = "Accept, Cookie"
    return response


def _sign_in(request: Request) -> Response:
    return render(request, "login.html", refused=REFUSED in request.query_params)


def _page(request: Request) -> Response:
    backend: Backend | None = request.app.state.backend
    if backend is None:
        return render(request, "starting.html", status=503, message=NOT_OPEN)
    try:
        caller = request.scope["caller"] = request.app.state.guard.identify(request.scope)
    except ApiError as refusal:
        if refusal.status == 401:
            return _sign_in(request)
        return render(request, "closed.html", status=refusal.status, message=refusal.message)
    # Of a service that anybody may use, but where a key reaches one's own jobs
    may_sign_in = bool(backend.settings.accepted_keys) and not caller.name
    if may_sign_in and request.query_params.keys() & {SIGN_IN, REFUSED}:
        return _sign_in(request)
    backend = replace(backend, jobs=backend.jobs.seen_by(caller))
    response = render(
        request,
        "page.html",
        signed_in=signed_in(request),
        may_sign_in=may_sign_in,
        **compose.context(backend),
        **queue.context(backend.jobs),
        **library.context(backend.jobs),
    )
    if origin := backend.media_origin:
        allow_media_from(response, origin)
    renew(request, response)
    return response
