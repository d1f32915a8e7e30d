"""Whether the pulse is felt of everything that happens, on each kind of database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from pydantic import SecretStr

from hunyuan_runner.jobs.database import database_of
from hunyuan_runner.jobs.pulse import Pulse
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.settings import Settings
from tests.jobs.conftest import clip


@pytest.fixture
def pulse(jobs: Jobs) -> Iterator[Pulse]:
    pulse = Pulse(jobs.database)
    yield pulse
    pulse.close()


def feel(pulse: Pulse, job_id: str) -> int | None:
    return asyncio.run(pulse.feel(job_id))


def test_it_beats_once_for_whatever_happens_to_any_job_in_any_process(
    jobs: Jobs, settings: Settings, pulse: Pulse
) -> None:
    theirs = Jobs(settings)
    job_id = jobs.submit(clip()).id
    felt = [feel(pulse, job_id)]
    for happen in (
        partial(theirs.pause, job_id),
        partial(jobs.resume, job_id),
        partial(jobs.submit, clip()),
        partial(theirs.cancel, job_id),
    ):
        happen()
        felt.append(feel(pulse, job_id))
        assert feel(pulse, job_id) == felt[-1]
    assert len(set(felt)) == 5
    assert None not in felt
    theirs.close()


def test_a_job_that_is_not_there_has_none(jobs: Jobs, pulse: Pulse) -> None:
    deleted, other = (jobs.submit(clip()).id for _ in range(2))
    jobs.delete(deleted)
    assert feel(pulse, deleted) is None
    assert feel(pulse, "none") is None
    assert feel(pulse, other) is not None


def test_where_no_database_answers_there_is_none() -> None:
    url = SecretStr("postgresql:///test?host=/nowhere")
    pulse = Pulse(database_of(Settings(database_url=url)))
    assert feel(pulse, "any") is None
