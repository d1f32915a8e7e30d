"""The settings: what the environment may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hunyuan_runner.settings import Settings


@pytest.mark.parametrize("name", ["HUNYUAN_MAX_FAILED_STARTS", "HUNYUAN_MAX_ATTEMPTS"])
def test_a_renamed_setting_is_read_by_both_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "7")
    assert Settings().max_failed_starts == 7
    assert Settings(max_failed_starts=8).max_failed_starts == 8


def test_the_new_name_of_a_setting_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNYUAN_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("HUNYUAN_MAX_FAILED_STARTS", "9")
    assert Settings().max_failed_starts == 9


@pytest.mark.parametrize("name", ["HUNYUAN_MAX_FAILED_STARTS", "HUNYUAN_MAX_ATTEMPTS"])
def test_a_wrong_value_is_refused_by_the_setting_s_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "0")
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert refusal.value.errors()[0]["loc"] == ("max_failed_starts",)
