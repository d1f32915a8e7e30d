"""What a clip tells of how it was made."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.kernels import choose_kernels
from hunyuan_runner.manifest import Manifest, PublishedManifest
from hunyuan_runner.media import read_tags
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import BUNDLED_MODELS
from tests.conftest import LONG, SHORT, submit

PARAMS = GenerationRequest(**SHORT).resolve("demo", MODELS["demo"].presets)


def test_a_clip_tells_all_that_it_depends_on(
    client: httpx.Client, clip: dict[str, Any], tmp_path: Path
) -> None:
    answer = client.get(f"/api/jobs/{clip['job_id']}/manifest").raise_for_status()
    manifest = PublishedManifest.model_validate_json(answer.content)
    assert manifest.params.model_dump() == clip["params"]
    weights = BUNDLED_MODELS / "demo" / "vae" / "diffusion_pytorch_model.safetensors"
    name = "vae/diffusion_pytorch_model.safetensors"
    assert manifest.model.weights[name] == hashlib.sha256(weights.read_bytes()).hexdigest()
    info = client.get("/api/info").json()
    assert manifest.versions == info["versions"]
    assert manifest.threads == info["host"]["threads"]
    assert manifest.cpu == info["host"]["cpu"]
    # The demo model is computed by torch, in float32.
    assert (manifest.precision, manifest.instructions, manifest.attention) == ("fp32", None, None)
    best = choose_kernels(WantedKernels(tmp_path), cpu_flags())
    (runner,) = info["runners"]
    assert runner["kernels"] == (best and asdict(best))

    video = client.get(clip["video_url"]).content
    assert manifest.video_sha256 == hashlib.sha256(video).hexdigest()
    assert manifest.video_bytes == len(video)
    (tmp_path / "clip.mp4").write_bytes(video)
    inside = Manifest.model_validate_json(read_tags(tmp_path / "clip.mp4")["manifest"])
    assert inside.model_dump() == manifest.model_dump(exclude={"video_sha256", "video_bytes"})


def test_a_clip_that_is_not_finished_has_no_manifest(client: httpx.Client) -> None:
    job = submit(client, **LONG)
    path = f"/api/jobs/{job['job_id']}"
    assert client.get(f"{path}/manifest").status_code == 409
    client.post(f"{path}/cancel")
    assert client.get(f"{path}/manifest").status_code == 409


def test_what_differs_between_two_clips_is_named() -> None:
    manifest = Manifest.of(PARAMS, BUNDLED_MODELS / "demo", "fp32", 2)
    assert not list(manifest.differences(manifest))
    newer = manifest.model_copy(
        update={"threads": 8, "versions": manifest.versions | {"torch": "9.9"}}
    )
    assert set(manifest.differences(newer)) == {
        "threads 8, not 2",
        f"torch 9.9, not {manifest.versions['torch']}",
    }


def test_other_kernels_are_named_where_both_clips_say_which() -> None:
    manifest = Manifest.of(PARAMS, BUNDLED_MODELS / "demo", "int8", 2, "avx2", "int16")
    other = manifest.model_copy(update={"instructions": "avx512", "attention": "int8"})
    assert list(manifest.differences(other)) == [
        "instructions avx512, not avx2",
        "attention int8, not int16",
    ]
    fields = manifest.model_dump(exclude={"instructions", "attention", "continued"})
    earlier = Manifest.model_validate(fields)  # of a version that did not write them
    assert not list(earlier.differences(manifest))
    assert not list(manifest.differences(earlier))


def test_a_clip_of_several_runners_says_so_when_it_is_compared() -> None:
    manifest = Manifest.of(PARAMS, BUNDLED_MODELS / "demo", "fp32", 2)
    continued = manifest.model_copy(update={"continued": "step 1 on A; step 2 on B"})
    assert list(continued.differences(manifest)) == [
        "one runner, not several runners (step 1 on A; step 2 on B)"
    ]
    assert list(manifest.differences(continued)) == [
        "several runners (step 1 on A; step 2 on B), not one runner"
    ]


def test_weights_that_were_exchanged_are_other_weights(tmp_path: Path) -> None:
    model_dir = tmp_path / "demo"
    shutil.copytree(BUNDLED_MODELS / "demo", model_dir)
    before = Manifest.of(PARAMS, model_dir, "fp32", 2)
    weights = next(model_dir.glob("vae/*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, (1, 1))
    assert list(before.differences(Manifest.of(PARAMS, model_dir, "fp32", 2))) == [
        "other weights of demo"
    ]
