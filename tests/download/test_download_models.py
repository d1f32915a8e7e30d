"""`download_models.py` and `hunyuan models download`, with a small hub on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.routes.health import get_health
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.downloads import unfinished_downloads
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import DownloadView
from tests import tiny
from tests.download.conftest import (
    COMMIT,
    FIRST,
    REPO,
    SCRIPT,
    SECOND,
    Hub,
    download_models,
    environment,
    files_in,
    flip_a_byte,
    hunyuan_models,
    install,
    package,
)

HUB_CHUNK = 10 * 2**20  # huggingface_hub writes a file in pieces of so many bytes
NOTES = ("NOTICE", "manifest.json", "model_index.json")


def test_a_model_is_fetched_whole_with_its_licence_and_nothing_else(hub: Hub, models: Path) -> None:
    result = install()
    assert result.returncode == 0, result.stderr
    installed = files_in(models / "hunyuanvideo")
    notice, manifest = installed.pop("NOTICE"), json.loads(installed.pop("manifest.json"))
    assert installed == package()
    assert "Tencent Hunyuan Community License Agreement" in notice.decode()
    assert (manifest["repo"], manifest["commit"]) == (REPO, COMMIT)
    assert [path.name for path in models.iterdir()] == ["hunyuanvideo"]
    assert not list(models.parent.glob("outside*"))


def test_each_option_of_the_script_is_a_command_of_hunyuan_models(hub: Hub, models: Path) -> None:
    assert hunyuan_models("verify", "hunyuanvideo").returncode == 1
    assert "European Union" in hunyuan_models("download", "hunyuanvideo").stdout
    assert hunyuan_models("download", "hunyuanvideo", "--accept-licence").returncode == 0
    assert hunyuan_models("verify", "hunyuanvideo").stdout == "hunyuanvideo is complete\n"
    assert hunyuan_models("list").stdout == download_models("--list").stdout
    tiny.save_model(models / "fasthunyuan")
    assert "fasthunyuan is now in int8" in hunyuan_models("quantise", "fasthunyuan").stdout


def test_the_notice_that_comes_with_a_model_is_kept(hub: Hub, models: Path) -> None:
    hub.files["Notice.txt"] = b"the notice"
    assert install().returncode == 0
    installed = files_in(models / "hunyuanvideo")
    assert installed["Notice.txt"] == b"the notice"
    assert "NOTICE" not in installed


def test_weights_of_the_transformer_may_come_from_another_repository(
    hub: Hub, models: Path
) -> None:
    model = MODELS["hunyuanvideo15-4step"]
    assert model.repo is not None
    assert model.transformer is not None
    index = {
        "_class_name": "HunyuanVideo15Pipeline",
        "transformer": ["diffusers", "HunyuanVideo15Transformer3DModel"],
    }
    settings = {"in_channels": 65, "out_channels": 32, "num_layers": 54, "task_type": "t2v"}
    configuration = {"_class_name": "HunyuanVideo15Transformer3DModel"} | settings
    hub.others[model.repo] = {
        "model_index.json": json.dumps(index).encode(),
        "transformer/config.json": json.dumps(configuration).encode(),
        "transformer/diffusion_pytorch_model.safetensors.index.json": b"{}",
        "transformer/diffusion_pytorch_model-00001-of-00001.safetensors": b"not distilled",
    }
    distilled = save({"img_in.proj.bias": np.ones(3, np.float32)})
    hub.others[model.transformer.repo] = {"README.md": b"# Distilled"}
    result = download_models(model.id, "--accept-licence")
    assert f"{model.transformer.repo} has no {model.transformer.path}" in result.stderr

    hub.others[model.transformer.repo] |= {model.transformer.path: distilled, "8.safetensors": b""}
    result = download_models(model.id, "--accept-licence")
    assert result.returncode == 0, result.stderr
    found = files_in(models / model.id)
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert found[weights] == distilled
    assert found.keys() == {weights, "transformer/config.json", *NOTES}
    note = json.loads(found["manifest.json"])
    assert (note["repo"], note["commit"]) == (model.repo, COMMIT)
    assert note["transformer_repo"] == model.transformer.repo
    assert note["transformer_commit"] == COMMIT
    flip_a_byte(models / model.id / weights)
    result = download_models(model.id, "--verify")
    assert f"{weights} differs from the published file" in result.stderr


def test_no_token_is_sent(hub: Hub, models: Path) -> None:
    assert install().returncode == 0
    assert hub.tokens == []


def test_without_acceptance_the_terms_are_shown_and_nothing_is_fetched(
    hub: Hub, models: Path
) -> None:
    result = download_models("hunyuanvideo")
    assert result.returncode == 1
    for term in ("European Union", "South Korea", "100 million", "machine-generated"):
        assert term in result.stdout
    assert "--accept-licence" in result.stdout
    assert not models.exists()
    assert hub.asked == []


def test_an_interrupted_download_does_not_look_installed_and_resumes_where_it_stopped(
    hub: Hub, models: Path
) -> None:
    hub.stall_at = 2 * HUB_CHUNK + 1000
    command = [sys.executable, str(SCRIPT), "hunyuanvideo", "--accept-licence"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    hub.stalled.wait()
    partial = models / "hunyuanvideo.partial"
    while sum(map(len, files_in(partial).values())) < 2 * HUB_CHUNK:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert "Run this again to go on" in process.communicate()[1]
    assert process.returncode == 130
    assert [path.name for path in models.iterdir()] == ["hunyuanvideo.partial"]
    assert re.search(r"^hunyuanvideo +not installed", download_models("--list").stdout, re.M)
    (download,) = unfinished_downloads(Settings())
    assert download.model_id == "hunyuanvideo"
    assert 2 * HUB_CHUNK <= download.bytes < sum(map(len, package().values()))
    assert download.total_bytes == sum(map(len, package().values()))

    hub.stall_at = None
    hub.asked.clear()
    assert install().returncode == 0
    assert (FIRST, f"bytes={2 * HUB_CHUNK}-") in hub.asked
    assert not {"model_index.json", "transformer/config.json"} & dict(hub.asked).keys()
    installed = files_in(models / "hunyuanvideo")
    assert {path: installed[path] for path in package()} == package()


def test_health_shows_how_far_a_download_is(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, models_dir=tmp_path / "models")
    partial = settings.models_dir / "fasthunyuan.partial"
    (partial / "vae").mkdir(parents=True)
    (partial / "vae" / "weights.incomplete").write_bytes(bytes(300))
    backend = Backend.open(settings)
    assert get_health(backend).downloads == (
        DownloadView(model="fasthunyuan", bytes=300, total_bytes=None),
    )
    (partial / "manifest.json").write_text('{"files": [{"size": 4000}, {"size": 500}]}')
    (download,) = get_health(backend).downloads
    assert download.total_bytes == 4500
    partial.rename(settings.models_dir / "fasthunyuan")
    assert get_health(backend).downloads == ()
    (settings.models_dir / "taehv.partial").mkdir()
    assert [download.model for download in get_health(backend).downloads] == ["taehv"]
    backend.jobs.close()


def test_a_file_that_arrives_altered_is_deleted_and_fetched_again(hub: Hub, models: Path) -> None:
    hub.altered[SECOND] = hub.files[SECOND][:-1] + b"\x01"
    result = install()
    assert result.returncode == 1
    assert f"{SECOND} differs from the published file" in result.stderr
    assert not (models / "hunyuanvideo").exists()
    hub.altered.clear()
    hub.asked.clear()
    assert install().returncode == 0
    assert hub.asked == [(SECOND, None)]


def test_an_answer_longer_than_the_file_is_not_resumed(hub: Hub, models: Path) -> None:
    hub.altered[SECOND] = b"<html>Log in to use this network</html>" * 100
    result = install()
    assert result.returncode == 1
    assert "is there a login page" in result.stderr
    hub.altered.clear()
    hub.asked.clear()
    assert install().returncode == 0
    assert (SECOND, None) in hub.asked


@pytest.mark.parametrize("excess", [0, 1, 1000])
def test_a_partial_file_that_is_too_long_is_fetched_again(
    hub: Hub, models: Path, excess: int
) -> None:
    digest = hashlib.sha256(hub.files[SECOND]).hexdigest()
    left = models / "hunyuanvideo.partial" / f"{SECOND}.{digest[:12]}.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(len(hub.files[SECOND]) + excess))
    result = install()
    if excess == 0:  # as long as it should be, and something else
        assert f"{SECOND} is broken" in result.stderr
        result = install()
    assert result.returncode == 0, result.stderr
    assert (models / "hunyuanvideo" / SECOND).read_bytes() == hub.files[SECOND]


def test_files_of_another_revision_are_deleted(hub: Hub, models: Path) -> None:
    stale = models / "hunyuanvideo.partial" / "transformer" / "model-3-of-3.safetensors"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of a revision in three files")
    assert install().returncode == 0
    assert not (models / "hunyuanvideo" / "transformer" / stale.name).exists()


@pytest.mark.parametrize("refusals", [[429], [503, 429]])
def test_a_hub_that_is_too_busy_is_asked_again(hub: Hub, models: Path, refusals: list[int]) -> None:
    hub.refusals += refusals
    result = install()
    assert result.returncode == 0, result.stderr
    assert f"The hub answers {refusals[0]}" in result.stderr


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_lasting_refusal_does_not_advise_another_try(hub: Hub, models: Path, status: int) -> None:
    hub.refusals += [status] * 10
    result = install()
    assert result.returncode == 1
    assert "Run this again" not in result.stderr
    assert "--revision" in result.stderr


def test_the_revision_that_was_tested_is_fetched_unless_another_is_named(
    hub: Hub, models: Path
) -> None:
    install()
    shutil.rmtree(models)
    download_models("hunyuanvideo", "--accept-licence", "--revision", "main")
    assert hub.revisions == [MODELS["hunyuanvideo"].revision, "main"]


@pytest.mark.parametrize("model", [model for model in MODELS.values() if model.repo])
def test_every_model_is_pinned_to_a_commit(model: Model) -> None:
    assert re.fullmatch("[0-9a-f]{40}", model.revision or "")


def put_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")


def put_a_file(folder: Path) -> None:
    folder.parent.mkdir()
    folder.touch()


def put_a_link_to_nowhere(folder: Path) -> None:
    folder.parent.mkdir()
    folder.symlink_to(folder.parent / "not mounted" / "model")


@pytest.mark.parametrize(
    ("occupy", "why"),
    [
        (put_files, "it has other files"),
        (put_a_file, "it is a file"),
        (put_a_link_to_nowhere, "whose folder is missing"),
    ],
)
def test_a_folder_that_cannot_become_the_model_is_refused_before_the_hub_is_asked(
    hub: Hub, models: Path, occupy: Callable[[Path], None], why: str
) -> None:
    occupy(models / "hunyuanvideo")
    result = install()
    assert result.returncode == 1
    assert why in result.stderr
    assert hub.revisions == []


def test_a_mount_point_is_refused_before_the_hub_is_asked(hub: Hub, models: Path) -> None:
    folder = models / "hunyuanvideo"
    folder.mkdir(parents=True)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can mount")
    try:
        result = install()
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert result.returncode == 1
    assert "it is a mount point" in result.stderr
    assert hub.revisions == []


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_to_another_disk_is_followed(
    hub: Hub, models: Path, tmp_path: Path, exists: bool
) -> None:
    target = tmp_path / "disk" / "model"
    (target if exists else target.parent).mkdir(parents=True)
    models.mkdir()
    (models / "hunyuanvideo").symlink_to(target)
    result = install()
    assert result.returncode == 0, result.stderr
    assert (target / FIRST).read_bytes() == hub.files[FIRST]
    assert download_models("hunyuanvideo", "--verify").returncode == 0


def test_a_second_download_of_the_same_model_is_refused(hub: Hub, models: Path) -> None:
    hub.stall_at = HUB_CHUNK
    command = [sys.executable, str(SCRIPT), "hunyuanvideo", "--accept-licence"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment())
    hub.stalled.wait()
    second = install()
    assert second.returncode == 1
    assert "another process is fetching it" in second.stderr
    first.kill()
    first.wait()
    hub.stall_at = None
    assert install().returncode == 0


def test_a_disk_too_small_is_refused_before_anything_big_is_fetched(hub: Hub, models: Path) -> None:
    hub.claimed_sizes[FIRST] = 10**18
    result = install()
    assert result.returncode == 1
    assert "has room for" in result.stderr
    assert FIRST not in dict(hub.asked)


def test_a_model_that_is_installed_is_not_fetched_again(hub: Hub, models: Path) -> None:
    install()
    hub.asked.clear()
    assert "is installed" in install().stdout
    assert hub.asked == []


def test_a_repository_without_a_pipeline_is_refused(hub: Hub, models: Path) -> None:
    del hub.files["model_index.json"]
    result = install()
    assert result.returncode == 1
    assert "has no model_index.json" in result.stderr


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", None], ids=["unreachable", "unknown"])
def test_a_hub_without_the_model_is_an_error_without_traceback(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    if endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    result = download_models("fasthunyuan", "--accept-licence")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_the_bundled_model_cannot_be_downloaded(models: Path) -> None:
    result = download_models("demo")
    assert result.returncode == 1
    assert "comes with hunyuan-runner" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["gpt"]])
def test_an_unknown_model_is_a_usage_error_that_names_the_known_ones(arguments: list[str]) -> None:
    result = download_models(*arguments)
    assert result.returncode == 2
    assert "hunyuanvideo" in result.stderr
