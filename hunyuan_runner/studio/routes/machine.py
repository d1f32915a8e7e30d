"""This machine: what clips are rendered on, and with which models."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.catalogue import HUNYUAN_LICENCE, MODELS, Model, download_command
from hunyuan_runner.machine.host import available_memory_bytes, cpu_flags, cpu_name
from hunyuan_runner.models.licence import LICENCE_URL
from hunyuan_runner.quoting.profile import Ability, Profile
from hunyuan_runner.quoting.quotes import Quote
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
    "asimddp": "NEON dot products",
    "i8mm": "NEON I8MM",
    "bf16": "BF16",
}

router = APIRouter()


@dataclass(frozen=True)
class _Entry:
    """A model in the list of the panel."""

    model: Model
    installed: bool
    ability: Ability  # on the largest machine
    quote: Quote  # of a clip with the standard preset
    command: str  # that installs it
    has_fast_decoder: bool

    @property
    def fast_decoder_command(self) -> str | None:
        """The command that adds the fast decoder to a model that is installed without."""
        decoder = self.model.fast_decoder
        if decoder is None or self.has_fast_decoder or not self.installed:
            return None
        return download_command(decoder.id)

    @property
    def restricted(self) -> bool:
        """Whether the licence excludes countries, and has to be accepted first."""
        return self.model.licence == HUNYUAN_LICENCE

    @property
    def download_bytes(self) -> float:
        """About what the weights take on the hub: 16 bits each, but for the VAE's 32."""
        architecture = self.model.architecture
        return (
            2 * self.model.parameters + architecture.text_encoder_bytes + 2 * architecture.vae_bytes
        )


@router.get("/machine")
def machine(request: Request, backend: FromBackend) -> HTMLResponse:
    """The facts of the panel, and the state of the button that opens it."""
    forecast = backend.jobs.forecast()
    runners = list(forecast.machines.values())
    here = cpu_name()
    context: dict[str, Any] = {
        "workers": backend.jobs.live_workers(),
        "runners": runners or [forecast.largest],
        "features": [name for flag, name in FEATURES.items() if flag in cpu_flags()],
        "renders_here": not runners or any(runner.cpu == here for runner in runners),
        "memory_free": available_memory_bytes(),
        "disk": shutil.disk_usage(backend.settings.data_dir),
        "licence_url": LICENCE_URL,
        "entries": _entries(backend, forecast.largest),
    }
    response = render(request, "machine/facts.html", **context)
    response.headers["HX-Trigger"] = "machine-seen"  # for what depends on it, such as the quote
    renew(request, response)
    return response


def _entries(backend: Backend, machine: Profile) -> list[_Entry]:
    return [
        _Entry(
            model=model,
            installed=backend.is_installed(model),
            ability=machine.models[model.id],
            quote=backend.preset_quotes(model)["standard"],
            command=download_command(model.id),
            has_fast_decoder=backend.has_fast_decoder(model),
        )
        for model in MODELS.values()
    ]
