"""The pages for browsers. Every asset is our own: nothing is fetched from elsewhere."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

API = Path(__file__).parent
STUDIO = Path(__file__).parent.parent / "studio"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter()


@router.get("/", tags=["service"], operation_id="index", response_class=Response)
async def index(request: Request) -> Response:
    """A page for browsers; for programs, the list of routes."""
    if "text/html" in request.headers.get("Accept", ""):
        page = (STUDIO / "index.html").read_text()
        page = page.replace("{{base_url}}", html.escape(str(request.base_url).rstrip("/")))
        response: Response = HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})
    else:
        response = JSONResponse(_route_list(request.app.openapi()))
    response.headers["Vary"] = "Accept"
    return response


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    page = (API / "docs.html").read_text()
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


def static_files() -> dict[str, StaticFiles]:
    """By path, the folders whose files are served as they are."""
    return {
        "/static/docs": StaticFiles(directory=API / "static"),
        "/static/studio": StaticFiles(directory=STUDIO / "static"),
    }


def _route_list(openapi: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": openapi["info"]["title"],
        "version": openapi["info"]["version"],
        "docs": "/docs",
        "routes": {
            f"{method.upper()} {path}": operation["description"]
            for path, operations in openapi["paths"].items()
            for method, operation in operations.items()
        },
    }
