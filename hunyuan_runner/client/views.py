"""The typed answers of the service: those of wire.py, under the names that clients use."""

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
from hunyuan_runner.wire import CapacityView as Capacity
from hunyuan_runner.wire import EstimateView as Estimate
from hunyuan_runner.wire import RangeView as Eta

__all__ = [
    "Alternative",
    "Canceled",
    "Capacity",
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
    """A job, as the service answered it."""

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or canceled. A job in a state of a newer service has
        ended if it has a `completed_at`."""
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
        """This job after the event."""
        if isinstance(event, StateEvent):
            return event.job
        changed = event.model_fields_set & JobView.model_fields.keys()
        return self.model_copy(update={name: getattr(event, name) for name in changed})


class JobPage(JobList):
    """A page of jobs, newest first. Pass `next` as `after` to get the next page."""

    jobs: tuple[Job, ...]


class StateEvent(Wire):
    """The job moved to another state. The first event of a stream holds its current state."""

    id: str  # rises; a stream can continue after any id
    job: Job

    @property
    def job_id(self) -> str:
        return self.job.job_id


class FinalEvent(StateEvent):
    """The job ended."""


class ProgressEvent(ProgressView):
    """The job reached another stage, step or tile."""

    id: str = ""


class PreviewEvent(PreviewView):
    """There is a new preview of the clip."""

    id: str = ""


Event = StateEvent | ProgressEvent | PreviewEvent  # a FinalEvent is a StateEvent
