"""The two BentoML services: a front that answers HTTP, and a runner that renders.

They share the job store and nothing else. Every process imports this file, so nothing heavy is
imported at its top.
"""

from __future__ import annotations

import gc

# The imports below create many objects and drop none. The collector would scan them again and
# again, which takes a fifth of the start. It is enabled again at the end of this file.
gc.disable()

import sys

from hunyuan_runner.machine.platform import unsupported_system

if problem := unsupported_system():  # before imports that fail on other systems
    sys.exit(problem)

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import bentoml
import click
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException
from bentoml.validators import ContentType

# BentoML makes every process keep its metrics in memory-mapped files, in a folder that may be on
# the data disk. Writing to them when the disk is full kills the process. Metrics are not state and
# each service is one process, so memory is enough. prometheus_client reads this when imported.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
# The database of BentoML's tasks. It stays empty, because our middleware answers the task routes;
# a file would only need room on a disk.
os.environ["BENTOML_RESULT_STORE"] = ":memory:"

from hunyuan_runner import __version__
from hunyuan_runner.jobs.opening import require_usable, when_it_opens
from hunyuan_runner.jobs.schema_version import StoreUnusable
from hunyuan_runner.logs import configure_logging
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.kernels import unmet_wish
from hunyuan_runner.machine.listening import CannotListen, require_free
from hunyuan_runner.machine.numa import take_node
from hunyuan_runner.machine.parent import die_with
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import get_settings
from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder
from hunyuan_runner.tracing import configure_tracing, stop_tracing

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from hunyuan_runner.jobs.worker import Worker

# The id of the server that started this process; prepare() sets it. A server that is killed does
# not stop its processes, so they watch it.
SERVER = "HUNYUAN_RUNNER_SERVER"
if (server := os.environ.pop(SERVER, None)) is not None:
    die_with(int(server))

settings = get_settings()
configure_logging(settings.log_level, settings.log_format)
log = logging.getLogger(__name__)

# We have our own. BentoML labels its metrics with raw paths, which include job ids; its access log
# has no request ids; its traces are sent nowhere and cost time.
NO_METRICS = {"enabled": False}
NO_TRACES = {"excluded_urls": ".*"}
NO_ACCESS_LOG = {"access": {"enabled": False}}

# Without API keys, and unless anybody may use it, the service listens on this machine only.
GUARDED = bool(settings.accepted_keys) or settings.allow_anonymous
ADDRESS = {} if GUARDED else {"host": "127.0.0.1"}


def prepare() -> None:
    """Check in the server, before it starts any process, that they can work.

    Raises BentoMLException, which `bentoml serve` prints without a traceback.
    """
    if os.environ.get(SERVER) == str(os.getpid()):
        return  # BentoML calls this once for each service
    try:
        require_free(*_address())
        prepare_data_folder(settings)
        require_usable(settings)
    except (CannotListen, DataFolderUnusable, StoreUnusable) as error:
        raise BentoMLException(str(error)) from error
    os.environ[SERVER] = str(os.getpid())


def prepare_runner() -> None:
    """Do what prepare() does, and check that the CPU has the kernels that are wanted."""
    if problem := unmet_wish(WantedKernels.of(settings), cpu_flags()):
        raise BentoMLException(problem)
    prepare()


def prepare_front() -> None:
    """Do what prepare() does, for the runner beside it too, and log who may use the service."""
    (prepare_runner if settings.local_runner else prepare)()
    if not GUARDED:
        log.info("HUNYUAN_API_KEYS is not set: only this machine can use the service")


def _address() -> tuple[str, int]:
    """The host and port that `bentoml serve` will listen on: its options, or its configuration."""
    context = click.get_current_context(silent=True)
    options = context.params if context else {}
    http = BentoMLContainer.http
    return options.get("host") or http.host.get(), options.get("port") or http.port.get()


@bentoml.service(workers=1, metrics=NO_METRICS, logging=NO_ACCESS_LOG, tracing=NO_TRACES)
class HunyuanRunner:
    """Takes one job at a time from the store and renders it in a child process."""

    on_deployment = bentoml.on_deployment(prepare_runner)

    def __init__(self) -> None:
        self._worker: Worker | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        """Start to take jobs as soon as the job store can be opened."""
        # Here, because threads that are started later run where this one does.
        self._node = take_node(settings)
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        self._worker = await when_it_opens(_start_worker)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Return the current job to the queue."""
        self._starting.cancel()
        if self._worker is not None:
            await asyncio.to_thread(self._worker.stop)
        stop_tracing()

    def __is_ready__(self) -> bool:
        return self._worker is not None and self._worker.ready

    @bentoml.api(batchable=False)  # one clip uses the whole machine
    def info(self) -> dict[str, Any]:
        """Report whether this runner takes jobs."""
        return {"version": __version__, "ready": self.__is_ready__()}


@bentoml.service(
    workers=1,
    http=ADDRESS,
    # The front accepts jobs before a runner is up.
    runner_probe={"enabled": False},
    metrics=NO_METRICS,
    logging=NO_ACCESS_LOG,
    tracing=NO_TRACES,
)
class HunyuanVideo:
    """Text-to-video on plain CPUs: a prompt goes in, a job is queued, an MP4 comes out."""

    if settings.local_runner:
        # BentoML starts it beside this service. It is never called: jobs go through the store.
        runner = bentoml.depends(HunyuanRunner)

    on_deployment = bentoml.on_deployment(prepare_front)

    @bentoml.task(input_spec=GenerationRequest, batchable=False)
    def generate(self, **params: Any) -> Annotated[Path, ContentType("video/mp4")]:
        """Text to video."""
        raise NotImplementedError("api/routes/tasks.py answers this task's routes")


def _start_worker() -> Worker:
    # Imported here because the front imports this file too, and does not need numpy.
    from hunyuan_runner.engine.process import EngineProcess
    from hunyuan_runner.jobs.worker import Worker

    configure_tracing(settings, "hunyuan-runner")
    worker = Worker(settings, EngineProcess(settings, settings.scratch_dir), _end_server)
    worker.start()
    return worker


def _end_server() -> None:
    os.kill(int(server or os.getpid()), signal.SIGTERM)


if "uvicorn" in sys.modules:  # it is not in the parent process, which only starts the others
    from uvicorn.config import HTTP_PROTOCOLS
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    # uvicorn looks up its protocol before it starts the app below, which replaces it.
    make_connection: Callable[..., asyncio.Protocol] = AutoHTTPProtocol
    HTTP_PROTOCOLS["auto"] = lambda **given: make_connection(**given)  # type: ignore[assignment]


def front(app: ASGIApp) -> ASGIApp:
    """Wrap BentoML's app in ours, which answers every route first."""
    # Imported here because the runner imports this file too, and does not need FastAPI.
    from hunyuan_runner.api.connections import bounded
    from hunyuan_runner.api.front import Front
    from hunyuan_runner.studio.app import create_app

    global make_connection
    front = Front(app, create_app(), settings)
    make_connection = bounded(settings, front)
    gc.freeze()
    return front


HunyuanVideo.add_asgi_middleware(front)  # type: ignore[attr-defined]

gc.enable()
gc.freeze()  # what exists now stays: do not scan it while a request waits
