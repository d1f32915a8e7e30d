"""The worker: takes one job at a time from the queue and renders it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.process import GenerationFailed
from hunyuan_runner.engine.stop import Stop, Stopped
from hunyuan_runner.jobs.claim import Claim, ClaimLost
from hunyuan_runner.jobs.database import now_ms
from hunyuan_runner.jobs.forecast import Forecast, learn
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.measuring import Interrupted, measure_machine
from hunyuan_runner.jobs.patience import Patience
from hunyuan_runner.jobs.rendering import Renderer, Rendering
from hunyuan_runner.jobs.retention import expiry
from hunyuan_runner.jobs.skills import Skills
from hunyuan_runner.jobs.standing import no_room
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.logs import about
from hunyuan_runner.machine.disk import Room, amount
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import checkpoint_key, draft_key, preview_key
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.tracing import NO_SPAN, Span, begin
from hunyuan_runner.wire import JobError

HEARTBEATS_PER_LEASE = 4
SWEEP_SECONDS = 60
RETRY_SECONDS = 1  # between two tries to reach a database that does not answer
STOP_MARGIN_SECONDS = 5  # to write down the outcome, after the grace of the engine
TRACED_PARAMS = {"model", "width", "height", "num_frames", "num_inference_steps"}

logger = logging.getLogger(__name__)


class Worker:
    """Renders the queue's jobs, one at a time, from start() to stop(). One per process."""

    def __init__(
        self,
        settings: Settings,
        renderer: Renderer,
        when_out_of_work: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._renderer = renderer
        self._when_out_of_work = when_out_of_work
        self._jobs = Jobs(settings)
        self._database = self._jobs.database
        self._storage = open_storage(settings)
        self._lease = Lease(self._database, settings.lease_seconds)
        self._loading_took: dict[str, float] = {}  # seconds, by model
        self._profile = self._look()
        self._announced: str | None = None  # the model that others know the engine to hold
        self._attempt: Span = NO_SPAN  # of the job that is being rendered
        self._disk = Room.of(settings)  # as it was when last looked at
        self._skills = Skills.of(self._profile)
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._beat_is_due = threading.Event()  # before its time
        self._work_thread = threading.Thread(target=self._work, name="work", daemon=True)
        self._lease_thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._sweep_thread = threading.Thread(target=self._sweep, name="sweep", daemon=True)
        self._had_room = True
        self._heard_at = time.monotonic()  # the work thread showed that it is not stuck
        self._allowed_silence = settings.stall_seconds  # from then on

    def start(self) -> None:
        """Begin to take jobs, and to return the jobs of dead workers to the queue."""
        self._lease.renew(self._profile)
        self._skills = self._lease.skills(self._profile)
        self._lease_thread.start()
        self._sweep_thread.start()
        self._work_thread.start()
        logger.info("worker %s takes jobs", self._lease.executor_id)
        if (kernels := self._profile.kernels) is not None:
            logger.info("kernels: %s: %s", kernels.in_words, kernels.reason)

    @property
    def ready(self) -> bool:
        """Whether the worker is started, not stopped, and not stuck."""
        return self._work_thread.is_alive() and not self._is_stuck()

    def stop(self) -> None:
        """Stop taking jobs, and hand back the current one at its last step."""
        self._stopping.set()
        self._work_thread.join(self._settings.cancel_grace_seconds + STOP_MARGIN_SECONDS)
        if self._work_thread.is_alive():
            logger.warning("the current job did not stop; it will resume from its checkpoint")
        self._renderer.close()
        self._stopped.set()
        self._beat_is_due.set()
        self._lease_thread.join()
        self._sweep_thread.join(STOP_MARGIN_SECONDS)
        self._lease.release()
        self._jobs.close()

    def _work(self) -> None:
        """Until stopping: render one job after another.

        While none waits: measure once, unload the model after a while, and end after a longer one.
        """
        measured = not self._settings.calibrate
        idle_since = time.monotonic()
        while not self._stopping.is_set():
            self._allow_silence(self._settings.stall_seconds)
            self._announce()
            try:
                may_begin = self._has_room()
                worker, asked_at = self._lease.executor_id, now_ms()
                claim = Claim.next(self._database, worker, self._skills, begin=may_begin)
                if claim is not None:
                    self._render(claim, asked_at)
                    idle_since = time.monotonic()
                    continue
                if not measured:
                    measured = self._measure()
                    continue
                if 0 < self._settings.unload_after < time.monotonic() - idle_since:
                    self._renderer.unload()
                if 0 < self._settings.exit_after < time.monotonic() - idle_since:
                    logger.info("no job came for %.0f s: ending", self._settings.exit_after)
                    self._when_out_of_work()
                    return
            except JobsUnavailable as error:
                logger.warning("could not take a job, retrying: %s", error.reason)
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                logger.exception("could not take a job, retrying")
                self._stopping.wait(RETRY_SECONDS)
            self._stopping.wait(self._settings.poll_seconds)

    def _measure(self) -> bool:
        """Measure this machine. False if it was interrupted because a job came."""
        try:
            measure_machine(self._settings, self._is_wanted)
        except Interrupted:
            return False
        self._profile = self._look()
        return True

    def _look(self) -> Profile:
        """This machine, and which model its engine holds."""
        profile = Profile.of_this_machine(self._settings)
        return profile.holding(self._renderer.model, self._loading_took)

    def _announce(self) -> None:
        """Let the others know at once if the engine holds another model, or none: quotes depend on
        it."""
        if self._renderer.model != self._announced:
            self._announced = self._renderer.model
            self._beat_is_due.set()

    def _allow_silence(self, seconds: float) -> None:
        """Called by the work thread, which is not stuck: it will call again within `seconds`."""
        self._heard_at, self._allowed_silence = time.monotonic(), seconds

    def _is_stuck(self) -> bool:
        """Whether the work thread waits for something that does not answer, such as a dead disk."""
        return time.monotonic() - self._heard_at > self._allowed_silence

    def _is_wanted(self) -> bool:
        self._allow_silence(self._settings.stall_seconds)
        worker, begin = self._lease.executor_id, self._has_room()
        return self._stopping.is_set() or Claim.is_due(
            self._database, worker, self._skills, begin=begin
        )

    def _has_room(self) -> bool:
        """Whether the disk has room for another job. Logs when that changes."""
        room = Room.of(self._settings)
        if room.begins_jobs != self._had_room:
            self._had_room = room.begins_jobs
            if room.begins_jobs:
                logger.info("the disk has %s left: jobs begin again", amount(room.free))
            else:
                logger.warning("%s", no_room(room).message)
        return room.begins_jobs

    def _render(self, claim: Claim, asked_at: int) -> None:
        """Render a job that was claimed just now, after `asked_at`."""
        with about(claim.job_id, claim.request_id):
            self._attempt = traced(claim, asked_at)
            try:
                self._see_through(claim)
            finally:
                self._attempt.end()

    def _see_through(self, claim: Claim) -> None:
        logger.info("job %s begins", claim.job_id)
        patience = self._patience(claim)

        def is_stopping() -> bool:  # polled
            self._allow_silence(patience.seconds)
            return self._stopping.is_set()

        rendering = Rendering(
            claim,
            self._renderer,
            self._storage,
            is_stopping,
            self._settings,
            patience,
            self._attempt,
        )
        try:
            rendering.run()
            if claim.draft_after is not None:
                claim.pause_with_draft()
                self._note("has a draft, and is paused", claim)
            else:
                expires_at = expiry(self._database, self._settings)
                claim.complete(expires_at, patience.expected_seconds)
                self._note("completed", claim)
        except ClaimLost:
            self._note("is no longer this worker's", claim)
        except Stopped as stopped:
            self._leave(claim, stopped.reason)
        except GenerationFailed as failure:
            self._fail(claim, JobError(code=failure.code, message=failure.message))
        except JobsUnavailable as error:  # the job stays this worker's, which takes it again
            self._attempt.fail(error.reason)
            logger.warning(
                "job %s waits for the database, at its checkpoint: %s", claim.job_id, error.reason
            )
        except Exception as error:
            logger.exception("job %s failed", claim.job_id)
            message = f"{type(error).__name__}: {error}"
            self._fail(claim, JobError(code="internal_error", message=message))
        else:
            self._wind_up(rendering, claim)

    def _note(self, outcome: str, claim: Claim) -> None:
        """Log how an attempt ended, and add it to the trace."""
        self._attempt.note(outcome=outcome)
        logger.info("job %s %s", claim.job_id, outcome)

    def _patience(self, claim: Claim) -> Patience:
        model_id = claim.params.model
        with self._database.connect() as connection:
            expected = Forecast.of(connection, self._profile).expect(claim.work, model_id)
        return Patience(expected, claim.params, MODELS[model_id], self._settings.stall_seconds)

    def _wind_up(self, rendering: Rendering, claim: Claim) -> None:
        """Clean up after a completed job or draft. It cannot fail any more."""
        try:
            if claim.draft_after is None:
                leftovers = (checkpoint_key, preview_key, draft_key)
                self._storage.delete(*(key(claim.job_id) for key in leftovers))
            self._learn(rendering, claim)
        except Exception:
            logger.warning(
                "job %s is done, but could not be cleaned up", claim.job_id, exc_info=True
            )

    def _fail(self, claim: Claim, error: JobError) -> None:
        self._attempt.fail(error.message)
        expires_at = expiry(self._database, self._settings)
        self._let_go(claim, lambda: claim.fail(error, expires_at), f"failed: {error.message}")

    def _leave(self, claim: Claim, reason: Stop) -> None:
        match reason:
            case Stop.PAUSE:
                self._let_go(claim, claim.pause, "paused")
            case Stop.SHUTDOWN:
                self._let_go(claim, claim.hand_back, "handed back")
            case Stop.CLAIM_LOST:
                self._note("is no longer this worker's", claim)

    def _let_go(self, claim: Claim, write: Callable[[], None], outcome: str) -> None:
        """Write the outcome of a job that is not completed. Its checkpoint stays."""
        try:
            write()
            self._note(outcome, claim)
        except ClaimLost:
            self._note("is no longer this worker's", claim)

    def _learn(self, rendering: Rendering, claim: Claim) -> None:
        """Correct this machine's predictions by the times of the job.

        If loading the model took most of the time, all else ran with cold caches, and its times say
        little about the next job.
        """
        model_id = claim.params.model
        seconds = dict(rendering.seconds_by_stage)
        loading = seconds.pop(Stage.LOADING, 0.0)
        if loading:
            self._loading_took[model_id] = loading
        if loading > sum(seconds.values()):
            return
        if claim.params.decoder == "fast":
            seconds.pop(Stage.DECODING, None)  # it says little about the full decoder
        ability = self._profile.models[model_id]
        with self._database.begin() as connection:
            learn(connection, model_id, ability, claim.work, seconds)

    def _beat(self) -> None:
        """Until stopped: renew the lease, unless stuck, and take over the jobs of dead workers."""
        interval = self._settings.lease_seconds / HEARTBEATS_PER_LEASE
        was_stuck = False
        while not self._stopped.is_set():
            try:
                stuck = self._is_stuck()
                if stuck and not was_stuck:
                    logger.error(
                        "this worker waits for a disk or a bucket that does not answer; "
                        "another worker may take over its job"
                    )
                was_stuck = stuck
                # A model may have been downloaded since.
                self._profile = self._look()
                if not stuck:
                    self._lease.renew(self._profile, self._disk)
                self._skills = self._lease.skills(self._profile)
                self._lease.take_over()
            except JobsUnavailable as error:
                logger.warning("could not renew the lease: %s", error.reason)
            except Exception:
                logger.exception("could not renew the lease, retrying")
            self._beat_is_due.wait(interval)
            self._beat_is_due.clear()

    def _sweep(self) -> None:
        """Until stopped: delete expired jobs and orphaned files. May take longer than a lease."""
        while not self._stopped.is_set():
            try:
                # Here, because a disk that does not answer must not stop the lease.
                self._disk = Room.of(self._settings)
                self._jobs.delete_expired()
                self._jobs.delete_orphaned_files()
                self._storage.delete_unfinished()
            except JobsUnavailable as error:
                logger.warning("could not delete expired jobs: %s", error.reason)
            except Exception:
                logger.exception("could not delete expired jobs, retrying")
            self._stopped.wait(SWEEP_SECONDS)


def traced(claim: Claim, asked_at: int) -> Span:
    """The span of an attempt that was claimed just now, next to the span of its wait.

    Times are in milliseconds since the epoch.
    """
    which: dict[str, Any] = {"job_id": claim.job_id, "attempt": claim.attempt}
    wait = begin("wait", claim.traceparent, which, began_ms=claim.queued_at)
    wait.end()
    clip = claim.params.model_dump(include=TRACED_PARAMS)
    parent = claim.traceparent or wait.traceparent  # it was submitted before there were traces
    worker = {"worker": claim.executor_id}
    attempt = begin("attempt", parent, which | worker | clip, began_ms=asked_at)
    attempt.child("claim", began_ms=asked_at).end()
    return attempt
