"""Images built where there is no container engine: Debian's debootstrap makes the base image,
buildah runs the Dockerfile's steps in a chroot. Both need root.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT, find_program

STORE = ROOT / "build" / "image-test"  # the base image stays there for the next run
BASE = "docker.io/library/python:3.11-slim"
DEBIAN = "bookworm"  # its python3 is 3.11
DEBIAN_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
# Debian's own slim images keep neither the packages that apt fetches nor their documentation.
OF_SLIM_IMAGES = {
    "etc/apt/apt.conf.d/docker-clean": "DPkg::Post-Invoke "
    '{ "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
    'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\n',
    "etc/dpkg/dpkg.cfg.d/docker": "path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\n"
    "path-exclude /usr/share/locale/*\npath-exclude /usr/share/info/*\n",
}
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Image:
    """A built image. `root` is its file system, `config` what its Dockerfile says about running."""

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return what it printed; show all that it printed if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, text=True, capture_output=True
    )
    if done.returncode:
        raise AssertionError(f"{shlex.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def buildah(*arguments: str | Path) -> str:
    places: list[str | Path] = ["--root", STORE / "storage", "--runroot", STORE / "run"]
    return run(find_program("buildah"), *places, *arguments)


def build(context: Path, dockerfile: Path, tag: str, *options: str) -> Image:
    """Run a Dockerfile, which stays as it is."""
    make_base()
    # Without the format of Docker, the health check would be lost.
    how = ["--format", "docker", "--isolation", "chroot", "--network", "host", *options]
    for folder in wheel_folders():
        how += ["--volume", f"{folder}:{folder}:ro"]
    buildah("bud", *how, "--file", dockerfile, "--tag", tag, context)
    return mounted(tag)


def mounted(tag: str) -> Image:
    container = buildah("from", "--pull-never", tag).strip()
    root = Path(buildah("mount", container).strip())
    return Image(root, json.loads(buildah("inspect", tag))["Docker"]["config"])


def make_base() -> None:
    """Make what stands in for Docker's python:3.11-slim: Debian, its Python, and pip.

    It gets this machine's certificates and the folders of its wheels, so that the build reaches
    the same packages as this machine's own pip.
    """
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        return
    root = STORE / "base"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    debootstrap = find_program("debootstrap")
    run(debootstrap, "--variant=minbase", f"--include={DEBIAN_PACKAGES}", DEBIAN, root)
    for configuration, text in OF_SLIM_IMAGES.items():
        (root / configuration).write_text(text)
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    (root / "usr/bin/python").symlink_to("python3")
    for path in [CERTIFICATES, Path("etc/resolv.conf"), Path("etc/hosts")]:
        shutil.copy(_on_this_machine(path), root / path)
    shutil.rmtree(root / "var/cache/apt")
    shutil.rmtree(root / "var/lib/apt/lists")
    container = buildah("from", "scratch").strip()
    buildah("add", container, root, "/")
    wheels = " ".join(wheel_folders())
    for variable, value in {
        "SSL_CERT_FILE": f"/{CERTIFICATES}",
        "PIP_CERT": f"/{CERTIFICATES}",
        "PIP_FIND_LINKS": wheels,
        "UV_FIND_LINKS": wheels,
    }.items():
        buildah("config", "--env", f"{variable}={value}", container)
    buildah("commit", "--rm", container, BASE)
    shutil.rmtree(root)


def _on_this_machine(path: Path) -> Path:
    if path == CERTIFICATES:
        return Path(ssl.get_default_verify_paths().cafile or f"/{path}")
    return Path("/", path)


@cache
def wheel_folders() -> list[str]:
    """The folders in which this machine's pip looks for wheels."""
    listed = run(sys.executable, "-m", "pip", "config", "list").splitlines()
    named = [line.partition("=")[2].strip("'") for line in listed if ".find-links=" in line]
    return sorted({folder for names in named for folder in names.split() if Path(folder).is_dir()})


def checkout(folder: Path) -> Path:
    """Copy the files that are under version control, or would be."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.rstrip("\0").split("\0"):
        if (ROOT / name).exists():  # not deleted since the last commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    drop_silent_indexes(folder / "requirements-torch.txt")
    return folder


def newer_checkout(folder: Path, version: str) -> Path:
    source = checkout(folder) / "hunyuan_runner" / "__init__.py"
    text = source.read_text()
    changed = text.replace('__version__ = "', f'__version__ = "{version}+')
    assert changed != text
    source.write_text(changed)
    return folder


def drop_silent_indexes(requirements: Path) -> None:
    """Delete the lines with package indexes that this machine cannot reach: uv stops at one."""
    lines = requirements.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not (line.startswith("--extra-index-url") and _silent(line))]
    requirements.write_text("".join(kept))


@cache
def _silent(line: str) -> bool:
    try:
        return httpx.get(line.split()[1], follow_redirects=True).is_error
    except httpx.TransportError:
        return True


def build_from_dockerfile(source: Path, tag: str, *options: str) -> Image:
    """Build the image that `docker build .` makes of a checkout."""
    return build(source, source / "Dockerfile", tag, *options)


def build_from_bento(source: Path, tag: str, *options: str) -> Image:
    """Build a bento of a checkout, and the image of which BentoML wrote the Dockerfile."""
    run(sys.executable, "-m", "hunyuan_runner.machine.building", cwd=source)
    run("make", "build/requirements.txt", cwd=source)
    home = source / "build" / "bentoml"
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    where = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PATH": programs}
    run(sys.executable, "-m", "bentoml", "build", "--version", "image", cwd=source, **where)
    bento = home / "bentos" / "hunyuan-runner" / "image"
    return build(bento, bento / "env" / "docker" / "Dockerfile", tag, *options)
