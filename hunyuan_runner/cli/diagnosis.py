"""`hunyuan doctor`: whether this machine and its settings are fit for a service.

It looks at the machine itself, before a service starts or while it runs, and changes nothing. What
a service answers is examination.py's part.
"""

from __future__ import annotations

import difflib
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import AliasChoices

from hunyuan_runner import __version__
from hunyuan_runner.catalogue import MODELS, Model, download_command
from hunyuan_runner.cli.outcomes import Doubtful, Failed, Inapplicable, Outcome
from hunyuan_runner.cli.server import PACKAGES, settings_or_problems
from hunyuan_runner.machine.disk import Room, amount
from hunyuan_runner.machine.host import (
    available_memory_bytes,
    cpu_flags,
    cpu_name,
    memory_bytes,
    nodes_for_a_clip,
    usable_cores,
)
from hunyuan_runner.machine.instructions import WantedKernels, lacking
from hunyuan_runner.machine.kernels import choose_kernels, unmet_wish
from hunyuan_runner.machine.listening import CannotListen, http_url, require_free
from hunyuan_runner.machine.platform import unsupported_system
from hunyuan_runner.params import GenerationRequest

if TYPE_CHECKING:
    from hunyuan_runner.settings import Settings  # which the client does not have

SMALL_ROOM = 10e9  # bytes of a disk: a model takes more, and clips add up
CLOCK_SECONDS = 2.0  # by which the clocks of two machines may differ
FEW_CONNECTIONS = 200
PROBE = "doctor/probe"  # a key of no job
# Variables that are no settings of the service.
OTHER_VARIABLES = {"HUNYUAN_URL", "HUNYUAN_API_KEY", "HUNYUAN_RUNNER_SERVER"}


@dataclass(frozen=True)
class Machine:
    """This machine. `settings` is None if they are wrong, or if the server is not installed."""

    host: str
    port: int
    settings: Settings | None
    problems: Sequence[str]  # of the settings


@dataclass(frozen=True)
class Check:
    """A check. `look` returns what it found, or raises Failed, Doubtful or Inapplicable."""

    name: str
    look: Callable[[Machine], str]


def diagnose(host: str, port: int) -> Iterator[Outcome]:
    """Look at everything, and yield each outcome."""
    settings, problems = settings_or_problems() if _has_server() else (None, ())
    machine = Machine(host, port, settings, problems)
    for check in CHECKS:
        yield _outcome(check, machine)


def _outcome(check: Check, machine: Machine) -> Outcome:
    started = time.perf_counter()

    def outcome(status: str, got: str, advice: str = "") -> Outcome:
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        return Outcome(check.name, status, milliseconds, "", got, advice)  # type: ignore[arg-type]

    try:
        return outcome("ok", check.look(machine))
    except Failed as failure:
        return outcome("failed", failure.got, failure.advice)
    except Doubtful as doubt:
        return outcome("warning", doubt.got, doubt.advice)
    except Inapplicable as reason:
        return outcome("skipped", str(reason))


def _has_server() -> bool:
    return all(find_spec(package) is not None for package in PACKAGES["server"])


def _settings(machine: Machine) -> Settings:
    """Raises Inapplicable if there are none."""
    if machine.settings is None:
        raise Inapplicable("needs valid settings" if machine.problems else "needs [server]")
    return machine.settings


def _system(_: Machine) -> str:
    if problem := unsupported_system():
        raise Failed(platform.system(), problem)
    return f"Linux {platform.release()}, {platform.machine()}"


def _packages(_: Machine) -> str:
    found = f"hunyuan-runner {__version__}, Python {platform.python_version()}"
    if not _has_server():
        raise Inapplicable(
            f"{found}: the client and the command line. To run a service, install the extra "
            "[server]"
        )
    return found


def _variables(machine: Machine) -> str:
    if not _has_server():
        raise Inapplicable("needs [server]")
    from hunyuan_runner.settings import Settings

    if machine.problems:
        raise Failed("\n".join(machine.problems), "correct these environment variables")
    known = {f"HUNYUAN_{name.upper()}" for name in _names_of(Settings)}
    given = {name for name in os.environ if name.startswith("HUNYUAN_")} - OTHER_VARIABLES
    if unknown := sorted(given - known):
        nearest = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {nearest[0]}?" if nearest else "see docs/settings.md"
        raise Doubtful(f"not a setting: {', '.join(unknown)}", meant)
    return f"{len(given)} set in the environment" if given else "all have their defaults"


def _names_of(settings: type[Settings]) -> Iterator[str]:
    """The names of all settings, former ones included."""
    for name, field in settings.model_fields.items():
        yield name
        if isinstance(field.validation_alias, AliasChoices):
            yield from map(str, field.validation_alias.choices)


def _cpu(machine: Machine) -> str:
    found = f"{cpu_name()}, {usable_cores()} cores"
    if machine.settings is not None and (nodes := nodes_for_a_clip(machine.settings)):
        found += f" in {len(nodes)} NUMA nodes: a clip is computed on the {nodes[0].cores} of one"
    flags = cpu_flags()
    wanted_kernels = WantedKernels(Path())
    if machine.settings is not None:
        wanted_kernels = WantedKernels.of(machine.settings)
        if problem := unmet_wish(wanted_kernels, flags):
            raise Failed(found, problem)
    if kernels := choose_kernels(wanted_kernels, flags):
        found += f"\nkernels: {kernels.in_words}: {kernels.reason}"
    else:
        found += f"\nkernels: none, {lacking(flags)}"
    if machine.settings is None:
        return found
    from hunyuan_runner.machine.precision import Cpu, Precision, choose

    cpu, wanted = Cpu.here(), machine.settings.precision
    largest = max(MODELS.values(), key=lambda model: model.parameters)
    choice = choose(wanted, largest.parameters, cpu)
    found += f"\nlarge models in {choice.precision}: {choice.reason}"
    if wanted == "auto" and choice.precision is not Precision.INT8:
        obstacle = cpu.obstacle(Precision.INT8)
        raise Doubtful(found, f"large models take several times as long here: {obstacle}")
    return found


def _memory(machine: Machine) -> str:
    total, free = memory_bytes(), available_memory_bytes()
    found = f"{amount(total)}, of which {amount(free)} are free"
    if machine.settings is None:
        return found
    too_large = [
        f"{model.id} needs {amount(needed)} for its standard preset"
        for model in _installed(machine.settings)
        if (needed := _peak(model, machine.settings)) and not _fits(model, needed, total)
    ]
    if too_large:
        raise Doubtful("\n".join([found, *too_large]), "ask for smaller clips, or add memory")
    return found


def _peak(model: Model, settings: Settings) -> int:
    from hunyuan_runner.machine.precision import Cpu, choose
    from hunyuan_runner.quoting.memory import peak_bytes

    params = GenerationRequest(prompt="a cat").resolve(model.id, model.presets)
    precision = choose(settings.precision, model.parameters, Cpu.here()).precision
    return peak_bytes(params, model, precision)


def _fits(model: Model, needed: int, total: int) -> bool:
    from hunyuan_runner.quoting.memory import fits

    return fits(model, needed, total)


def _data_folder(machine: Machine) -> str:
    settings = _settings(machine)
    from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder

    folder = settings.data_dir.absolute()
    if folder.exists():
        try:
            return str(prepare_data_folder(settings))
        except DataFolderUnusable as error:
            raise Failed(str(error)) from error
    parent = next(each for each in folder.parents if each.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        problem = f"{folder} is missing, and cannot be made in {parent}"
        raise Failed(problem, "create it, or name another with HUNYUAN_DATA_DIR")
    return f"{folder} will be made at the first start"


def _disk(machine: Machine) -> str:
    room = Room.of(_settings(machine))
    found = f"{amount(room.free)} free, of which {amount(room.needed_to_accept)} are a reserve"
    if not room.accepts_jobs:
        raise Failed(f"{amount(room.free)} free", room.too_little)
    if room.free < SMALL_ROOM:
        raise Doubtful(found, "a large model takes 25 GB and more, and clips add up")
    return found


def _database(machine: Machine) -> str:
    settings = _settings(machine)
    from hunyuan_runner.jobs.opening import require_usable, schema_found
    from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION, StoreUnusable
    from hunyuan_runner.jobs.unavailable import JobsUnavailable

    kind = "SQLite" if settings.database_url is None else "Postgres"
    try:
        require_usable(settings)
        found = schema_found(settings)
    except StoreUnusable as error:
        raise Failed(kind, str(error)) from error
    except JobsUnavailable as error:
        advice = "start it, or correct HUNYUAN_DATABASE_URL"
        raise Failed(f"{kind}: {error.reason}", advice) from error
    if found is None:
        return f"{kind}, empty: its tables will be made at the first start"
    if found < SCHEMA_VERSION:
        return (
            f"{kind}, schema version {found}: the next start brings it to "
            f"{SCHEMA_VERSION}. Back it up before"
        )
    return f"{kind}, schema version {found}"


def _storage(machine: Machine) -> str:
    settings = _settings(machine)
    if settings.storage_url is None:
        return "files are kept in the data folder"
    from hunyuan_runner.storage.opening import open_storage
    from hunyuan_runner.storage.protocol import ObjectNotFound, StorageFailed

    try:
        storage, key = open_storage(settings), f"{PROBE}-{os.getpid()}"
        storage.put(key, b"probe")
        storage.get(key)
        storage.delete(key)
    except (StorageFailed, ObjectNotFound, OSError, ValueError) as error:
        raise Failed(str(error), "check HUNYUAN_STORAGE_URL and its credentials") from error
    return "the bucket can be written to, read and deleted from"


def _models(machine: Machine) -> str:
    settings = _settings(machine)
    installed = [model.id for model in _installed(settings)]
    if settings.model not in MODELS:
        raise Failed(f"there is no model {settings.model}", f"choose from {', '.join(MODELS)}")
    if settings.model not in installed:
        advice = f"run {download_command(settings.model)}"
        raise Failed(f"the default model {settings.model} is not installed", advice)
    return ", ".join(f"{name} (default)" if name == settings.model else name for name in installed)


def _installed(settings: Settings) -> list[Model]:
    return [model for model in MODELS.values() if settings.has_model(model.id)]


def _ffmpeg(_: Machine) -> str:
    if any(find_spec(package) is None for package in PACKAGES["media"]):
        raise Inapplicable("needs [media] or [server]")
    from hunyuan_runner import media

    try:
        return media.ffmpeg_version()
    except media.FfmpegUnusable as error:
        raise Failed(str(error), "reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE") from error


def _clock(machine: Machine) -> str:
    from hunyuan_runner.machine.clock import is_synchronised

    advice = "run a time service: systemd-timesyncd or chrony"
    if machine.settings is not None and machine.settings.database_url is not None:
        from hunyuan_runner.jobs.opening import clock_difference
        from hunyuan_runner.jobs.unavailable import JobsUnavailable

        try:
            difference = clock_difference(machine.settings)
        except JobsUnavailable as error:
            raise Inapplicable("needs the job database") from error
        if abs(difference) > CLOCK_SECONDS:
            raise Doubtful(f"{difference:+.0f} s from the clock of Postgres", advice)
    match is_synchronised():
        case None:
            raise Inapplicable("the kernel does not say whether it follows a time server")
        case False:
            raise Doubtful("it follows no time server, by what the kernel says", advice)
    return "it follows a time server"


def _port(machine: Machine) -> str:
    try:
        require_free(machine.host, machine.port)
    except CannotListen as error:
        url = http_url(machine.host, machine.port)
        if _is_ours(url):
            return f"a service of ours answers at {url}; `hunyuan check` tests it"
        raise Failed(str(error)) from error
    return f"port {machine.port} of {machine.host} is free"


def _is_ours(url: str) -> bool:
    try:
        index = httpx.get(url, headers={"Accept": "application/json"}, timeout=10, trust_env=False)
        return bool(index.json()["name"] == "hunyuan-runner")
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def _connections(machine: Machine) -> str:
    limit = _settings(machine).connection_limit
    if limit < FEW_CONNECTIONS:
        raise Doubtful(f"up to {limit} at once", "raise the limit of open files (ulimit -n 65536)")
    return f"up to {limit} at once"


def _access(machine: Machine) -> str:
    settings = _settings(machine)
    if settings.allow_anonymous:
        raise Doubtful(
            "everyone who reaches the service may use it",
            "unset HUNYUAN_ALLOW_ANONYMOUS, and make a key with `hunyuan keys new NAME`",
        )
    if not settings.accepted_keys:
        return "no API keys: the service answers this machine only"
    users = len({key.name for key in settings.accepted_keys})
    return f"API keys of {users} user{'s' * (users > 1)}"


CHECKS = (
    Check("system", _system),
    Check("packages", _packages),
    Check("settings", _variables),
    Check("cpu", _cpu),
    Check("memory", _memory),
    Check("data folder", _data_folder),
    Check("disk", _disk),
    Check("database", _database),
    Check("storage", _storage),
    Check("models", _models),
    Check("ffmpeg", _ffmpeg),
    Check("clock", _clock),
    Check("port", _port),
    Check("connections", _connections),
    Check("access", _access),
)
