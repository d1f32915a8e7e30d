"""The kernels for Arm, emulated: every result has the bits of plain C++ on this machine."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from hunyuan_runner.machine.building import build, build_all, library_name
from hunyuan_runner.machine.instructions import ARCHITECTURES, Instructions
from tests.conftest import find_program

DRIVER = Path(__file__).with_name("kernels_driver.cpp")
ROOT = "/usr/aarch64-linux-gnu"  # of Debian's libraries for Arm on another machine
ARM = ARCHITECTURES["aarch64"]
# QEMU's models of a CPU with the instruction set, and of one without it.
CPUS = {Instructions.NEON_DOTPROD: "neoverse-n1", Instructions.NEON_I8MM: "max"}
LESSER = {Instructions.NEON_DOTPROD: "cortex-a72", Instructions.NEON_I8MM: "neoverse-n1"}
PLAIN = ("-DPLAIN_VECTORS",)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def build_driver(compiler: str, folder: Path) -> Path:
    driver = folder / "driver"
    command = [compiler, "-std=c++17", "-O1", "-ffp-contract=off", str(DRIVER), "-o", str(driver)]
    subprocess.run([*command, "-ldl"], check=True)
    return driver


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The hash of each result in plain C++."""
    folder = tmp_path_factory.mktemp("plain")
    build(folder / "plain.so", PLAIN)
    driver = build_driver(find_program("g++"), folder)
    return run(str(driver), str(folder / "plain.so"), "1").stdout.splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build on an Arm machine makes, and the program that calls it."""
    folder = tmp_path_factory.mktemp("arm")
    compiler = find_program("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", compiler)
        patch.setattr(platform, "machine", lambda: "aarch64")
        build_all(folder)
    build_driver(compiler, folder)
    return folder


def emulate(
    built: Path, instructions: Instructions, cpu: str, threads: int
) -> subprocess.CompletedProcess[str]:
    library = built / library_name(instructions)
    emulator = (find_program("qemu-aarch64", "qemu-user"), "-L", ROOT, "-cpu", cpu)
    return run(*emulator, str(built / "driver"), str(library), str(threads))


@pytest.mark.parametrize("instructions", ARM)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_result_has_the_bits_of_plain_cpp(
    built: Path, expected: list[str], instructions: Instructions, threads: int
) -> None:
    done = emulate(built, instructions, CPUS[instructions], threads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
    assert len(set(expected)) == 29


@pytest.mark.parametrize("instructions", ARM)
def test_a_cpu_without_the_instructions_stops_there(
    built: Path, instructions: Instructions
) -> None:
    """So what an emulated CPU computes, a real one of its kind computes."""
    done = emulate(built, instructions, LESSER[instructions], threads=1)
    assert done.returncode != 0
    assert "Illegal instruction" in done.stderr or done.returncode == -4


def test_a_build_on_arm_makes_the_libraries_for_arm(built: Path) -> None:
    assert {path.name for path in built.glob("*.so")} == {library_name(each) for each in ARM}
