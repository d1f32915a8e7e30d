"""The pages for browsers. Every asset is our own: nothing is fetched from elsewhere."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from hunyuan_runner.api.links import forwarded_prefix

API = Path(__file__).parent.parent
STUDIO = API.parent / "studio"
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
        page = page.replace("{{base_url}}", html.escape(_base_url(request)))
        response: Response = _page(page, request)
    else:
        response = JSONResponse(_route_list(request.app.openapi(), request.scope["base"]))
    response.headers["Vary"] = "Accept"
    return response


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    return _page((API / "docs.html").read_text(), request)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    document = request.app.openapi()
    if base := request.scope["base"]:
        document = document | {"servers": [{"url": base}]}
    return JSONResponse(document)


def static_files() -> dict[str, StaticFiles]:
    """By path, the folders whose files are served as they are."""
    return {
        "/static/docs": StaticFiles(directory=API / "static"),
        "/static/studio": StaticFiles(directory=STUDIO / "static"),
    }


def _page(page: str, request: Request) -> HTMLResponse:
    """Its links lead to where the browser has it from, which need not be the public URL."""
    prefix = forwarded_prefix(request.headers)
    # Without a prefix they are relative: a proxy may have one and not say so.
    page = page.replace("{{root}}", f"{prefix}/" if prefix else "")
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


def _base_url(request: Request) -> str:
    """What a command has to ask."""
    base: str = request.scope["base"]
    host = request.headers.get("Host", "")
    return base if "://" in base else f"{request.scope['scheme']}://{host}{base}"


def _route_list(openapi: dict[str, Any], base: str) -> dict[str, Any]:
    return {
        "name": openapi["info"]["title"],
        "version": openapi["info"]["version"],
        "docs": f"{base}/docs",
        "routes": {
            f"{method.upper()} {path}": operation["description"]
            for path, operations in openapi["paths"].items()
            for method, operation in operations.items()
        },
    }
