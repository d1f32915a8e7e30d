"""The Python clients: HunyuanClient blocks, AsyncHunyuanClient is awaited.

    with HunyuanClient("http://127.0.0.1:3000") as client:
        job = client.generate("A cat walks on grass", seed=7)
        job.wait(on_progress=lambda job: print(job.stage, job.eta_seconds))
        job.download("cat.mp4")

The clients raise the errors of errors.py. A submission that has to be sent again is queued once.
Threads may share a HunyuanClient, but not the generators that its methods return.
"""

from hunyuan_runner.client._async.client import AsyncHunyuanClient
from hunyuan_runner.client._async.job import AsyncJobHandle
from hunyuan_runner.client._sync.client import HunyuanClient
from hunyuan_runner.client._sync.job import JobHandle
from hunyuan_runner.client.address import DEFAULT_HOST, DEFAULT_PORT, DEFAULT_URL
from hunyuan_runner.client.errors import (
    ApiError,
    HunyuanError,
    JobFailed,
    ServiceUnavailable,
    UnexpectedAnswer,
    WaitTimeout,
)
from hunyuan_runner.client.patience import Retry
from hunyuan_runner.client.views import (
    Alternative,
    Capacity,
    ClipWarning,
    Estimate,
    Eta,
    Event,
    FinalEvent,
    Info,
    Job,
    JobError,
    JobPage,
    PreviewEvent,
    ProgressEvent,
    StateEvent,
    Status,
)
from hunyuan_runner.params import ClipOptions

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "DEFAULT_URL",
    "Alternative",
    "ApiError",
    "AsyncHunyuanClient",
    "AsyncJobHandle",
    "Capacity",
    "ClipOptions",
    "ClipWarning",
    "Estimate",
    "Eta",
    "Event",
    "FinalEvent",
    "HunyuanClient",
    "HunyuanError",
    "Info",
    "Job",
    "JobError",
    "JobFailed",
    "JobHandle",
    "JobPage",
    "PreviewEvent",
    "ProgressEvent",
    "Retry",
    "ServiceUnavailable",
    "StateEvent",
    "Status",
    "UnexpectedAnswer",
    "WaitTimeout",
]
