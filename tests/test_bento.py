"""The bento: what is in it, and that it serves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, StartService, finish, submit


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bentoml")
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    subprocess.run(["make", "bento"], cwd=ROOT, env=environment, check=True, capture_output=True)
    (folder,) = (path for path in (home / "bentos" / "hunyuan-runner").iterdir() if path.is_dir())
    return folder


def test_it_holds_the_service_and_the_demo_model_and_nothing_else(bento: Path) -> None:
    source = bento / "src"
    expected = {"service.py", "download_models.py", "LICENSE", "bentofile.yaml"}
    assert {path.name for path in source.iterdir()} == expected | {"hunyuan_runner"}
    assert (source / "hunyuan_runner" / "bundled" / "demo" / "model_index.json").exists()
    assert not list(source.glob("**/__pycache__"))


def test_its_versions_are_the_pinned_ones_and_torch_is_the_cpu_build(bento: Path) -> None:
    requirements = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "torch==2.13.0+cpu" in requirements
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if "==" in line:
            assert line.split()[0] in requirements


def test_its_image_has_a_data_folder_for_its_own_user(bento: Path) -> None:
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text()
    assert "script__" in dockerfile
    assert dockerfile.index("script__") < dockerfile.index("USER bentoml")


def test_it_serves(bento: Path, start_service: StartService) -> None:
    service = start_service(str(bento))
    with httpx.Client(base_url=service.url, timeout=30) as client:
        assert finish(client, submit(client))["status"] == "completed"
