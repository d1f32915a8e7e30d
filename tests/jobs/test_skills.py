"""Workers take the jobs that they can render: by model, memory and path."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.journal import writing
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.skills import Skills, path_of, peaks_of
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.quoting.memory import limit_bytes
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import Folder
from tests.jobs.conftest import clip

LARGE = "hunyuanvideo"


def machine(
    settings: Settings, *models: str, cpu: str = "a CPU", memory_bytes: int = 64 << 30
) -> Profile:
    """A machine that has these models."""
    here = Profile.of_this_machine(settings)
    abilities = {
        model_id: replace(ability, installed=model_id in models, precision=Precision.INT8)
        for model_id, ability in here.models.items()
    }
    return replace(here, cpu=cpu, memory_bytes=memory_bytes, models=abilities)


def large_clip(**changes: object) -> GenerationParams:
    return clip().model_copy(update={"model": LARGE, **changes})


def claim(jobs: Jobs, profile: Profile, lease: Lease | None = None) -> Claim | None:
    """What a worker on that machine claims, by default one with a lease that others do not know."""
    if lease is not None:
        return Claim.next(jobs.database, lease.executor_id, lease.skills(profile))
    lease = Lease(jobs.database, 60)
    lease.renew(replace(profile, models={}))
    return Claim.next(jobs.database, lease.executor_id, Skills.of(profile))


def test_a_worker_takes_no_job_of_a_model_that_it_has_not(jobs: Jobs, settings: Settings) -> None:
    of_large, of_demo = jobs.submit(large_clip()), jobs.submit(clip())
    taken = claim(jobs, machine(settings, "demo"))
    assert taken is not None
    assert taken.job_id == of_demo.id
    assert claim(jobs, machine(settings, "demo")) is None
    other = claim(jobs, machine(settings, LARGE, "demo"))
    assert other is not None
    assert other.job_id == of_large.id
    assert claim(jobs, machine(settings)) is None


def test_a_job_of_another_model_is_found_after_many_in_its_lane(
    jobs: Jobs, settings: Settings
) -> None:
    for _ in range(200):
        jobs.submit(large_clip())
    wanted = jobs.submit(clip())
    taken = claim(jobs, machine(settings, "demo"))
    assert taken is not None
    assert taken.job_id == wanted.id


def test_users_take_turns_among_the_jobs_that_a_worker_can_render(
    jobs: Jobs, settings: Settings
) -> None:
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    for _ in range(3):
        ana.submit(large_clip())
    order = [store.submit(clip()).id for store in (ana, ana, bo, bo)]
    claims = [claim(jobs, machine(settings, "demo")) for _ in range(4)]
    taken = [claim.job_id for claim in claims if claim is not None]
    assert taken == [order[2], order[3], order[0], order[1]]  # ana's had later turns


def test_a_clip_goes_to_a_machine_with_enough_memory(jobs: Jobs, settings: Settings) -> None:
    needs = peaks_of(large_clip())[Precision.INT8]
    job = jobs.submit(large_clip())
    for memory_bytes, fits in ((needs, False), (needs + (2 << 30), True)):
        profile = machine(settings, LARGE, memory_bytes=memory_bytes)
        limit = limit_bytes(MODELS[LARGE], memory_bytes)
        assert limit is not None
        assert (needs <= limit) is fits
        taken = claim(jobs, profile)
        assert (taken is not None) is fits
    assert taken is not None
    assert taken.job_id == job.id


def test_a_job_from_before_the_update_fits_everywhere(jobs: Jobs, settings: Settings) -> None:
    jobs.submit(large_clip())
    with jobs.database.begin() as connection:
        connection.execute(sa.update(database.jobs).values(peak_bytes=None))
    assert claim(jobs, machine(settings, LARGE, memory_bytes=4 << 30)) is not None


def test_a_worker_without_a_lease_takes_no_job_until_it_has_one_again(
    jobs: Jobs, settings: Settings
) -> None:
    here = machine(settings, "demo")
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(here)
    jobs.submit(clip())
    lease.release()  # as others do it for a worker that was cut off or stood still
    assert claim(jobs, here, lease) is None
    lease.renew(here)
    assert claim(jobs, here, lease) is not None


@pytest.fixture
def begun(jobs: Jobs, settings: Settings) -> str:
    """The id of a job that was begun on the CPU `first`, and is queued again."""
    job = jobs.submit(large_clip())
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(machine(settings, LARGE, cpu="first"))
    begun = claim(jobs, machine(settings, LARGE, cpu="first"), lease)
    assert begun is not None
    begun.finish_step(1)
    begun.hand_back()
    lease.release()
    return job.id


def test_a_job_continues_on_its_path_while_a_worker_of_that_path_lives(
    jobs: Jobs, settings: Settings, begun: str
) -> None:
    first, second = (machine(settings, LARGE, cpu=name) for name in ("first", "second"))
    same, other = (Lease(jobs.database, settings.lease_seconds) for _ in range(2))
    same.renew(first)
    other.renew(second)
    assert claim(jobs, second, other) is None
    same.release()
    taken = claim(jobs, second, other)
    assert taken is not None
    assert taken.job_id == begun


def test_a_job_continues_on_its_path_at_once(jobs: Jobs, settings: Settings, begun: str) -> None:
    first = machine(settings, LARGE, cpu="first")
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(first)
    taken = claim(jobs, first, lease)
    assert taken is not None
    assert taken.job_id == begun


def test_a_job_does_not_wait_for_a_worker_of_its_path_in_which_it_does_not_fit(
    jobs: Jobs, settings: Settings, begun: str
) -> None:
    small = machine(settings, LARGE, cpu="first", memory_bytes=4 << 30)
    other = machine(settings, LARGE, cpu="second")
    leases = [Lease(jobs.database, settings.lease_seconds) for _ in range(2)]
    leases[0].renew(small)
    leases[1].renew(other)
    assert claim(jobs, small, leases[0]) is None
    taken = claim(jobs, other, leases[1])
    assert taken is not None
    assert taken.job_id == begun


def test_a_clip_that_starts_over_may_do_so_anywhere(
    jobs: Jobs, settings: Settings, begun: str
) -> None:
    first, second = (machine(settings, LARGE, cpu=name) for name in ("first", "second"))
    leases = [Lease(jobs.database, settings.lease_seconds) for _ in range(2)]
    for lease, profile in zip(leases, (first, second), strict=True):
        lease.renew(profile)
    again = claim(jobs, first, leases[0])
    assert again is not None
    again.start_over()
    again.hand_back()
    assert claim(jobs, second, leases[1]) is not None


def test_threads_and_precision_are_part_of_a_path(settings: Settings) -> None:
    here = machine(settings, LARGE)
    fewer = replace(here, threads=here.threads + 1)
    ability = replace(here.models[LARGE], precision=Precision.BF16)
    coarser = replace(here, models={**here.models, LARGE: ability})
    assert len({path_of(profile, LARGE) for profile in (here, fewer, coarser)}) == 3


def test_what_a_worker_of_another_version_can_is_not_known(jobs: Jobs, settings: Settings) -> None:
    lease, other = (Lease(jobs.database, settings.lease_seconds) for _ in range(2))
    lease.renew(machine(settings, LARGE))
    for value in (None, [{"model": LARGE}], "all"):
        with jobs.database.begin() as connection:
            connection.execute(sa.update(database.workers).values(skills=value))
        assert other.skills(machine(settings)).others == frozenset()


def test_a_job_that_no_live_runner_can_render_says_so(jobs: Jobs, settings: Settings) -> None:
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(machine(settings, "demo"))
    (warning,) = jobs.submit(large_clip()).warnings
    assert warning.code == "no_worker"
    assert f"the model {LARGE}" in warning.message
    assert jobs.submit(clip()).warnings == ()
    lease.renew(machine(settings, LARGE))
    assert jobs.submit(large_clip()).warnings == ()


def test_a_front_accepts_jobs_for_the_models_of_its_runners(jobs: Jobs, settings: Settings) -> None:
    backend = Backend(settings, jobs, Folder(settings.data_dir))
    long = "a cat walks on grass " * 180
    with pytest.raises(ApiError, match="not installed"):
        backend.submit(GenerationRequest(prompt=long, model=LARGE))
    Lease(jobs.database, settings.lease_seconds).renew(machine(settings, LARGE))
    assert backend.submit(GenerationRequest(prompt=long, model=LARGE)).model == LARGE
    backend.prompts.close()


def test_a_lease_is_written_anew_if_others_have_taken_it(jobs: Jobs, settings: Settings) -> None:
    lease, other = (Lease(jobs.database, settings.lease_seconds) for _ in range(2))
    for _ in range(2):
        lease.renew(machine(settings, LARGE))
    assert {skill.model for skill in other.skills(machine(settings)).others} == {LARGE}
    lease.renew(machine(settings, "demo"))
    assert {skill.model for skill in other.skills(machine(settings)).others} == {"demo"}
    lease.release()
    lease.renew(machine(settings, "demo"))
    assert {skill.model for skill in other.skills(machine(settings)).others} == {"demo"}


def test_a_look_for_dead_workers_waits_for_no_lock_while_none_is_dead(
    jobs: Jobs, settings: Settings
) -> None:
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(machine(settings, "demo"))
    jobs.submit(clip())
    assert claim(jobs, machine(settings, "demo"), lease) is not None
    with writing(jobs.database):
        lease.take_over()  # would raise JobsUnavailable after ten seconds


def test_a_clip_of_the_fast_decoder_waits_for_a_worker_that_has_it(
    jobs: Jobs, settings: Settings
) -> None:
    job = jobs.submit(large_clip(decoder="fast"))
    without = machine(settings, LARGE)
    ability = replace(without.models[LARGE], fast_decoder=True)
    having = replace(without, models={**without.models, LARGE: ability})
    lacking, lease = (Lease(jobs.database, settings.lease_seconds) for _ in range(2))
    lacking.renew(without)
    assert claim(jobs, without, lacking) is None
    (warning,) = jobs.get(job.id).warnings
    assert warning.code == "no_worker"
    assert "hunyuan models download taehv" in warning.message

    lease.renew(having)
    assert jobs.get(job.id).warnings == ()
    assert claim(jobs, without, lacking) is None
    taken = claim(jobs, having, lease)
    assert taken is not None
    assert taken.job_id == job.id


def test_a_worker_with_the_fast_decoder_takes_clips_of_the_full_one_too(
    jobs: Jobs, settings: Settings
) -> None:
    jobs.submit(large_clip())
    profile = machine(settings, LARGE)
    ability = replace(profile.models[LARGE], fast_decoder=True)
    assert claim(jobs, replace(profile, models={LARGE: ability})) is not None
