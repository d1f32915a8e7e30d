"""The API's documentation, for people and for programs. Every asset is our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from hunyuan_runner.api.links import forwarded_prefix

API = Path(__file__).parent.parent
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    page = (API / "docs.html").read_text().replace("{{root}}", root_of(request))
    return HTMLResponse(page, headers={"Content-Security-Policy": DOCS_POLICY})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    document = request.app.openapi()
    if base := request.scope["base"]:
        document = document | {"servers": [{"url": base}]}
    return JSONResponse(document)


def static_files() -> dict[str, StaticFiles]:
    """The folders whose files are served as they are, by path."""
    return {"/static/docs": StaticFiles(directory=API / "static")}


def root_of(request: Request) -> str:
    """What the links of a page begin with. The browser need not have it from the public URL."""
    prefix = forwarded_prefix(request.headers)
    # Without a known prefix links are relative: a proxy may add one and not say so.
    return f"{prefix}/" if prefix else ""


def route_list(openapi: dict[str, Any], base: str) -> dict[str, Any]:
    """What the service answers, for a program that asks for its index."""
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
