"""The pages for browsers, and the documents for programs. Every asset is our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from hunyuan_runner.api.links import forwarded_prefix
from hunyuan_runner.studio import page as studio

API = Path(__file__).parent.parent
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter()


@router.get("/", tags=["service"], operation_id="index", response_class=Response)
async def index(request: Request) -> Response:
    """A page for browsers, or the list of routes for programs."""
    if "text/html" in request.headers.get("Accept", ""):
        response: Response = studio.page(_root(request), _service_url(request))
    else:
        response = JSONResponse(_route_list(request.app.openapi(), request.scope["base"]))
    response.headers["Vary"] = "Accept"
    return response


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    page = (API / "docs.html").read_text().replace("{{root}}", _root(request))
    return HTMLResponse(page, headers={"Content-Security-Policy": DOCS_POLICY})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    document = request.app.openapi()
    if base := request.scope["base"]:
        document = document | {"servers": [{"url": base}]}
    return JSONResponse(document)


def static_files() -> dict[str, StaticFiles]:
    """The folders whose files are served as they are, by path."""
    return {
        "/static/docs": StaticFiles(directory=API / "static"),
        studio.STATIC_PATH: studio.static_files(),
    }


def _root(request: Request) -> str:
    """What the links of a page begin with. The browser need not have it from the public URL."""
    prefix = forwarded_prefix(request.headers)
    # Without a known prefix links are relative: a proxy may add one and not say so.
    return f"{prefix}/" if prefix else ""


def _service_url(request: Request) -> str:
    """The address of the service, for commands that a page shows."""
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
