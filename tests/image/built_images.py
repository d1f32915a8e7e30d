"""`make image-test`: both images are built, started as their own user, and stopped in mid-render.

Each takes minutes, so pytest finds this file only if it is named.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hunyuan_runner import __version__
from tests.conftest import ROOT, finish, submit, wait_for
from tests.image.building import (
    BASE,
    STORE,
    Image,
    build_from_bento,
    build_from_dockerfile,
    checkout,
    mounted,
    newer_checkout,
)
from tests.image.running import Container, container, health_check

BENTOML_USER = 1034
GB = 1e9
# A clip that takes half a minute, in many steps.
CLIP = {"prompt": "A cat walks on grass", "width": 192, "height": 128, "num_frames": 33} | {
    "num_inference_steps": 60,
    "step_cache": "off",
    "seed": 7,
}

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the base image"),
]


@dataclass(frozen=True)
class Kind:
    """One of the two ways to an image."""

    name: str
    build: Callable[..., Image]
    most_bytes: float  # over the base image

    @property
    def tag(self) -> str:
        return f"localhost/hunyuan-runner:{self.name}"


DOCKERFILE = Kind("dockerfile", build_from_dockerfile, 1.3 * GB)
# BentoML's Dockerfile adds a compiler, git and gnupg, deletes nothing, and has no health check. It
# also writes the time of the build into the bento.
BENTO = Kind("bento", build_from_bento, 2.1 * GB)
KINDS = [DOCKERFILE, BENTO]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def image(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return kind.build(checkout(tmp_path_factory.mktemp("checkout")), kind.tag, "--layers")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume, as Docker makes one: it belongs to the owner of the image's /data."""
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, BENTOML_USER, BENTOML_USER)
    return folder


def test_it_is_small(kind: Kind, image: Image) -> None:
    base = mounted(BASE).root
    parts = {
        "Python packages": size_of(image.root / "app"),
        "bento, with the demo model": size_of(image.root / "home"),
    }
    all_of_it = size_of(image.root) - size_of(base)
    parts["Debian packages"] = all_of_it - sum(parts.values())
    packages = image.root / "app/.venv/lib/python3.11/site-packages"
    largest = sorted(((size_of(path), path.name) for path in packages.iterdir()), reverse=True)
    print(f"{kind.name}: {all_of_it / GB:.2f} GB over its base of {size_of(base) / GB:.2f} GB")
    for name, size in parts.items():
        print(f"  {size / 1e6:6.0f} MB {name}")
    for size, name in largest[:8]:
        print(f"  {size / 1e6:14.0f} MB {name}")
    assert all_of_it <= kind.most_bytes


def test_it_has_no_caches_and_no_tests_of_ours(image: Image) -> None:
    for cache in ["root/.cache", "home/bentoml/.cache", "home/bentoml/bento/src/tests"]:
        assert not (image.root / cache).exists(), cache
    assert not list((image.root / "home").rglob("test_*.py"))


@pytest.mark.parametrize("kind", [DOCKERFILE], indirect=True, ids=["dockerfile"])
def test_the_same_commit_gives_the_same_files(image: Image, kind: Kind, tmp_path: Path) -> None:
    again = kind.build(checkout(tmp_path), f"{kind.tag}-again", "--no-cache")
    first, second = files_of(image.root), files_of(again.root)
    assert len(first) > 10_000
    differing = [path for path in first.keys() | second if first.get(path) != second.get(path)]
    assert sorted(differing)[:20] == []


def test_a_volume_of_somebody_else_is_refused(image: Image, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)
    with container(image, volume, tmp_path / "log.txt") as started:
        assert started.process.wait(120) != 0
        last_line = started.log.read_text().splitlines()[-1]
    assert "cannot write to the data folder /data: Permission denied" in last_line
    assert "It belongs to user 0, but this is user 1034: chown -R 1034 the folder" in last_line


@pytest.mark.parametrize("kind", [DOCKERFILE], indirect=True, ids=["dockerfile"])
def test_it_is_healthy_while_it_serves(image: Image, volume: Path, tmp_path: Path) -> None:
    with container(image, volume, tmp_path / "log.txt") as started:
        assert health_check(image, started.url) != 0
        started.wait_until_ready()
        assert health_check(image, started.url) == 0


def test_the_command_line_is_in_it(image: Image, volume: Path, tmp_path: Path) -> None:
    with container(image, volume, tmp_path / "log.txt", "hunyuan", "models", "list") as started:
        assert started.process.wait(120) == 0
        assert "fasthunyuan" in started.log.read_text()


def test_it_brings_its_kernels_built(image: Image, volume: Path, tmp_path: Path) -> None:
    load = "from pathlib import Path; from hunyuan_runner.engine.kernels import load_kernels\n"
    load += "from hunyuan_runner.machine.instructions import WantedKernels\n"
    load += "load_kernels(WantedKernels(Path('/nowhere/that/could/be/written')), 1)"
    command = ["env", "PYTHONPATH=/home/bentoml/bento/src", "python", "-c", load]
    with container(image, volume, tmp_path / "log.txt", *command) as started:
        assert started.process.wait(120) == 0, started.log.read_text()


def test_a_front_and_a_runner_work_apart(image: Image, volume: Path, tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    alone = compose["front"]["environment"]["HUNYUAN_LOCAL_RUNNER"]
    with container(image, volume, tmp_path / "front.txt", HUNYUAN_LOCAL_RUNNER=alone) as front:
        front.wait_until_ready("no_worker")
        with httpx.Client(base_url=front.url, timeout=30) as client:
            job = submit(client)
            command = compose["runner"]["command"]
            log = tmp_path / "runner.txt"
            with container(image, volume, log, *command, HUNYUAN_EXIT_AFTER="1") as runner:
                assert runner.process.wait(300) == 0, log.read_text()
            assert finish(client, job)["status"] == "completed"


def test_a_newer_build_continues_the_job_of_a_stopped_one(
    image: Image, kind: Kind, volume: Path, tmp_path: Path
) -> None:
    with serving(image, volume, tmp_path / "older.txt") as (older, client):
        assert set(older.first_process.uids()) == {BENTOML_USER}
        job = wait_for(client, submit(client, **CLIP), lambda job: job["step"] >= 3)
        assert older.stop() == 0, older.log.read_text()
    assert job["step"] < CLIP["num_inference_steps"]

    newer = kind.build(newer_checkout(tmp_path / "newer", "99"), f"{kind.tag}-newer", "--layers")
    with serving(newer, volume, tmp_path / "newer.txt") as (_, client):
        assert client.get("/api/info").json()["versions"]["hunyuan-runner"] == f"99+{__version__}"
        resumed = finish(client, job)
        assert resumed["status"] == "completed"
        assert resumed["attempts"] == 2
        uninterrupted = finish(client, submit(client, **CLIP))
        clips = [clip_of(client, job) for job in (resumed, uninterrupted)]
    assert clips[0] == clips[1]
    (STORE / f"{kind.name}.mp4").write_bytes(clips[0])


@contextmanager
def serving(image: Image, volume: Path, log: Path) -> Iterator[tuple[Container, httpx.Client]]:
    with container(image, volume, log) as started:
        started.wait_until_ready()
        with httpx.Client(base_url=started.url, timeout=30) as client:
            yield started, client


def clip_of(client: httpx.Client, job: dict[str, Any]) -> bytes:
    return client.get(f"/api/videos/{job['job_id']}.mp4").raise_for_status().content


def size_of(folder: Path) -> int:
    """The bytes of all files, each once, however many names it has."""
    sizes = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            sizes[status.st_ino, status.st_dev] = status.st_size
    return sum(sizes.values())


def files_of(root: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, owner and contents of every file, link and folder."""
    return dict(_files_of(root))


def _files_of(root: Path) -> Iterator[tuple[str, tuple[int, int, str]]]:
    for path in root.rglob("*"):
        status = path.lstat()
        if path.is_symlink():
            contents = str(path.readlink())
        elif path.is_file():
            contents = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            contents = ""
        yield str(path.relative_to(root)), (status.st_mode, status.st_uid, contents)
