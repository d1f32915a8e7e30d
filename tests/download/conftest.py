"""A small hub on loopback, and the commands that download from it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from hunyuan_runner.catalogue import MODELS
from tests.conftest import ROOT
from tests.stub_server import reply, serving

SCRIPT = ROOT / "download_models.py"
REPO = MODELS["hunyuanvideo"].repo
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIRST, SECOND = (f"transformer/model-{n}-of-2.safetensors" for n in (1, 2))

SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 7.0}
TRANSFORMER = {
    "_class_name": "HunyuanVideoTransformer3DModel",
    "guidance_embeds": True,
    "in_channels": 16,
    "num_layers": 20,
    "num_single_layers": 40,
    "out_channels": 16,
}


def package() -> dict[str, bytes]:
    """The files of a model."""
    index = {
        "_class_name": "HunyuanVideoPipeline",
        "transformer": ["diffusers", "HunyuanVideoTransformer3DModel"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "tokenizer": ["transformers", "LlamaTokenizerFast"],
        "safety_checker": [None, None],
    }
    weight_map = {"a": FIRST.split("/")[1], "b": SECOND.split("/")[1]}
    noise = np.random.default_rng(0).integers(0, 256, 24 * 2**20, np.uint8)
    return {
        "model_index.json": json.dumps(index).encode(),
        "scheduler/scheduler_config.json": json.dumps(SCHEDULER).encode(),
        "tokenizer/tokenizer_config.json": b"{}",
        "tokenizer/tokenizer.json": b"{}",
        "transformer/config.json": json.dumps(TRANSFORMER).encode(),
        "transformer/model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode(),
        FIRST: save({"a": noise}),
        SECOND: save({"b": np.zeros(4, np.float32)}),
        "LICENSE.txt": b"the agreement",
    }


SUPERFLUOUS = {
    "README.md": b"# Model",
    "transformer/model.bin": b"a pickle",
    "transformer/model.fp16-00001-of-00001.safetensors": b"a variant",
    "transformer/model.safetensors.index.fp16.json": b"a variant's index",
    "transformer/model-q4_0.gguf": b"another format",
    "transformer/README.md": b"# Transformer",
    "assets/demo.mp4": b"a video",
    "../outside.json": b"{}",
    "transformer/../../outside.json": b"{}",
}


@dataclass
class Hub:
    """The hub's routes that a download needs."""

    files: dict[str, bytes]
    others: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by repository
    altered: dict[str, bytes] = field(default_factory=dict)  # sent instead, in a broken transfer
    claimed_sizes: dict[str, int] = field(default_factory=dict)
    stall_at: int | None = None  # bytes of FIRST after which nothing more comes
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    refusals: list[int] = field(default_factory=list)  # statuses with which it answers first
    revisions: list[str] = field(default_factory=list)  # that were asked for
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    tokens: list[str] = field(default_factory=list)

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.tokens += request.headers.get_all("Authorization", [])
        path = request.path.partition("?")[0]
        if self.refusals:
            reply(request, b"{}", self.refusals.pop(0), Retry_After="0")
        elif (other := self._other(path)) is not None:
            repo, files = other
            if path.startswith("/api/models/"):
                siblings = [self._sibling(name, content) for name, content in files.items()]
                about = {"id": repo, "sha": COMMIT, "siblings": siblings}
                reply(request, json.dumps(about).encode())
            else:
                reply(request, files[path.removeprefix(f"/{repo}/resolve/{COMMIT}/")])
        elif path.startswith(f"/api/models/{REPO}"):
            self.revisions.append(path.removeprefix(f"/api/models/{REPO}/revision/"))
            reply(request, json.dumps(self._info()).encode())
        elif path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            self._send(request, path.removeprefix(f"/{REPO}/resolve/{COMMIT}/"))
        else:
            reply(request, b"{}", 404)

    def _other(self, path: str) -> tuple[str, dict[str, bytes]] | None:
        """Another repository, if the path is in one."""
        return next((other for other in self.others.items() if f"/{other[0]}/" in f"{path}/"), None)

    def _info(self) -> dict[str, Any]:
        siblings = [self._sibling(path, content) for path, content in self.files.items()]
        return {"id": REPO, "sha": COMMIT, "siblings": siblings}

    def _sibling(self, path: str, content: bytes) -> dict[str, Any]:
        size = self.claimed_sizes.get(path, len(content))
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        sibling: dict[str, Any] = {"rfilename": path, "size": size, "blobId": git}
        if path.endswith(".safetensors"):
            sha256 = hashlib.sha256(content).hexdigest()
            sibling["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 130}
        return sibling

    def _send(self, request: BaseHTTPRequestHandler, path: str) -> None:
        wanted = request.headers["Range"]
        self.asked.append((path, wanted))
        content = self.altered.get(path) or self.files[path]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start and start >= len(content):
            reply(request, b"", 416, Content_Range=f"bytes */{len(content)}")
            return
        length = str(len(content) - start)
        status = 206 if wanted else 200
        if path == FIRST and self.stall_at is not None:
            reply(request, content[start : self.stall_at], status, Content_Length=length)
            self.stalled.set()
            self.released.wait()
        else:
            reply(request, content[start:], status, Content_Length=length)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(package() | SUPERFLUOUS)
    with serving(hub) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield hub
        hub.released.set()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUNYUAN_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def download_models(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def hunyuan_models(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hunyuan_runner", "models", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def install() -> subprocess.CompletedProcess[str]:
    return download_models("hunyuanvideo", "--accept-licence")


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(SCRIPT.parent), "COLUMNS": "200"}


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
