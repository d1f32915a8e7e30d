"""Signing in with an API key, once for each browser session, and signing out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from hunyuan_runner.api.auth import Guard, session_token
from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api.links import forwarded_prefix
from hunyuan_runner.api.sessions import COOKIE, is_old
from hunyuan_runner.studio.forms import form_of

REFUSED = "refused"  # in the query of the page, after a key that is unknown

router = APIRouter()


@router.post("/login")
async def login(request: Request, _: FromBackend) -> Response:
    """Open a session with the API key of the form, or show the form again."""
    guard: Guard = request.app.state.guard
    form = await form_of(request)
    try:
        key = guard.key_named(form.get("key", "").strip())
    except ApiError:
        return RedirectResponse(f"../?{REFUSED}", 303)
    response = RedirectResponse("../", 303)
    if guard.sessions is not None:
        _set_cookie(request, response, guard.sessions.open(key))
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    response = RedirectResponse("../", 303)
    response.delete_cookie(COOKIE, path=_path(request))
    return response


def signed_in(request: Request) -> bool:
    """Whether the caller has a session, which can be ended."""
    return bool(request.scope["caller"].name) and session_token(request.headers) is not None


def renew(request: Request, response: Response) -> None:
    """Replace the session of the caller if it is old: a page may stay open for days."""
    guard: Guard = request.app.state.guard
    token = session_token(request.headers)
    if token is None or guard.sessions is None:
        return
    key = guard.sessions.key_of(token)
    if key is not None and is_old(token):
        _set_cookie(request, response, guard.sessions.open(key))


def _set_cookie(request: Request, response: Response, token: str) -> None:
    """A cookie that ends with the browser's session, and that no script and no other site sees."""
    response.set_cookie(
        COOKIE,
        token,
        path=_path(request),
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )


def _path(request: Request) -> str:
    return f"{forwarded_prefix(request.headers)}/"


def _is_https(request: Request) -> bool:
    """Whether the browser uses https, as far as this service or its proxy says."""
    return "https" in (
        request.url.scheme,
        request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower(),
        (request.app.state.settings.public_url or "").partition(":")[0],
    )
