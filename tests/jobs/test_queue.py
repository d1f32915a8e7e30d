"""Places in the queue: whose turn is when, and what is ahead, however long the queue is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest
import sqlalchemy as sa

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import database, standing
from hunyuan_runner.jobs.claim import Claim, ClaimLost
from hunyuan_runner.jobs.deliveries import Outbox
from hunyuan_runner.jobs.job import Caller, Job, Webhook
from hunyuan_runner.jobs.queue_sums import BITS, TURNS
from hunyuan_runner.jobs.states import WAITING as ALL_WAITING
from hunyuan_runner.jobs.store import JobNotFound, Jobs, WrongState
from hunyuan_runner.jobs.turns import WAITING, Move, delay_of
from hunyuan_runner.quoting.estimate import WORK_FIELDS, Work
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobState
from tests.jobs.conftest import clip
from tests.jobs.earlier import VERSIONS, restore

jobs_table, queue, lanes = database.jobs, database.queue, database.lanes


@contextmanager
def statements(jobs: Jobs) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        seen.append(statement)

    sa.event.listen(jobs.database, "before_cursor_execute", note)
    yield seen
    sa.event.remove(jobs.database, "before_cursor_execute", note)


def every_job(jobs: Jobs) -> list[Job]:
    found: list[Job] = []
    while True:
        page = jobs.list(limit=100, after=found[-1].id if found else None)
        found += page.jobs
        if not page.has_more:
            return found


def counted_out(jobs: Jobs) -> list[str]:
    """The ids of what waits, in order, without any of the sums."""
    turn = jobs_table.c.turn + delay_of(jobs_table)
    query = sa.select(jobs_table.c.id).where(WAITING).order_by(turn, jobs_table.c.id)
    with jobs.database.connect() as connection:
        return [*connection.execute(query).scalars()]


def assert_the_sums_are_right(jobs: Jobs) -> None:
    stretch = jobs_table.c.turn.op(">>")(BITS)
    key = (jobs_table.c.owner, jobs_table.c.priority, stretch, jobs_table.c.model)
    sums = (sa.func.count(), *(sa.func.sum(jobs_table.c[name]) for name in WORK_FIELDS))
    anew = sa.select(*key, *sums).where(WAITING).group_by(sa.text("1, 2, 3, 4"))
    with jobs.database.connect() as connection:
        expected = {tuple(row[:4]): tuple(row[4:]) for row in connection.execute(anew)}
        kept = {tuple(row[:4]): tuple(row[4:]) for row in connection.execute(sa.select(queue))}
    assert kept.keys() == expected.keys()
    for place, counted in expected.items():
        assert kept[place] == pytest.approx(counted)


def assert_places_are_exact(jobs: Jobs) -> None:
    assert_the_sums_are_right(jobs)
    views = {job.id: job for job in every_job(jobs)}
    queued = [views[job_id] for job_id in counted_out(jobs)]
    assert [job.queue_position for job in queued] == [*range(1, len(queued) + 1)]
    assert sum(job.queue_position is not None for job in views.values()) == len(queued)
    forecast = jobs.forecast()
    for before, job in pairwise(queued):
        own = forecast.expect(Work.of(job.params, MODELS["demo"]), "demo").total
        assert before.eta_seconds is not None
        assert job.eta_seconds is not None
        assert job.eta_seconds.expected == pytest.approx(before.eta_seconds.expected + own)


def test_places_are_exact_whatever_is_done_to_the_queue(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "now_ms", lambda: 0)  # so that loading does not run out meanwhile
    chance = random.Random(7)
    owners = [jobs.seen_by(Caller(name)) for name in ("ana", "bo", "cleo")]
    claims: list[Claim] = []
    ids: list[str] = []

    def submit() -> None:
        steps, priority = chance.choice((1, 2, 50)), chance.choice((0, 0, 0, 5, -5))
        ids.append(chance.choice(owners).submit(clip(steps=steps), priority=priority).id)

    def claim() -> None:
        if len(claims) < 3 and (found := Claim.next(jobs.database, f"worker {len(ids)}")):
            claims.append(found)

    def let_go() -> None:
        if claims:
            chance.choice((Claim.hand_back, Claim.pause))(claims.pop())

    def steer() -> None:
        act = chance.choice((jobs.cancel, jobs.pause, jobs.resume, jobs.retry, jobs.delete))
        act(chance.choice(ids))

    def move() -> None:
        jobs.move(chance.choice(ids), chance.choice([*Move]))

    for _ in range(3 * TURNS):
        submit()
    for number in range(150):
        with suppress(WrongState, JobNotFound, ClaimLost):
            chance.choice((submit, submit, claim, let_go, steer, steer, move, move))()
        if number % 50 == 0:
            assert_places_are_exact(jobs)
    assert_places_are_exact(jobs)


def test_who_overtakes_hundreds_rewrites_none_of_them(jobs: Jobs) -> None:
    waiting = [jobs.submit(clip()).id for _ in range(3 * TURNS)]
    with jobs.database.connect() as connection:
        before = connection.execute(sa.select(jobs_table).order_by(jobs_table.c.id)).all()
    urgent = [jobs.submit(clip(), priority=priority).id for priority in (1, 10, 1)]
    with jobs.database.connect() as connection:
        after = connection.execute(
            sa.select(jobs_table).where(jobs_table.c.id.in_(waiting)).order_by(jobs_table.c.id)
        ).all()
    assert after == before
    order = [urgent[1], urgent[0], urgent[2], *waiting]
    assert counted_out(jobs) == order
    assert_places_are_exact(jobs)
    for job_id in order[:5]:
        claim = Claim.next(jobs.database, "a worker")
        assert claim is not None
        assert claim.job_id == job_id
        claim.complete(expires_at=0)


def test_a_waiting_job_moves_past_its_neighbour_or_to_the_front(jobs: Jobs) -> None:
    low, first, second, third = (
        jobs.submit(clip(), priority=priority).id for priority in (-3, 0, 0, 0)
    )
    jobs.move(third, Move.SOONER)
    assert counted_out(jobs) == [first, third, second, low]
    jobs.move(first, Move.LATER)
    assert counted_out(jobs) == [third, first, second, low]
    assert jobs.move(low, Move.SOONER).queue_position == 3  # past a job of a higher priority
    assert jobs.move(second, Move.FIRST).queue_position == 1
    assert counted_out(jobs) == [second, third, first, low]
    urgent = jobs.submit(clip(), priority=5).id
    assert jobs.move(low, Move.FIRST).priority == 5
    assert counted_out(jobs) == [low, urgent, second, third, first]
    assert [job.id for job in jobs.unfinished(limit=9).jobs] == counted_out(jobs)
    for job_id, to in ((low, Move.FIRST), (low, Move.SOONER), (first, Move.LATER)):  # it is there
        newest = jobs.latest_event(first).number
        jobs.move(job_id, to)
        assert jobs.latest_event(first).number == newest
    assert_places_are_exact(jobs)


def test_a_job_that_moves_changes_no_turn_of_another_owner(jobs: Jobs) -> None:
    ana, bo = jobs.seen_by(Caller("ana")), jobs.seen_by(Caller("bo"))
    theirs = [(ana.submit(clip()).id, bo.submit(clip()).id) for _ in range(3)]
    for _ in range(5):
        ana.move(theirs[2][0], Move.FIRST)
        ana.move(theirs[1][0], Move.FIRST)
    order = counted_out(jobs)
    assert [order.index(one) for _, one in theirs] == [0, 2, 4]  # as soon as before, or sooner
    assert [job.id for job in ana.unfinished(limit=2).jobs] == [theirs[1][0], theirs[2][0]]
    assert ana.unfinished(limit=2).has_more
    with pytest.raises(JobNotFound):
        bo.move(theirs[0][0], Move.FIRST)


def test_urgent_jobs_of_one_owner_never_delay_another_s(jobs: Jobs) -> None:
    many, one = (jobs.seen_by(Caller(name)) for name in ("many", "one"))
    many.submit(clip(), priority=-5)
    claim = Claim.next(jobs.database, "a worker")  # is rendered all the while
    assert claim is not None
    for _ in range(50):
        many.submit(clip(), priority=-5)
        many.submit(clip(), priority=5)
    assert one.submit(clip()).queue_position in (1, 2)
    claim.hand_back()
    assert jobs.get(claim.job_id).queue_position == 1
    assert_places_are_exact(jobs)


def test_a_page_is_asked_for_as_one_however_many_jobs_are_on_it(jobs: Jobs) -> None:
    for _ in range(2 * TURNS):
        jobs.submit(clip())
    asked = []
    for limit in (5, 100):
        with statements(jobs) as seen:
            jobs.list(limit=limit)
        asked.append(len(seen))
    with statements(jobs) as seen:
        assert len(jobs.events_after(0).events) == 2 * TURNS
    assert asked[0] == asked[1]
    assert len(seen) <= asked[0] + 2


def test_a_place_takes_as_many_statements_however_many_lanes_there_are(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for number in range(8):
        owner = jobs.seen_by(Caller(f"owner {number}"))
        for priority in (0, 5):
            owner.submit(clip(), priority=priority)
        with statements(jobs) as seen:
            owner.queue_seconds(0)
        asked.append(len(seen))
    assert len(set(asked)) == 1
    monkeypatch.setattr("hunyuan_runner.jobs.places.RANGES_AT_ONCE", 3)
    assert_places_are_exact(jobs)


def test_all_that_waits_is_canceled_in_parts_and_nobody_else_s(jobs: Jobs) -> None:
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    admin = jobs.seen_by(Caller("root", sees_all=True))
    waiting = [ana.submit(clip(), webhook=Webhook("http://a.example", ("canceled",))).id]
    waiting += [ana.submit(clip()).id for _ in range(4)]
    rendered = Claim.next(jobs.database, "a worker")
    assert rendered is not None
    ana.pause(waiting[1])
    other = bo.submit(clip()).id
    assert admin.cancel_all(ALL_WAITING) == (0, False)
    assert bo.cancel_all([JobState.PAUSED]) == (0, False)
    assert ana.cancel_all(ALL_WAITING, everybody=True, limit=3) == (3, True)
    assert ana.cancel_all(ALL_WAITING, limit=3) == (1, False)
    assert ana.cancel_all(ALL_WAITING) == (0, False)
    assert jobs.get(rendered.job_id).state is JobState.IN_PROGRESS
    assert ana.cancel_all([JobState.IN_PROGRESS]) == (1, False)
    assert jobs.get(other).queue_position == 1
    assert_places_are_exact(jobs)
    ended = [event.job.id for event in ana.events_after(0).events if event.final]
    assert sorted(ended) == sorted(waiting)
    assert [one.event for one in Outbox(jobs.database).of_job(waiting[0])] == ["canceled"]
    assert admin.cancel_all(ALL_WAITING, everybody=True) == (1, False)


def test_other_users_events_are_passed_over_a_part_at_a_time(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hunyuan_runner.jobs.store.EVENTS_LOOKED_AT", 3)
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    own = [ana.submit(clip()).id]
    for _ in range(10):
        bo.submit(clip())
    own.append(ana.submit(clip()).id)
    pages = [ana.events_after(0)]
    while pages[-1].has_more:
        pages.append(ana.events_after(pages[-1].number))
    assert [event.job.id for page in pages for event in page.events] == own
    assert [page.number for page in pages] == [3, 6, 9, 12]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_queue_of_an_earlier_version_is_summed_up(version: str, settings: Settings) -> None:
    restore(settings, version)
    jobs = Jobs(settings)
    assert_the_sums_are_right(jobs)
    queued = [jobs.get(job_id) for job_id in counted_out(jobs)]
    assert [job.params.prompt for job in queued] == [
        "queued again by a retry",
        "queued",
        "queued before the others",
        "queued after the others",
        "queued",
    ]
    assert [job.queue_position for job in queued] == [*range(1, len(queued) + 1)]
    jobs.seen_by(Caller("ana")).submit(clip(), priority=20)
    assert_the_sums_are_right(jobs)
    jobs.close()
