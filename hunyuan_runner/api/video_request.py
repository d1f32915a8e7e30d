"""A request for a video in OpenAI's words, as JSON or as a form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Request
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from hunyuan_runner.api.bodies import MULTIPART, NO_IMAGES, URLENCODED, media_type_of, read_form
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api.names import did_you_mean
from hunyuan_runner.api.requests import require_json, require_own_page
from hunyuan_runner.params import ALIASES, GenerationRequest

OTHERS_MODELS = re.compile(r"sora-.*")  # code written for OpenAI names these: use the default
FORMS = (MULTIPART, URLENCODED)
MAX_FIELDS = 100  # each unknown one is compared with the known names


def own_model(model: str | None) -> str | None:
    """The model to use; None for the service's default."""
    return None if model is None or OTHERS_MODELS.fullmatch(model) else model


def _one(number: int) -> int:
    if number != 1:
        raise ValueError("must be 1; send a request for each video")
    return number


def _no_reference(_: object) -> None:
    raise ValueError(NO_IMAGES)


class VideoRequest(GenerationRequest):
    """The fields that OpenAI's SDK sends, and all other fields of a clip.

    OpenAI's fields that this service does not have, such as `user`, are ignored. A name that looks
    like a misspelt field is refused.
    """

    model_config = ConfigDict(extra="ignore")

    model: Annotated[str | None, AfterValidator(own_model)] = Field(
        None, description="A model id from /v1/models; sora-* means the default."
    )
    n: Annotated[int, AfterValidator(_one)] = Field(
        1,
        exclude=True,
        description="The number of videos. It can only be 1.",
        json_schema_extra={"minimum": 1, "maximum": 1},
    )
    input_reference: SkipJsonSchema[Annotated[object, AfterValidator(_no_reference)]] = Field(
        None, exclude=True
    )


async def read_video_request(request: Request) -> VideoRequest:
    """Raises ApiError or pydantic's ValidationError."""
    if media_type_of(request.headers) in FORMS:
        await require_own_page(request)
        fields: Any = _fields_of(await read_form(request))
    else:
        await require_json(request)
        fields = await request.json() if await request.body() else {}
    if isinstance(fields, dict):
        _refuse_misspelt(fields)
    return VideoRequest.model_validate(fields)


def _refuse_misspelt(fields: dict[str, Any]) -> None:
    if len(fields) > MAX_FIELDS:
        raise ApiError(422, "invalid_value", f"A video has at most {MAX_FIELDS} fields.")
    for name in fields:
        if name not in VideoRequest.model_fields and name not in ALIASES:
            hint = did_you_mean(name, VideoRequest.model_fields)
            if hint:
                message = f"{name} is not a known field{hint}"
                raise ApiError(422, "unknown_field", message, param=name)


def _fields_of(form: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields as in a JSON body: `metadata[a]` is an entry, `webhook_events[]` an item."""
    fields: dict[str, Any] = {}
    for name, text in form:
        field, _, key = name.partition("[")
        if field == "metadata" and key and isinstance(fields.setdefault(field, {}), dict):
            fields[field][key.removesuffix("]")] = text
        elif field == "metadata":
            fields[field] = _parsed(text)
        elif field == "webhook_events" and text:
            given = _parsed(text)
            items = given if isinstance(given, list) else text.split(",")
            fields.setdefault(field, []).extend(items)
        else:
            fields[field if field in VideoRequest.model_fields else name] = text
    return fields


def _parsed(text: str) -> Any:
    """The value of a form field: its JSON, or its text if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
