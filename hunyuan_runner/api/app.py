"""The FastAPI application: every route of the service, and how each refuses a request."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from hunyuan_runner import __version__
from hunyuan_runner.api.document import DocumentedApp, methods_of, parameters_of
from hunyuan_runner.api.errors import INTERNAL, KNOWN_ERRORS, as_api_error, error_response
from hunyuan_runner.api.names import did_you_mean
from hunyuan_runner.api.routes import (
    events,
    files,
    health,
    jobs,
    metrics,
    openai,
    pages,
    service,
    tasks,
    webhooks,
)

ROUTERS = (  # in the order of the OpenAPI document
    jobs.router,
    files.router,
    service.router,
    events.router,
    webhooks.router,
    tasks.router,
    openai.router,
    openai.models,
    metrics.router,
    health.router,
    pages.router,
)


def create_app() -> DocumentedApp:
    """The application. It answers 503 until its state has a `backend` and a `tail`."""
    app = DocumentedApp(
        title="hunyuan-runner",
        version=__version__,
        summary="Text-to-video on plain CPUs: a prompt goes in, a job is queued, an MP4 comes out.",
        openapi_url=None,  # pages.py serves it, with the address of the service
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        webhooks=webhooks.sent,
    )
    app.state.backend = app.state.tail = None  # until the job store is open
    for router in ROUTERS:
        app.include_router(router)
    for path, folder in pages.static_files().items():
        app.mount(path, folder)
    for error in KNOWN_ERRORS:
        app.add_exception_handler(error, _refuse)
    app.add_exception_handler(Exception, _fail)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    document = request.app.openapi()
    methods = methods_of(document, request.scope["path"])
    if isinstance(error, HTTPException) and error.status_code == 405 and methods:
        # Starlette names the methods of one route only; a path may have several.
        error.headers = {"Allow": ", ".join(sorted(methods))}
    refusal = as_api_error(error)
    if refusal is not error and refusal.code == "unknown_field" and methods:
        known = parameters_of(document, request.scope["route"].path, request.method.lower())
        refusal.message += did_you_mean(f"{refusal.param}", known)
    return error_response(refusal, request.scope["path"])


async def _fail(request: Request, _error: Exception) -> Response:
    return error_response(INTERNAL, request.scope["path"])  # the front logs the error
