"""The OpenAPI document. Routes declare their own parameters and answers; all else that shapes the
document is here: what FastAPI leaves out, and the pieces that several routes declare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.routing import compile_path

from hunyuan_runner.api.auth import OPEN_PATHS
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.machine.disk import Room
from hunyuan_runner.storage.keys import ClipFile
from hunyuan_runner.wire import AlternativeView, ErrorBody, ErrorDetail, RangeView

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]

CLIP_EXAMPLE = {"prompt": "A cat walks on grass", "preset": "fast", "seed": 7}
REFERENCE = "#/components/schemas/{model}"
GUARDED = (401, 403, 429)  # statuses of the key check and the rate limit

KEY_SCHEMES = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

REFUSALS = (  # an example for each status
    ApiError(400, "malformed_json", "The body is not valid JSON: Expecting value at character 12."),
    ApiError(401, "unauthorized", "The API key is unknown; check it."),
    ApiError(
        403, "keys_not_set", "This service has no API keys, so it answers only its own machine."
    ),
    ApiError(404, "not_found", "There is no job '18d4'; it may have been deleted or have expired."),
    ApiError(409, "wrong_state", "Job 18d4 is in_progress; cancel it before deleting it"),
    ApiError(413, "body_too_large", "The body is too large; send at most 262144 bytes."),
    ApiError(415, "not_json", "Send the body as JSON, with Content-Type: application/json."),
    ApiError(
        416,
        "range_not_satisfiable",
        "The file ends at byte 183211; ask for a range that starts before.",
        param="Range",
    ),
    ApiError(422, "invalid_value", "num_frames must be 4k+1, such as 49 or 53", param="num_frames"),
    ApiError(429, "rate_limited", "More than 120 requests in 60 seconds; wait 9 s."),
    ApiError(
        503,
        "unavailable",
        "The job database does not answer. Nothing was changed; try again later.",
    ),
    ApiError(507, "disk_low", Room(10**11, 4 * 10**8, 10**9, 5 * 10**8).too_little),
)


class DocumentedApp(FastAPI):
    """Completes the document that FastAPI makes."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


# What routes declare


def refusals(*statuses: int, open_to_all: bool = False) -> Responses:
    """The error responses of a route, with those of the key check unless it is open to all."""
    statuses = statuses if open_to_all else (*statuses, *GUARDED)
    # Not as a model: FastAPI would build a validator for every route and status.
    return {
        refusal.status: {
            "description": refusal.code.replace("_", " ").capitalize(),
            "content": {
                "application/json": {"schema": reference(ErrorBody), "example": refusal.body()}
            },
        }
        for refusal in REFUSALS
        if refusal.status in statuses
    }


def answers_with(*files: ClipFile, redirects: bool = False) -> Responses:
    """The responses of a route that serves one of these files.

    With `redirects`, HUNYUAN_DOWNLOADS decides whether it does so itself.
    """
    content: Schema = {file.media_type: {} for file in files}
    redirected: Responses = {
        307: {"description": "The file is at `Location`, in a bucket, for five minutes."}
    }
    return {
        200: {"content": content, "description": "The file."},
        206: {"content": content, "description": "The requested range of the file."},
        304: {"description": "The file has not changed since the one of `If-None-Match`."},
        **(redirected if redirects else {}),
    }


def answers_with_events(*events: Schema) -> Responses:
    """The response of a route that streams these events, each described by event_schema()."""
    return {
        200: {
            "description": "The stream. Comments keep it alive while nothing happens.",
            "content": {"text/event-stream": {"itemSchema": {"oneOf": [*events]}}},
        }
    }


def event_schema(name: str, description: str, data: Schema) -> Schema:
    """The schema of a server-sent event; `data` is the schema of its data, which is JSON."""
    encoded = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "type": "object",
        "description": description,
        "properties": {"event": {"const": name}, "id": {"type": "string"}, "data": encoded},
        "required": ["event", "id", "data"],
    }


def example(body: Schema) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes JSON: what "Try it out" sends.

    It is not in the request's schema, because BentoML reads that, too, and knows no examples.
    """
    return {"requestBody": {"content": {"application/json": {"example": body}}}}


def json_or_form(model: type[BaseModel], forms: Sequence[str], example: Schema) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes `model` as JSON or as a form of these types."""
    schema = model.model_json_schema()
    fields = {name: _of_form(field) for name, field in schema["properties"].items()}
    schemas = {"application/json": schema} | dict.fromkeys(forms, schema | {"properties": fields})
    content = {kind: {"schema": each, "example": example} for kind, each in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def reference(model: type[BaseModel]) -> Schema:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def schema_of(model: type[BaseModel]) -> Schema:
    """The schema of a model, without those it refers to."""
    schema = model.model_json_schema(mode="serialization", ref_template=REFERENCE)
    return {key: value for key, value in schema.items() if key != "$defs"}


# What the document says of a path


def methods_of(document: Schema, path: str) -> set[str]:
    """The methods that a path of a request takes, from all its routes."""
    paths = document["paths"]
    if path in paths:  # such as /api/jobs/cancel, which is no job of that name
        return {method.upper() for method in paths[path]}
    return {
        method.upper()
        for template, operations in paths.items()
        if compile_path(template)[0].fullmatch(path)
        for method in operations
    }


def parameters_of(document: Schema, path: str, method: str) -> set[str]:
    """The names that an operation takes in its query and in its body."""
    operation = document["paths"][path][method]
    names = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    for body in operation.get("requestBody", {}).get("content", {}).values():
        names |= _resolved(document, body["schema"])["properties"].keys()
    return names


def _completed(document: Schema) -> Schema:
    """Say which routes need a key, add the schemas of refusals, and drop FastAPI's own refusal."""
    components = document["components"]
    components["securitySchemes"] = KEY_SCHEMES
    for model in (ErrorDetail, ErrorBody, AlternativeView, RangeView):
        components["schemas"][model.__name__] = schema_of(model)
    for path, operations in document["paths"].items():
        if path not in OPEN_PATHS:
            # FastAPI would add this for a dependency, but the front checks keys before any route.
            for operation in operations.values():
                operation["security"] = [{scheme: []} for scheme in KEY_SCHEMES]
    for operations in (*document["paths"].values(), *document["webhooks"].values()):
        for operation in operations.values():
            # No route answers with FastAPI's own 422.
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]
    for schema in ("HTTPValidationError", "ValidationError"):
        del components["schemas"][schema]
    return document


def _of_form(field: Schema) -> Schema:
    """A field as a form has it: never null. Swagger UI fills a form in from `example` only."""
    changed = field | ({"example": field["examples"][0]} if "examples" in field else {})
    if "anyOf" in field:
        changed["anyOf"] = [kind for kind in field["anyOf"] if kind["type"] != "null"]
        del changed["default"]
    return changed


def _resolved(document: Schema, schema: Schema) -> Schema:
    """The schema that this one refers to, or itself."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return schemas[name] if name else schema
