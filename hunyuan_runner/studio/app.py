"""The whole application: the API, and the page for browsers on top of it."""

from __future__ import annotations

from pathlib import Path

from fastapi import Depends
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from hunyuan_runner.api import app as api
from hunyuan_runner.api.document import DocumentedApp
from hunyuan_runner.api.requests import require_own_page
from hunyuan_runner.studio.routes import compose, library, machine, page, queue, session

STATIC = Path(__file__).parent / "static"
PANELS = (session.router, compose.router, queue.router, library.router, machine.router)


def create_app() -> DocumentedApp:
    """The API's application, with the page at `/` and its fragments below `/studio/`."""
    app = api.create_app()
    app.include_router(page.router)
    for panel in PANELS:
        app.include_router(
            panel,
            prefix="/studio",
            dependencies=[Depends(require_own_page)],
            include_in_schema=False,
        )
    app.mount("/static/studio", GZipMiddleware(_Static(directory=STATIC)))
    return app


class _Static(StaticFiles):
    """Files that a browser keeps, but asks about each time, so that none is of another version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response
