"""How long clips take on the machines of the workers, by their profiles and by earlier jobs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

import sqlalchemy as sa
from pydantic import ValidationError

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.database import timings, workers
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.estimate import (
    REMEMBERED_JOBS,
    TIMED_STAGES,
    WORK_FIELDS,
    Expectation,
    Experience,
    Rates,
    Timing,
    Work,
    expect,
)
from hunyuan_runner.quoting.profile import Ability, Profile

_COLUMNS = ("basis", "model", "precision", *WORK_FIELDS, *TIMED_STAGES)
_LATEST_FIRST = sa.select(*(timings.c[name] for name in _COLUMNS)).order_by(timings.c.id.desc())
Subject = tuple[str, str, str]  # whose timings: basis, model and precision
Row = tuple[float | None, ...]  # of WORK_FIELDS and TIMED_STAGES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forecast:
    """What is known of the machines now. Those of live workers are listed by executor id."""

    machines: Mapping[str, Profile]
    timings: Mapping[Subject, tuple[Row, ...]]  # the latest first
    otherwise: Callable[[], Profile]  # the machine to assume while there is no worker

    @classmethod
    def load(
        cls,
        connection: sa.Connection,
        alive: sa.ColumnElement[bool],
        otherwise: Callable[[], Profile],
    ) -> Self:
        live = connection.execute(
            sa.select(
                workers.c.executor_id, sa.cast(workers.c.profile, sa.Text).label("profile")
            ).where(alive, workers.c.profile.is_not(None))
        )
        machines = {row.executor_id: _profile(row.profile) for row in live}
        return cls(
            {executor_id: profile for executor_id, profile in machines.items() if profile},
            _load_timings(connection),
            otherwise,
        )

    @classmethod
    def of(cls, connection: sa.Connection, machine: Profile) -> Self:
        """The forecast for one machine."""
        return cls({}, _load_timings(connection), lambda: machine)

    @cached_property
    def largest(self) -> Profile:
        """The machine with the most memory: a clip that does not fit there fits nowhere."""
        if not self.machines:
            return self.otherwise()
        return max(self.machines.values(), key=lambda machine: machine.memory_bytes)

    def has(self, model_id: str) -> bool:
        """Whether one of the machines has this model."""
        return any(machine.models[model_id].installed for machine in self.machines.values())

    def has_fast_decoder(self, model_id: str) -> bool:
        """Whether one of the machines has this model, and its fast decoder."""
        abilities = (machine.models[model_id] for machine in self.machines.values())
        return any(ability.installed and ability.fast_decoder for ability in abilities)

    def expect(self, work: Work, model_id: str, executor_id: str | None = None) -> Expectation:
        """How long the work takes on that worker's machine, or on the largest one."""
        machine = self.machines.get(executor_id or "", self.largest)
        ability = machine.models[model_id]
        rows = self.timings.get(_subject(model_id, ability), ())
        experience = _experience(rows, model_id, ability.rates)
        expectation = expect(work, MODELS[model_id], ability.rates, experience)
        return replace(expectation, loading=ability.loading_seconds)


def learn(
    connection: sa.Connection,
    model_id: str,
    ability: Ability,
    work: Work,
    seconds: Mapping[Stage, float],
) -> None:
    """Remember what the stages of a job took, for the predictions for this ability.

    Of its earlier jobs, only the latest are kept.
    """
    subject = dict(zip(_COLUMNS, _subject(model_id, ability), strict=False))
    # Ratios are learnt, so a clock that saw no time pass teaches nothing.
    took = {stage: seconds.get(stage) or None for stage in TIMED_STAGES}
    if not any(took.values()):
        return
    connection.execute(sa.insert(timings).values(subject | vars(work) | took))
    same = [timings.c[name] == value for name, value in subject.items()]
    ids = sa.select(timings.c.id).where(*same).order_by(timings.c.id.desc())
    forgotten = ids.offset(REMEMBERED_JOBS).limit(1).scalar_subquery()
    connection.execute(sa.delete(timings).where(*same, timings.c.id <= forgotten))


def _load_timings(connection: sa.Connection) -> Mapping[Subject, tuple[Row, ...]]:
    found: defaultdict[Subject, tuple[Row, ...]] = defaultdict(tuple)
    for basis, model, precision, *row in connection.execute(_LATEST_FIRST):
        found[basis, model, precision] += (tuple(row),)
    return found


@lru_cache(maxsize=256)
def _experience(rows: tuple[Row, ...], model_id: str, rates: Rates) -> Experience:
    """Cached, because every status asks for it."""
    return Experience.of(list(map(_timing, rows)), MODELS[model_id], rates)


def _timing(row: Row) -> Timing:
    work, seconds = row[: len(WORK_FIELDS)], row[len(WORK_FIELDS) :]
    took = zip(TIMED_STAGES, seconds, strict=True)
    return Timing(
        Work(**dict(zip(WORK_FIELDS, work, strict=True))),  # type: ignore[arg-type]
        {stage: value for stage, value in took if value is not None},
    )


def _subject(model_id: str, ability: Ability) -> Subject:
    return ability.basis, model_id, ability.precision


@lru_cache(maxsize=256)
def _profile(text: str) -> Profile | None:
    """Cached, because every status asks for those of all workers: with 50 that took 100 ms."""
    try:
        return Profile.of_json(text)
    except ValidationError:  # from a worker of another version
        logger.debug("a worker's profile cannot be read", exc_info=True)
        return None
