"""The wheel: what it holds, and that it works where the source tree is not.

The new environments see the packages of the one that runs the tests, so nothing is downloaded. The
environment without extras sees only those that the wheel declares for it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hunyuan_runner import __version__
from hunyuan_runner.machine.building import PREBUILT, library_name
from hunyuan_runner.machine.instructions import ARCHITECTURES
from hunyuan_runner.machine.precision import Cpu, Precision
from tests.conftest import ROOT, SHORT, Service, free_port

pytestmark = pytest.mark.slow
INT8_OBSTACLE = Cpu.here().obstacle(Precision.INT8)
UV = Path(sys.executable).with_name("uv")
WHEEL_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


@dataclass(frozen=True)
class Environment:
    """A virtual environment into which the wheel was installed."""

    folder: Path

    @property
    def site_packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def run(self, *command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `python` or `hunyuan` in it."""
        program, *arguments = command
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=cwd,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def variables(self) -> dict[str, str]:
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HUNYUAN_", "BENTOML_", "PYTHON", "VIRTUAL_ENV"))
        }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the source tree, as `make wheel` builds it: by way of the sdist."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    shutil.copytree(
        ROOT / "hunyuan_runner",
        source / "hunyuan_runner",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (source / "hunyuan_runner" / "__pycache__").mkdir()
    (source / "hunyuan_runner" / "__pycache__" / "stale.pyc").touch()
    for name in WHEEL_FILES:
        shutil.copy(ROOT / name, source)
    command = [str(UV), "build", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*command, "--out-dir", str(out), str(source)], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def new_environment(folder: Path, wheel: Path) -> Environment:
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    command = [str(UV), "pip", "install", "--offline", "--no-deps", "--no-cache"]
    subprocess.run([*command, "--python", python, str(wheel)], check=True, capture_output=True)
    return Environment(folder)


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with every package of this one, but not the source tree."""
    environment = new_environment(tmp_path_factory.mktemp("server"), wheel)
    # A line of a .pth file adds a folder to the path, and ignores that folder's own .pth files,
    # one of which adds the source tree.
    packages = [path for path in sys.path if Path(path).name == "site-packages"]
    (environment.site_packages / "more.pth").write_text("\n".join(packages))
    return environment


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with only the packages that the wheel requires without extras."""
    environment = new_environment(tmp_path_factory.mktemp("light"), wheel)
    (metadata,) = environment.site_packages.glob("hunyuan_runner-*.dist-info")
    for name in required_by(Distribution.at(metadata)):
        link_files_of(distribution(name), environment.site_packages)
    return environment


def required_by(package: Distribution) -> set[str]:
    """The names of the packages it needs without extras, and of those that these need."""
    names: set[str] = set()
    pending = [package]
    while pending:
        for line in pending.pop().requires or ():
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if (name := canonicalize_name(requirement.name)) not in names:
                names.add(name)
                pending.append(distribution(name))
    return names


def link_files_of(package: Distribution, folder: Path) -> None:
    tops = {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}
    for top in tops:
        (folder / top).symlink_to(Path(str(package.locate_file(top))))


def test_it_holds_every_file_of_the_package_and_the_licence(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hunyuan_runner").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    assert {
        "hunyuan_runner/engine/cpp/kernels.cpp",
        "hunyuan_runner/api/docs.html",
        "hunyuan_runner/bundled/demo/model_index.json",
        "hunyuan_runner/py.typed",
    } <= expected
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    metadata = f"hunyuan_runner-{__version__}.dist-info"
    sets = ARCHITECTURES[platform.machine()]
    kernels = {str((PREBUILT / library_name(each)).relative_to(ROOT)) for each in sets}
    assert {name for name in names if not name.startswith(metadata)} == expected | kernels
    assert f"{metadata}/licenses/LICENSE" in names


@pytest.mark.parametrize("environment", ["server", "light"])
def test_the_source_tree_is_not_imported(
    environment: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    installed: Environment = request.getfixturevalue(environment)
    code = "import sys, hunyuan_runner; print(hunyuan_runner.__file__, *sys.path, sep='\\n')"
    file, *path = installed.run("python", "-c", code, cwd=tmp_path).stdout.splitlines()
    assert file == str(installed.site_packages / "hunyuan_runner" / "__init__.py")
    assert str(ROOT) not in path


@pytest.fixture
def served(server: Environment, tmp_path: Path) -> Iterator[Service]:
    """`hunyuan serve` in a folder that holds nothing but a file named as a standard module is."""
    (tmp_path / "queue.py").write_text("raise ImportError('not the module queue')")
    port = free_port()
    variables = {
        "HUNYUAN_THREADS": "1",
        "HUNYUAN_CALIBRATE": "false",
        "HUNYUAN_PRECISION": "int8" if INT8_OBSTACLE is None else "fp32",
    }
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [server.folder / "bin" / "hunyuan", "serve", "--port", str(port)],
            cwd=tmp_path,
            env=server.variables | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(f"http://127.0.0.1:{port}", tmp_path / "data", process, log)
    try:
        service.wait_until_ready()
        yield service
        service.terminate()
    finally:
        service.kill()


def test_it_serves_from_an_empty_folder_and_renders_a_clip(
    served: Service, server: Environment, tmp_path: Path
) -> None:
    # It loads every page with its files, and renders, fetches and examines a clip.
    checked = server.run("hunyuan", "check", "--wait", served.url, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + served.log_tail()
    assert not list(served.data_dir.glob("kernels/*.so"))  # the wheel brought them
    listed = server.run("hunyuan", "models", "list", cwd=tmp_path)
    assert "demo" in listed.stdout, listed.stderr
    verified = server.run("hunyuan", "models", "verify", "demo", cwd=tmp_path)
    assert verified.stdout == "demo is complete\n"
    assert {path.name for path in tmp_path.iterdir()} == {"queue.py", "log.txt", "data"}


@pytest.mark.parametrize("package", ["torch", "bentoml", "fastapi", "sqlalchemy", "numpy"])
def test_without_extras_no_package_of_the_server_is_there(
    light: Environment, tmp_path: Path, package: str
) -> None:
    done = light.run("python", "-c", f"import {package}", cwd=tmp_path)
    assert f"No module named '{package}'" in done.stderr


def test_without_extras_the_client_and_the_command_use_a_running_service(
    light: Environment, service: Service, tmp_path: Path
) -> None:
    client = (
        "import asyncio\n"
        "from hunyuan_runner.client import AsyncHunyuanClient, HunyuanClient\n"
        f"with HunyuanClient({service.url!r}) as client:\n"
        f"    job = client.generate(**{SHORT!r})\n"
        "    job.wait()\n"
        "    job.download('client.mp4')\n"
        "async def main():\n"
        f"    async with AsyncHunyuanClient({service.url!r}) as client:\n"
        "        print((await client.job(job.id)).job.status)\n"
        "asyncio.run(main())\n"
    )
    used = light.run("python", "-c", client, cwd=tmp_path)
    assert used.stdout == "completed\n", used.stderr
    size = ["--width", "64", "--height", "64", "--num-frames", "5", "--steps", "2"]
    for arguments in (["generate", "a red circle", *size, "-o", "cli.mp4"], ["info"], ["check"]):
        done = light.run("hunyuan", *arguments, cwd=tmp_path, HUNYUAN_URL=service.url)
        assert done.returncode == 0, done.stderr
    for name in ("client.mp4", "cli.mp4"):
        assert (tmp_path / name).read_bytes()[4:8] == b"ftyp"
    doctor = light.run("hunyuan", "doctor", "--json", cwd=tmp_path)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    looked = {check["name"]: check["got"] for check in json.loads(doctor.stdout)["checks"]}
    assert "install the extra [server]" in looked["packages"]
    assert looked["database"] == "needs [server]"
    assert "kernels: " in looked["cpu"]
    key = light.run("hunyuan", "keys", "new", "ana", cwd=tmp_path)
    assert "HUNYUAN_API_KEYS=ana:" in key.stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["serve"], "server"),
        (["models", "list"], "server"),
        (["models", "download", "fasthunyuan"], "server"),
        (["reproduce", __file__], "media"),
        (["check", "--wait"], "media"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else value,
)
def test_without_extras_a_command_that_needs_one_names_what_to_install(
    light: Environment, tmp_path: Path, command: list[str], extra: str
) -> None:
    done = light.run("hunyuan", *command, cwd=tmp_path)
    assert done.returncode == 1
    assert f"pip install 'hunyuan_runner-{__version__}-py3-none-any.whl[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
