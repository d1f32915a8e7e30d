"""What the API needs to know of the page: its files, and what they may load.

api/routes/pages.py serves `index.html` at `/`, and the files of `static/` below STATIC_PATH.
"""

from __future__ import annotations

import html
from pathlib import Path

from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent
STATIC_PATH = "/static/studio"

# The page loads nothing from elsewhere and runs no inline script. Widen this with the page: one
# that plays clips needs `media-src`, and `blob:` if it fetches them with an API key.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(root: str, service_url: str) -> HTMLResponse:
    """The page. Its links begin with `root`; its examples call the service at `service_url`."""
    text = (FOLDER / "index.html").read_text()
    text = text.replace("{{root}}", root).replace("{{base_url}}", html.escape(service_url))
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


def static_files() -> StaticFiles:
    return StaticFiles(directory=FOLDER / "static")
