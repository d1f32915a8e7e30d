"""The fields of a form, as a page sends them."""

from __future__ import annotations

from fastapi import Request

from hunyuan_runner.api.bodies import URLENCODED, media_type_of, read_form
from hunyuan_runner.api.errors import ApiError


async def form_of(request: Request) -> dict[str, str]:
    """The fields by name; of several with one name, the last. Raises ApiError."""
    if media_type_of(request.headers) != URLENCODED:
        raise ApiError(415, "not_a_form", f"Send the fields as {URLENCODED}.")
    return dict(await read_form(request))
