"""How long clips take on the machines of the workers, by their profiles and by earlier jobs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

import sqlalchemy as sa
from pydantic import ValidationError

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.database import corrections, upsert, workers
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.estimate import Correction, Expectation, Work, expect, first_correction
from hunyuan_runner.quoting.profile import Ability, Profile

_CORRECTIONS = sa.select(corrections)
Subject = tuple[str, str, str]  # what a correction is of: basis, model and precision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forecast:
    """What is known of the machines now. Those of live workers are listed by executor id."""

    machines: Mapping[str, Profile]
    corrections: Mapping[Subject, Mapping[Stage, Correction]]
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
            _load_corrections(connection),
            otherwise,
        )

    @classmethod
    def of(cls, connection: sa.Connection, machine: Profile) -> Self:
        """The forecast for one machine."""
        return cls({}, _load_corrections(connection), lambda: machine)

    @cached_property
    def largest(self) -> Profile:
        """The machine with the most memory: a clip that does not fit there fits nowhere."""
        if not self.machines:
            return self.otherwise()
        return max(self.machines.values(), key=lambda machine: machine.memory_bytes)

    def has(self, model_id: str) -> bool:
        """Whether one of the machines has this model."""
        return any(machine.models[model_id].installed for machine in self.machines.values())

    def expect(self, work: Work, model_id: str, executor_id: str | None = None) -> Expectation:
        """How long the work takes on that worker's machine, or on the largest one."""
        machine = self.machines.get(executor_id or "", self.largest)
        ability = machine.models[model_id]
        known = self.corrections.get(_subject(model_id, ability), {})
        return expect(work, MODELS[model_id], ability.rates, known)


def learn(
    connection: sa.Connection,
    model_id: str,
    ability: Ability,
    work: Work,
    seconds: Mapping[Stage, float],
) -> None:
    """Correct the predictions for this ability by the seconds that a job's stages took."""
    basis, _, precision = subject = _subject(model_id, ability)
    known = _load_corrections(connection).get(subject, {})
    predicted = ability.rates.predict(work, MODELS[model_id])
    # Loading is not predicted. Sorted, so that all workers lock these rows in the same order.
    for stage in sorted(predicted.keys() & seconds.keys()):
        factor = seconds[stage] / predicted[stage]
        correction = (
            known[stage].observe(factor)
            if stage in known
            else first_correction(factor, ability.rates.spread)
        )
        values = {"factor": correction.factor, "spread": correction.spread}
        key = {"basis": basis, "model": model_id, "precision": precision, "stage": stage}
        # If another worker learns at the same moment, the later one counts.
        insert = upsert(connection, corrections).values(key | values)
        connection.execute(insert.on_conflict_do_update(index_elements=[*key], set_=values))


def _load_corrections(connection: sa.Connection) -> Mapping[Subject, dict[Stage, Correction]]:
    found: defaultdict[Subject, dict[Stage, Correction]] = defaultdict(dict)
    for row in connection.execute(_CORRECTIONS):
        found[row.basis, row.model, row.precision][Stage(row.stage)] = Correction(
            row.factor, row.spread
        )
    return found


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
