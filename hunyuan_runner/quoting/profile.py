"""What a runner's machine is and how fast it is, shared with others through the job database."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.machine.host import cpu_name, engine_threads, package_versions
from hunyuan_runner.machine.instructions import WantedKernels, available
from hunyuan_runner.machine.kernels import KernelChoice, choose_kernels
from hunyuan_runner.machine.precision import Cpu, Precision, choose
from hunyuan_runner.quoting.estimate import (
    MEASURED_PARTS,
    MEASURED_SPREAD,
    Rates,
    guess,
    guess_loading,
)
from hunyuan_runner.settings import Settings

# Raise it when engine/measure.py, or what it times, changes: then machines are measured anew.
BENCHMARK_VERSION = 3
MEASURED_FILE = "calibration.json"  # so named by earlier versions

Measured = Mapping[str, float]  # fields of Rates: all of those parts that are measured

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ability:
    """How a machine computes one model."""

    installed: bool
    precision: Precision
    reason: str  # for this precision
    rates: Rates
    basis: str  # what jobs took compares if basis, model and precision are the same
    fast_decoder: bool = False  # whether the model's is installed
    loading_seconds: float = 0.0  # before its next clip begins; 0 while the engine holds the model


@dataclass(frozen=True)
class Profile:
    """A runner's machine."""

    cpu: str
    threads: int
    memory_bytes: int
    models: Mapping[str, Ability]  # by id, installed or not
    kernels: KernelChoice | None = None  # None if there are none for it
    instructions: str = ""  # the best that its CPU has, in words; it may use others

    @classmethod
    def of_this_machine(cls, settings: Settings) -> Self:
        """With the rates that were measured here before, or guesses, and an engine that holds no
        model."""
        threads = engine_threads(settings)
        cpu = Cpu.here()
        kernels = choose_kernels(WantedKernels.of(settings), cpu.flags)
        measured = load_measured(settings)

        def ability(model: Model) -> Ability:
            choice = choose(settings.precision, model.parameters, cpu)
            return Ability(
                installed=settings.has_model(model.id),
                precision=choice.precision,
                reason=choice.reason,
                rates=rates_of(model, choice.precision, threads, kernels, measured),
                basis=f"{machine_key(threads)}, {_computed_with(choice.precision, kernels)}",
                fast_decoder=model.fast_decoder_in(settings.models_dir) is not None,
                loading_seconds=guess_loading(model),
            )

        abilities = {model.id: ability(model) for model in MODELS.values()}
        best = next((each.in_words for each in available(cpu.flags)), "without kernels")
        return cls(cpu_name(), threads, cpu.memory_bytes, abilities, kernels, best)

    @classmethod
    def of_json(cls, text: str) -> Self:
        """The reverse of as_json(), as text. Raises ValidationError if a newer version wrote it.

        Models that an earlier version did not know are not installed.
        """
        profile: Self = TypeAdapter(cls).validate_json(text)
        unknown = {
            model.id: Ability(
                installed=False,
                precision=Precision.FP32,
                reason="the runner's version does not know this model",
                rates=guess(model, Precision.FP32, profile.threads),
                basis="",
            )
            for model in MODELS.values()
            if model.id not in profile.models
        }
        return replace(profile, models={**profile.models, **unknown})

    def holding(self, held: str | None, took: Mapping[str, float]) -> Self:
        """With an engine that holds the model `held`. Others took so many seconds to load."""

        def known(model_id: str, ability: Ability) -> Ability:
            seconds = took.get(model_id, ability.loading_seconds)
            return replace(ability, loading_seconds=0.0 if model_id == held else seconds)

        return replace(self, models={name: known(name, each) for name, each in self.models.items()})

    def measured_key(self, model_id: str) -> str:
        """The key of a model's measured rates."""
        precision = self.models[model_id].precision
        return measured_key(MODELS[model_id], precision, self.threads, self.kernels)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def machine_key(threads: int) -> str:
    """Measured rates hold as long as this stays the same."""
    torch = package_versions()["torch"]
    return f"{cpu_name()}, {threads} threads, torch {torch}, benchmark {BENCHMARK_VERSION}"


def measured_key(
    model: Model, precision: Precision, threads: int, kernels: KernelChoice | None
) -> str:
    """The key of a model's rates on this machine; models of one architecture share them."""
    architecture = model.architecture
    sizes = f"{architecture.width}/{architecture.vae_channels[0]}"
    computed = f"{sizes} in {precision}, {_computed_with(precision, kernels)}"
    return f"{machine_key(threads)}: {computed}"


def _computed_with(precision: Precision, kernels: KernelChoice | None) -> str:
    """Decoders use kernels in every precision, attention only in int8."""
    if kernels is None:
        return "without kernels"
    return kernels.in_words if precision is Precision.INT8 else kernels.instructions.in_words


def rates_of(
    model: Model,
    precision: Precision,
    threads: int,
    kernels: KernelChoice | None,
    measured: Mapping[str, Measured],
) -> Rates:
    """What was measured, and guesses for the parts that were not."""
    known = measured.get(measured_key(model, precision, threads, kernels), {})
    rates = replace(guess(model, precision, threads), **known)
    return rates if missing_parts(known) else replace(rates, spread=MEASURED_SPREAD)


def missing_parts(known: Measured) -> list[str]:
    """The parts of a model that are still to be measured."""
    return [part for part, rates in MEASURED_PARTS.items() if not known.keys() >= set(rates)]


def load_measured(settings: Settings) -> dict[str, Measured]:
    """What was measured, by measured_key(): on every machine whose runner uses the data folder."""
    try:
        kept = json.loads(_file(settings).read_text())
        rates = TypeAdapter(dict[str, dict[str, float]]).validate_python(kept["rates"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, ValidationError):
        logger.warning(
            "%s cannot be read. The machine will be measured anew.", _file(settings), exc_info=True
        )
        return {}
    names = set().union(*MEASURED_PARTS.values())  # earlier versions wrote others, too
    return {
        key: {name: rate for name, rate in known.items() if name in names}
        for key, known in rates.items()
    }


def keep_measured(settings: Settings, key: str, measured: Measured) -> None:
    """Add it to what is kept there, perhaps by another runner meanwhile."""
    rates = load_measured(settings)
    rates[key] = {**rates.get(key, {}), **measured}
    part = _file(settings).with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(json.dumps({"rates": rates}, indent=1))
        part.replace(_file(settings))
    finally:
        part.unlink(missing_ok=True)


def _file(settings: Settings) -> Path:
    return settings.data_dir / MEASURED_FILE
