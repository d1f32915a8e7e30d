"""Which field a client meant by a name that is not a field."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

LONGEST_NAME = 40  # characters; a longer name is no typing mistake
LIKENESS = 0.7  # 0 to 1; with less, the guess would be wrong more often than right

# What other tools call each field. One word may stand for several fields.
SYNONYMS = {
    "prompt": "text text_prompt positive_prompt description caption",
    "negative_prompt": "negative prompt_negative neg_prompt not_prompt",
    "model": "model_id model_name checkpoint",
    "width": "w",
    "height": "h",
    "size": "resolution dimensions video_size aspect_ratio aspect ratio",
    "num_frames": "frames frame_count frames_count n_frames nframes number_of_frames video_frames"
    " max_frames length",
    "seconds": "duration duration_seconds num_seconds video_seconds sec secs s length",
    "fps": "frame_rate framerate frames_per_second",
    "num_inference_steps": "step num_steps n_steps inference_steps sampling_steps sample_steps"
    " infer_steps denoising_steps diffusion_steps number_of_steps",
    "seed": "noise_seed random_seed random_state rng_seed",
    "guidance_scale": "cfg cfg_scale guidance embedded_guidance embedded_guidance_scale"
    " embedded_cfg_scale distilled_guidance_scale scale",
    "true_cfg_scale": "true_cfg true_guidance_scale negative_guidance_scale",
    "flow_shift": "shift timestep_shift sigma_shift",
    "step_cache": "cache teacache use_teacache fbcache",
    "decoder": "vae taehv tae tiny_vae vae_decoder decode",
    "metadata": "labels tags meta",
    "webhook_url": "webhook callback callback_url notify_url hook",
    "webhook_events": "events webhook_events_filter events_filter",
    "draft_steps": "draft preview_steps",
    "deadline_seconds": "deadline timeout max_seconds",
    "input_reference": "image image_url images init_image input_image first_frame_image reference",
    "status": "state",
    "limit": "page_size per_page count size max max_results",
    "after": "page cursor offset start starting_after next",
    "order": "sort direction",
}


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown `name`; empty if no known field is similar."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known fields that `name` most likely stands for, such as `seconds or num_frames`."""
    if len(name) > LONGEST_NAME:
        return None
    words: dict[str, list[str]] = {field: [field] for field in known}
    for field in sorted(known):
        for synonym in SYNONYMS.get(field, "").split():
            if synonym not in known:
                words.setdefault(synonym, []).append(field)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]", "_", name).lower()
    found = get_close_matches(snake, words, n=1, cutoff=LIKENESS)
    return " or ".join(words[found[0]]) if found else None
