"""Renders templates: whole pages, and the fragments that htmx swaps into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from hunyuan_runner import __version__
from hunyuan_runner.api.routes.pages import root_of
from hunyuan_runner.studio import wording

# Nothing is loaded from elsewhere, and no script or style may stand in the page itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    # With the front's no-referrer, a browser would hide the origin of our own forms.
    "Referrer-Policy": "same-origin",
}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_templates.filters |= wording.FILTERS


def allow_media_from(response: Response, origin: str) -> None:
    """Let the page play videos that are redirected to this origin."""
    allowed = POLICY.replace("media-src 'self'", f"media-src 'self' {origin}")
    response.headers["Content-Security-Policy"] = allowed


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The page or fragment that a template makes.

    Every template has `root`, which its links begin with: `{{ root }}api/jobs`; `caller`, who may
    see every user's jobs if `caller.sees_all`; and `version`.
    """
    text = _templates.get_template(template).render(
        root=root_of(request), caller=request.scope["caller"], version=__version__, **context
    )
    return HTMLResponse(text, status, HEADERS)
