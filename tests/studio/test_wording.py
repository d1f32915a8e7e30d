"""How the page words times, sizes and amounts."""

from __future__ import annotations

import pytest

from hunyuan_runner.quoting.estimate import Range
from hunyuan_runner.studio.wording import cost, duration, duration_range, gigabytes


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3570, "1 h"),
        (4800, "1 h 20 min"),
        (86_400, "1 d"),
        (30 * 3600, "1 d 6 h"),
    ],
)
def test_a_duration_is_in_the_unit_that_people_use(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "1 s"),
        (8, 12, "8–12 s"),
        (36, 61, "36–61 s"),
        (62, 118, "1–2 min"),
        (40, 300, "40 s – 5 min"),
        (5400, 32_400, "1.5–9 h"),
        (11_000, 79_000, "3–22 h"),
        (3600, 400_000, "1 h – 4 d 15 h"),
        (400_000, 2_200_000, "5–25 d"),
    ],
)
def test_a_range_has_one_unit_if_that_says_enough(low: float, high: float, words: str) -> None:
    assert duration_range(Range(low, (low + high) / 2, high)) == words


def test_sizes_and_costs_have_the_digits_that_count() -> None:
    assert [gigabytes(count) for count in (3e3, 250e6, 16.84e9)] == ["1 MB", "250 MB", "16.8 GB"]
    assert [cost(amount) for amount in (0.00417, 0.1, 98.951)] == ["0.0042", "0.10", "98.95"]
