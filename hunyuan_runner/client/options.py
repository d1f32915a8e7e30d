"""The fields of a request besides its prompt, as keyword arguments that a type checker knows."""

from __future__ import annotations

from typing import TypedDict

from hunyuan_runner.params import PresetName, WebhookEvent
from hunyuan_runner.schedule import StepCache


class ClipOptions(TypedDict, total=False):
    """What a clip should be; what is left out or None is up to the service.

    `hunyuan_runner.params.GenerationRequest` says what each field means and its bounds. A test
    compares the two.
    """

    negative_prompt: str | None
    model: str | None
    preset: PresetName | None
    width: int | None
    height: int | None
    size: str | None
    num_frames: int | None
    seconds: float | None
    fps: float | None
    num_inference_steps: int | None
    seed: int | None
    guidance_scale: float | None
    true_cfg_scale: float | None
    flow_shift: float | None
    step_cache: StepCache | None
    draft_steps: int | None
    priority: int | None
    metadata: dict[str, str] | None
    webhook_url: str | None
    webhook_events: list[WebhookEvent] | None
