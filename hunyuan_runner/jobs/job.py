"""One job, as the rest of the service sees it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ConfigDict

from hunyuan_runner.params import WebhookEvent
from hunyuan_runner.wire import Flag, JobRecord, JobState, Maybe

ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


@dataclass(frozen=True)
class Caller:
    """The user on whose behalf the store is used: what is submitted belongs to them."""

    name: str  # empty without a key
    sees_all: bool = False  # or only the jobs of this name

    def sees(self, owner: str) -> bool:
        """Whether the jobs of `owner` are shown to them."""
        return self.sees_all or owner == self.name


@dataclass(frozen=True)
class Webhook:
    """Where the events of a job are sent."""

    url: str
    events: tuple[WebhookEvent, ...]
    base: str = ""  # what the links in its messages begin with


class Job(JobRecord):
    """A row of the store, with what follows from the rows around it.

    A field that has the name of a column holds the column's value; standing.py sets the others.
    """

    model_config = ConfigDict(val_temporal_unit="milliseconds")  # as the columns count them

    owner: str  # the name of the API key that submitted it; empty without one
    seconds: Maybe[float]  # asked for in place of a number of frames
    webhook: Maybe[Webhook]
    has_preview: Flag
    has_draft: Flag

    @property
    def id(self) -> str:
        return self.job_id

    @property
    def state(self) -> JobState:
        return self.status
