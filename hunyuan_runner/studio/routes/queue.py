"""The queue: jobs that wait, run, are paused, or ended badly."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()
