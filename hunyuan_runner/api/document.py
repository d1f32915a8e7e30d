"""Schemas in the OpenAPI document that FastAPI does not put there by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

CLIP_EXAMPLE = {"prompt": "A cat walks on grass", "preset": "fast", "seed": 7}
REFERENCE = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Without those it refers to."""
    schema = model.model_json_schema(mode="serialization", ref_template=REFERENCE)
    return {key: value for key, value in schema.items() if key != "$defs"}


def parameters_of(document: dict[str, Any], path: str, method: str) -> set[str]:
    """The names that an operation takes, in its query and in its body."""
    operation = document["paths"][path][method]
    names = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    for body in _bodies(operation):
        names |= _resolved(document, body["schema"])["properties"].keys()
    return names


def example(body: dict[str, Any]) -> dict[str, Any]:
    """What "Try it out" sends for an operation that takes JSON, as its `openapi_extra`.

    Not in the schema, which BentoML reads as well: it knows of no examples there.
    """
    return {"requestBody": {"content": {"application/json": {"example": body}}}}


def _bodies(operation: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """By media type."""
    bodies: dict[str, dict[str, Any]] = operation.get("requestBody", {}).get("content", {})
    return bodies.values()


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, where this one refers to it."""
    schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return schemas[name] if name else schema
