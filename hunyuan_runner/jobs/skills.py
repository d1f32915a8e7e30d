"""What a worker can render: which models, with which decoders, clips of which size, on which path.

Clips that are computed on one path are the same bit for bit: the path is the CPU, its threads, the
precision and, in int8, the form of attention. A clip that was begun on a path continues there, as
long as a worker of that path lives that could continue it. If there is none, any worker may
continue it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.database import jobs
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.quoting.memory import limit_bytes, peak_bytes
from hunyuan_runner.quoting.profile import Profile


@dataclass(frozen=True)
class Skill:
    """One model that a worker can render."""

    model: str
    path: str
    precision: str
    memory_bytes: int | None  # that a clip may need; None if every clip of the model fits
    fast_decoder: bool = False  # as for a worker of a version that knew none

    @property
    def suffices(self) -> sa.ColumnElement[bool]:
        """Whether the job of a row has this model, and fits, and does not need another decoder."""
        right = jobs.c.model == self.model
        if not self.fast_decoder:
            decoder = sa.func.coalesce(jobs.c.params["decoder"].as_string(), "full")
            right = sa.and_(right, decoder == "full")
        if self.memory_bytes is None:
            return right
        needed = sa.func.coalesce(jobs.c.peak_bytes[self.precision].as_float(), 0)
        return sa.and_(right, needed <= self.memory_bytes)


@dataclass(frozen=True)
class Skills:
    """What one worker can render, and what the others can."""

    own: tuple[Skill, ...]
    others: frozenset[Skill] = frozenset()

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """Of a worker on this machine, without the others."""
        return cls(
            tuple(
                Skill(
                    model_id,
                    path_of(profile, model_id),
                    ability.precision,
                    limit_bytes(MODELS[model_id], profile.memory_bytes),
                    ability.fast_decoder,
                )
                for model_id, ability in profile.models.items()
                if ability.installed
            )
        )

    @property
    def models(self) -> list[str]:
        return [skill.model for skill in self.own]

    def path(self, model_id: str) -> str | None:
        """On which path this worker renders a model; None if it does not have it."""
        return next((skill.path for skill in self.own if skill.model == model_id), None)

    @property
    def suffice(self) -> sa.ColumnElement[bool]:
        """Whether this worker may render the job of a row."""
        paths = {skill.path for skill in self.own}
        elsewhere = (
            sa.and_(jobs.c.path == skill.path, skill.suffices)
            for skill in sorted(self.others, key=repr)
            if skill.path not in paths
        )
        able = sa.or_(sa.false(), *(skill.suffices for skill in self.own))
        # A row without a path was not begun: null is neither true nor false.
        return sa.and_(able, sa.not_(sa.func.coalesce(sa.or_(sa.false(), *elsewhere), sa.false())))

    def as_json(self) -> list[dict[str, Any]]:
        return [vars(skill) for skill in self.own]


_SKILLS = TypeAdapter(frozenset[Skill])


def skills_of_json(value: Any) -> frozenset[Skill]:
    """The reverse of Skills.as_json(). None of a worker of a version that writes them otherwise."""
    try:
        return _SKILLS.validate_python(value)
    except ValidationError:
        return frozenset()


def path_of(profile: Profile, model_id: str) -> str:
    """The path on which a machine renders a model."""
    precision, kernels = profile.models[model_id].precision, profile.kernels
    computed = str(precision)
    if precision is Precision.INT8 and kernels is not None:
        computed += f" with attention in {kernels.bits}"
    # CPUs of one name may have other instructions, which virtual machines hide; torch uses them.
    cpu = f"{profile.cpu}, {profile.instructions}"
    return f"{model_id} in {computed} on {cpu}, {profile.threads} threads"


def peaks_of(params: GenerationParams) -> Mapping[str, int]:
    """The memory that a clip needs, in bytes by precision."""
    model = MODELS[params.model]
    return {str(precision): peak_bytes(params, model, precision) for precision in Precision}
