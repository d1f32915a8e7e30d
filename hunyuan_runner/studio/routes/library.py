"""The library: clips that are finished."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()
