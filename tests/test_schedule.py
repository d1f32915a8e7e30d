"""Which steps are computed, by how many there are and what was asked for."""

from __future__ import annotations

import pytest
from diffusers import FlowMatchEulerDiscreteScheduler
from pydantic import TypeAdapter

from hunyuan_runner.params import Steps
from hunyuan_runner.schedule import StepCache, computed_steps, shifted_sigmas

ALL_NUMBERS = range(1, 101)
SHIFTS = (0.5, 1.0, 5.0, 7.0, 17.0, 50.0)


def test_all_numbers_of_steps_are_tried_here() -> None:
    bounds = TypeAdapter(Steps).json_schema()
    assert range(bounds["minimum"], bounds["maximum"] + 1) == ALL_NUMBERS


@pytest.mark.parametrize("flow_shift", SHIFTS)
@pytest.mark.parametrize(("step_cache", "factor"), [("balanced", 1.8), ("fast", 2.5)])
def test_so_many_times_fewer_steps_are_computed_the_first_and_the_last_among_them(
    step_cache: StepCache, factor: float, flow_shift: float
) -> None:
    for number in ALL_NUMBERS:
        steps = computed_steps(number, flow_shift, step_cache)
        assert list(steps) == sorted(set(steps))
        assert (steps[0], steps[-1]) == (0, number - 1)
        assert len(steps) <= number / factor or len(steps) <= 3


@pytest.mark.parametrize("flow_shift", SHIFTS)
def test_without_a_cache_every_step_is_computed(flow_shift: float) -> None:
    for number in ALL_NUMBERS:
        assert computed_steps(number, flow_shift, "off") == tuple(range(number))


def test_the_demo_models_schedules_are_these() -> None:
    """What was measured, docs/step-cache.md: another choice needs other figures."""
    assert computed_steps(12, 5.0, "balanced") == (0, 4, 7, 9, 10, 11)
    assert computed_steps(12, 5.0, "fast") == (0, 6, 9, 11)


@pytest.mark.parametrize("flow_shift", SHIFTS)
def test_the_sigmas_are_the_schedulers(flow_shift: float) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=flow_shift)
    scheduler.set_timesteps(sigmas=[1 - step / 12 for step in range(12)])
    assert scheduler.sigmas.tolist() == pytest.approx(shifted_sigmas(12, flow_shift), rel=1e-6)
