"""What a type checker makes of the clients.

mypy reads this file, and reports an `ignore` that is not needed.
"""

from __future__ import annotations

from typing import assert_type, get_type_hints

from hunyuan_runner.client import (
    AsyncHunyuanClient,
    AsyncJobHandle,
    ClipOptions,
    HunyuanClient,
    JobHandle,
)
from hunyuan_runner.params import GenerationRequest


def blocking(client: HunyuanClient) -> None:
    assert_type(client.generate("A cat", width=640, preset="fast", seed=None), JobHandle)
    client.generate("A cat", widht=640)  # type: ignore[call-arg]
    client.generate("A cat", width="640")  # type: ignore[arg-type]
    client.generate("A cat", preset="ultra")  # type: ignore[arg-type]
    client.estimate(deadline_seconds=60, widht=640)  # type: ignore[call-arg]
    client.estimate("A cat", webhook_events=["finished"])  # type: ignore[list-item]
    for handle in client.iterate():
        assert_type(handle, JobHandle)


async def awaited(client: AsyncHunyuanClient) -> None:
    assert_type(await client.generate("A cat", width=640), AsyncJobHandle)
    await client.generate("A cat", widht=640)  # type: ignore[call-arg]
    await client.estimate(preset="ultra")  # type: ignore[arg-type]
    async for handle in client.iterate():
        assert_type(handle, AsyncJobHandle)


def test_the_options_are_the_fields_of_a_request() -> None:
    fields = get_type_hints(GenerationRequest)  # without their bounds
    expected = {
        name: fields[name] | None for name in GenerationRequest.model_fields if name != "prompt"
    }
    assert get_type_hints(ClipOptions) == expected
