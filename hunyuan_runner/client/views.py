"""What the service answers, as values with types: those of wire.py, and what a client adds."""

from __future__ import annotations

from hunyuan_runner.params import Stage
from hunyuan_runner.wire import AlternativeView as Alternative
from hunyuan_runner.wire import (
    Canceled,
    ClipWarning,
    ErrorBody,
    Info,
    JobError,
    JobList,
    JobState,
    JobView,
    PreviewView,
    ProgressView,
    Wire,
)
from hunyuan_runner.wire import EstimateView as Estimate
from hunyuan_runner.wire import RangeView as Eta

__all__ = [
    "Alternative",
    "Canceled",
    "ClipWarning",
    "ErrorBody",
    "Estimate",
    "Eta",
    "Event",
    "FinalEvent",
    "Info",
    "Job",
    "JobError",
    "JobPage",
    "PreviewEvent",
    "ProgressEvent",
    "StateEvent",
    "Status",
]

Status = JobState | str  # a newer service may know more words


class Job(JobView):
    """A job as the service last saw it."""

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or canceled. In a state that only a newer service has,
        it has ended if it has a time at which it did."""
        match self.status:
            case JobState.COMPLETED | JobState.FAILED | JobState.CANCELED:
                return True
            case JobState.PENDING | JobState.PAUSED | JobState.IN_PROGRESS:
                return False
        return self.completed_at is not None

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return self.stage is Stage.PAUSED  # for an older service its status is pending

    def after(self, event: Event) -> Job:
        """This job after that happened to it."""
        match event:
            case StateEvent():
                return event.job
            case ProgressEvent():
                changed = {"stage", "step", "progress", "eta_seconds"}
            case PreviewEvent():
                changed = {"preview_url"}
        return self.model_copy(update={name: getattr(event, name) for name in changed})


class JobPage(JobList):
    """Some jobs, newest first; `next` is what `after` takes to go on."""

    jobs: tuple[Job, ...]


class StateEvent(Wire):
    """The job changed its state; or its state as a stream begins."""

    id: str  # rises; a stream can go on after the event of an id
    job: Job

    @property
    def job_id(self) -> str:
        return self.job.job_id


class FinalEvent(StateEvent):
    """The job ended."""


class ProgressEvent(ProgressView):
    """The job is at another stage, or a step or a tile further."""

    id: str = ""


class PreviewEvent(PreviewView):
    """There is a new picture of what the clip becomes."""

    id: str = ""


Event = StateEvent | ProgressEvent | PreviewEvent  # a FinalEvent is a StateEvent
