"""This machine: what clips are rendered on."""

from __future__ import annotations

import shutil
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.catalogue import MODELS, download_command
from hunyuan_runner.machine.host import available_memory_bytes, cpu_flags, cpu_name
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.studio.rendering import render
from hunyuan_runner.studio.routes.session import renew

# Instruction sets that rendering uses if the CPU has them, by their names in /proc/cpuinfo.
FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX BF16",
}

router = APIRouter()


def context(backend: Backend) -> dict[str, Any]:
    """What the panel shows."""
    forecast = backend.jobs.forecast()
    runners = list(forecast.machines.values())
    here = cpu_name()
    disk = shutil.disk_usage(backend.settings.data_dir)
    return {
        "workers": backend.jobs.live_workers(),
        "runners": runners or [forecast.largest],
        "features": [name for flag, name in FEATURES.items() if flag in cpu_flags()],
        "renders_here": not runners or any(runner.cpu == here for runner in runners),
        "memory_free": available_memory_bytes(),
        "disk": disk,
        "models": [
            (model, backend.is_installed(model), download_command(model.id))
            for model in MODELS.values()
        ],
        "precisions": _precisions(runners or [forecast.largest]),
    }


@router.get("/machine")
def machine(request: Request, backend: FromBackend) -> HTMLResponse:
    response = render(request, "machine/refresh.html", **context(backend))
    renew(request, response)
    return response


def _precisions(runners: list[Profile]) -> dict[str, tuple[str, str]]:
    """By model: the precision it is computed in, and why, on the largest machine."""
    largest = max(runners, key=lambda runner: runner.memory_bytes)
    return {
        model_id: (ability.precision, ability.reason)
        for model_id, ability in largest.models.items()
    }
