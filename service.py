"""The two BentoML services: a front that answers HTTP, and a runner that renders.

    bentoml serve service:HunyuanVideo                              both
    HUNYUAN_LOCAL_RUNNER=false bentoml serve service:HunyuanVideo   a front alone
    bentoml serve service:HunyuanRunner                             a runner alone

They meet in the job store only. Every process imports this file: nothing heavy at its top.
"""

from __future__ import annotations

import gc

# A thousand modules are about to be made and none to be thrown away, but the collector would look
# through all of them time and again: a fifth of the start.
gc.disable()

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import bentoml
import click
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException
from bentoml.validators import ContentType

# BentoML has every process keep metrics in files that are mapped into its memory, in a folder that
# may be on the data disk: once that is full, writing to them ends the process. No metric is state,
# and each service is one process. To be set before prometheus_client is imported.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
# The database of BentoML's tasks, none of which reach it: a file would need room on a disk.
os.environ["BENTOML_RESULT_STORE"] = ":memory:"

from hunyuan_runner import __version__
from hunyuan_runner.jobs.opening import StoreUnusable, require_usable, when_it_opens
from hunyuan_runner.logs import configure_logging
from hunyuan_runner.machine.listening import CannotListen, require_free
from hunyuan_runner.machine.parent import die_with
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import get_settings
from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from hunyuan_runner.jobs.worker import Worker

# The server that started this process, which prepare() names. One that is killed stops nothing.
SERVER = "HUNYUAN_RUNNER_SERVER"
if (server := os.environ.pop(SERVER, None)) is not None:
    die_with(int(server))

settings = get_settings()
configure_logging(settings.log_level, settings.log_format)
log = logging.getLogger("hunyuan_runner.service")

# We have our own: BentoML labels its metrics with raw paths, job ids included, its access log knows
# of no request ids, and its traces go nowhere and cost time.
NO_METRICS = {"enabled": False}
NO_TRACES = {"excluded_urls": ".*"}
NO_ACCESS_LOG = {"access": {"enabled": False}}


# Where nobody has said who may use the service, it listens to its own machine alone.
GUARDED = bool(settings.api_keys) or settings.allow_anonymous
ADDRESS = {} if GUARDED else {"host": "127.0.0.1"}


def prepare() -> None:
    """In the server, before it starts any process: fail if that would be in vain."""
    if os.environ.get(SERVER) == str(os.getpid()):
        return  # called for each of the services
    try:
        require_free(*_address())
        prepare_data_folder(settings)
        require_usable(settings)
    except (CannotListen, DataFolderUnusable, StoreUnusable) as error:
        raise BentoMLException(str(error)) from error
    os.environ[SERVER] = str(os.getpid())


def prepare_front() -> None:
    """As prepare(), and say who is answered."""
    prepare()
    if not GUARDED:
        log.info("HUNYUAN_API_KEYS is not set: this machine alone is answered")


def _address() -> tuple[str, int]:
    """Where `bentoml serve` is to listen: by its options, or by its configuration."""
    context = click.get_current_context(silent=True)
    options = context.params if context else {}
    http = BentoMLContainer.http
    return options.get("host") or http.host.get(), options.get("port") or http.port.get()


@bentoml.service(workers=1, metrics=NO_METRICS, logging=NO_ACCESS_LOG, tracing=NO_TRACES)
class HunyuanRunner:
    """Takes one job at a time from the store and renders it in a child process."""

    on_deployment = bentoml.on_deployment(prepare)

    def __init__(self) -> None:
        self._worker: Worker | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        """Take jobs from when the job store can be opened."""
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        self._worker = await when_it_opens(_start_worker)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Hand the job under way back to the queue."""
        self._starting.cancel()
        if self._worker is not None:
            await asyncio.to_thread(self._worker.stop)

    def __is_ready__(self) -> bool:
        return self._worker is not None and self._worker.ready

    @bentoml.api(batchable=False)  # a clip fills the machine: two at once would both be late
    def info(self) -> dict[str, Any]:
        """Whether this runner takes jobs."""
        return {"version": __version__, "ready": self.__is_ready__()}


@bentoml.service(
    workers=1,
    http=ADDRESS,
    traffic={"timeout": 60},
    # The front takes jobs whether or not a runner is up yet.
    runner_probe={"enabled": False},
    metrics=NO_METRICS,
    logging=NO_ACCESS_LOG,
    tracing=NO_TRACES,
)
class HunyuanVideo:
    """Text-to-video on plain CPUs: a prompt goes in, a job is queued, an MP4 comes out."""

    if settings.local_runner:
        # Started beside this service by BentoML, and never called: renders go through the store.
        runner = bentoml.depends(HunyuanRunner)

    on_deployment = bentoml.on_deployment(prepare_front)

    @bentoml.task(input_spec=GenerationRequest, batchable=False)
    def generate(self, **params: Any) -> Annotated[Path, ContentType("video/mp4")]:
        """Text to video."""
        raise NotImplementedError("api/tasks.py answers the routes of this task")


def _start_worker() -> Worker:
    # The front, which imports this file too, need not carry numpy and the like.
    from hunyuan_runner.engine.process import EngineProcess
    from hunyuan_runner.jobs.worker import Worker

    worker = Worker(settings, EngineProcess(settings, settings.scratch_dir))
    worker.start()
    return worker


if "uvicorn" in sys.modules:  # not where processes are but started, and it would take its time
    from uvicorn.config import HTTP_PROTOCOLS
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    # uvicorn asks for its protocol before it starts the app below, which brings its own.
    make_connection: Callable[..., asyncio.Protocol] = AutoHTTPProtocol
    HTTP_PROTOCOLS["auto"] = lambda **given: make_connection(**given)  # type: ignore[assignment]


def front(app: ASGIApp) -> ASGIApp:
    """Answer every route, in front of BentoML's."""
    # The runner, which imports this file too, need not carry FastAPI and all that is served.
    from hunyuan_runner.api.connections import bounded
    from hunyuan_runner.api.front import Front

    global make_connection
    make_connection = bounded(settings)
    front = Front(app, settings)
    gc.freeze()
    return front


HunyuanVideo.add_asgi_middleware(front)  # type: ignore[attr-defined]

gc.enable()
gc.freeze()  # what is there by now stays, and need not be looked through while a request waits
