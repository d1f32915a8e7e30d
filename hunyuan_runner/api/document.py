"""Schemas in the OpenAPI document that FastAPI does not put there by itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

REFERENCE = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Without those it refers to."""
    schema = model.model_json_schema(mode="serialization", ref_template=REFERENCE)
    return {key: value for key, value in schema.items() if key != "$defs"}
