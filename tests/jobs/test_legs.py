"""A clip that runners of different paths computed says so; and what real runners compute then."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.job import ENDED, Job
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.legs import Leg, extended, in_words
from hunyuan_runner.jobs.skills import Skills, path_of
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.worker import Worker
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import Attention, Instructions, available
from hunyuan_runner.machine.kernels import KernelChoice
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.manifest import PublishedManifest
from hunyuan_runner.media import frame_hashes
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings, WantedAttention
from hunyuan_runner.storage.keys import VIDEO, manifest_key
from hunyuan_runner.storage.opening import open_storage
from tests.jobs.conftest import clip

STEPS = 4


def machine(settings: Settings, kernels: KernelChoice, cpu: str = "a CPU") -> Profile:
    """A machine that computes the demo model in int8 with these kernels."""
    here = Profile.of_this_machine(settings)
    ability = replace(here.models["demo"], installed=True, precision=Precision.INT8)
    return replace(here, cpu=cpu, models={**here.models, "demo": ability}, kernels=kernels)


def kernels(instructions: Instructions, attention: Attention) -> KernelChoice:
    return KernelChoice(instructions, attention, "for a test")


INT16 = kernels(Instructions.AVX2, Attention.INT16)
INT8 = kernels(Instructions.AVX2, Attention.INT8)


def begun_on(jobs: Jobs, profile: Profile, params: GenerationParams | None = None) -> Job:
    """A job of which a worker on that machine computed two steps, and left."""
    job = jobs.submit(params or clip(steps=STEPS))
    compute(jobs, profile, 1, 2).hand_back()
    return jobs.get(job.id)


def compute(jobs: Jobs, profile: Profile, *steps: int) -> Claim:
    """What a worker on that machine claims, with these steps done."""
    lease = Lease(jobs.database, 60)
    lease.renew(profile)
    claim = Claim.next(jobs.database, lease.executor_id, Skills.of(profile))
    assert claim is not None
    for step in steps:
        claim.finish_step(step)
    lease.release()
    return claim


def warning_of(jobs: Jobs, job: Job) -> str | None:
    found = [
        each.message for each in jobs.get(job.id).warnings if each.code == "continued_elsewhere"
    ]
    return found[0] if found else None


def test_legs_are_the_stretches_that_count() -> None:
    legs = extended([], 1, "a")
    assert legs == extended(legs, 2, "a") == [Leg(1, "a")]
    both = extended(legs, 3, "b")
    assert both == extended(both, 4, "b") == [Leg(1, "a"), Leg(3, "b")]
    assert extended(both, 3, "a") == [Leg(1, "a")]  # what b did was lost
    assert extended(both, 2, "c") == [Leg(1, "a"), Leg(2, "c")]
    assert extended(both, 1, "c") == [Leg(1, "c")]  # it starts over


def test_legs_are_named_by_their_steps() -> None:
    legs = [Leg(1, "demo in fp32 on A"), Leg(12, "demo in int8 on B"), Leg(31, "demo in fp32 on A")]
    assert in_words(legs, "demo", 30) == (
        "steps 1-11 in fp32 on A; steps 12-30 in int8 on B; decoding in fp32 on A"
    )
    assert in_words([Leg(1, "a"), Leg(2, "b")], "demo", 2) == "step 1 a; step 2 b"


def test_a_clip_that_another_form_of_attention_continues_says_so(
    jobs: Jobs, settings: Settings
) -> None:
    job = begun_on(jobs, machine(settings, INT16))
    assert warning_of(jobs, job) is None
    claim = compute(jobs, machine(settings, INT8), 3)
    message = warning_of(jobs, job)
    assert message is not None
    assert "steps 1-2 in int8 with attention in int16 on a CPU" in message
    assert "steps 3-4 in int8 with attention in int8 on a CPU" in message
    claim.complete(2**40)
    assert warning_of(jobs, job) == message


def test_a_clip_that_is_decoded_elsewhere_says_so(jobs: Jobs, settings: Settings) -> None:
    job = jobs.submit(clip(steps=STEPS))
    compute(jobs, machine(settings, INT16), 1, 2, 3, 4).hand_back()
    claim = compute(jobs, machine(settings, INT16, cpu="another"))
    claim.decode()
    message = warning_of(jobs, job)
    assert message is not None
    assert "steps 1-4 in" in message
    assert "decoding in int8 with attention in int16 on another" in message


def test_a_clip_that_starts_over_has_forgotten_its_legs(jobs: Jobs, settings: Settings) -> None:
    job = begun_on(jobs, machine(settings, INT16))
    claim = compute(jobs, machine(settings, INT8), 3)
    assert warning_of(jobs, job) is not None
    claim.start_over()
    claim.finish_step(1)
    assert warning_of(jobs, job) is None


def test_integer_kernels_of_another_instruction_set_change_nothing(
    jobs: Jobs, settings: Settings
) -> None:
    job = begun_on(jobs, machine(settings, kernels(Instructions.AVX512, Attention.INT16)))
    compute(jobs, machine(settings, INT16), 3)
    assert warning_of(jobs, job) is None


def test_attention_in_bf16_is_another_path_on_each_instruction_set(settings: Settings) -> None:
    paths = {
        path_of(machine(settings, each), "demo")
        for each in (
            INT16,
            INT8,
            kernels(Instructions.AVX512_BF16, Attention.BF16),
            kernels(Instructions.AMX, Attention.BF16),
        )
    }
    assert len(paths) == 4


def test_of_one_cpu_name_machines_may_hide_instructions(settings: Settings) -> None:
    here = machine(settings, INT16)
    other = replace(here, instructions="AVX-512 VNNI")
    assert path_of(here, "demo") != path_of(other, "demo")


def test_a_job_of_an_earlier_version_has_its_last_path_as_its_only_leg(
    jobs: Jobs, settings: Settings
) -> None:
    job = begun_on(jobs, machine(settings, INT16))
    with jobs.database.begin() as connection:
        connection.execute(sa.update(database.jobs).values(legs=None, path="demo in fp32 on X"))
    assert warning_of(jobs, job) is None
    compute(jobs, machine(settings, INT16), 3)
    assert "steps 1-2 in fp32 on X; steps 3-4" in (warning_of(jobs, job) or "")


def test_a_worker_waits_for_the_form_of_attention_that_began_a_job(
    jobs: Jobs, settings: Settings
) -> None:
    job = begun_on(jobs, machine(settings, INT16))
    same, other = (Lease(jobs.database, 60) for _ in range(2))
    profiles = machine(settings, INT16), machine(settings, INT8)
    for lease, profile in zip((same, other), profiles, strict=True):
        lease.renew(profile)
    assert Claim.next(jobs.database, other.executor_id, other.skills(profiles[1])) is None
    claim = Claim.next(jobs.database, same.executor_id, same.skills(profiles[0]))
    assert claim is not None
    assert claim.job_id == job.id


@pytest.fixture
def run_worker(
    jobs: Jobs, settings: Settings, tmp_path: Path
) -> Callable[[WantedAttention | None, str, int | None], Job]:
    """Let a real runner with this form of attention work on a job: to its end, or some steps."""

    def run(attention: WantedAttention | None, job_id: str, steps: int | None = None) -> Job:
        changes = {"attention": attention, "precision": "int8", "threads": 1}
        own = settings.model_copy(update=changes)
        worker = Worker(own, EngineProcess(own, tmp_path / "scratch"))
        worker.start()
        try:
            while True:
                job = jobs.get(job_id)
                if job.status in ENDED or (steps is not None and job.step >= steps):
                    break
                time.sleep(0.02)
        finally:
            worker.stop()
        return jobs.get(job_id)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.skipif(not available(cpu_flags()), reason="there are no kernels for this CPU")
def test_real_runners_with_other_attention_continue_a_clip_and_its_manifest_says_so(
    jobs: Jobs,
    settings: Settings,
    run_worker: Callable[..., Job],
) -> None:
    larger = {"width": 128, "height": 96, "num_frames": 9, "step_cache": "off"}
    params = clip(steps=30).model_copy(update=larger)
    storage = open_storage(settings)

    def result(job: Job) -> tuple[list[str], PublishedManifest]:
        assert job.error is None
        video = settings.data_dir / f"{job.id}.mp4"
        video.write_bytes(storage.get(VIDEO.key(job.id)))
        manifest = storage.get(manifest_key(job.id))
        return frame_hashes(video), PublishedManifest.model_validate_json(manifest)

    whole = run_worker("int16", jobs.submit(params).id)
    assert warning_of(jobs, whole) is None
    job_id = jobs.submit(params).id
    assert 2 <= run_worker("int16", job_id, 2).step < 30
    continued = run_worker("int8", job_id)
    (frames, manifest), (other_frames, other) = result(whole), result(continued)
    assert manifest.continued is None
    assert (manifest.attention, other.attention) == ("int16", "int8")
    assert manifest.instructions == other.instructions == available(cpu_flags())[0]
    assert re.fullmatch(
        r"steps 1-(\d+) in int8 with attention in int16 .*; "
        r"steps \d+-30 in int8 with attention in int8 .*",
        other.continued or "",
    )
    assert str(other.continued) in (warning_of(jobs, continued) or "")
    assert "attention int8, not int16" in manifest.differences(other)
    assert frames != other_frames
