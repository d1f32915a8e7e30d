"""The kernels for Arm, emulated: every result has the bits of plain C++ on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hunyuan_runner.machine.building import INSTRUCTION_FLAGS, build
from hunyuan_runner.machine.instructions import ARCHITECTURES, Instructions
from tests.conftest import find_program

DRIVER = Path(__file__).with_name("kernels_driver.cpp")
ROOT = "/usr/aarch64-linux-gnu"  # of Debian's libraries for Arm on another machine
# QEMU's model of a CPU that has the instruction set and, if there is one, not the next larger.
CPUS = {Instructions.NEON_DOTPROD: "neoverse-n1", Instructions.NEON_I8MM: "max"}
PLAIN = ("-DPLAIN_VECTORS",)


def driver_with(library: Path, compiler: str, flags: tuple[str, ...]) -> Path:
    """Build the kernels as `library`, and the program that calls them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", compiler)
        build(library, flags)
    driver = library.with_suffix("")
    command = [compiler, "-std=c++17", "-O1", "-ffp-contract=off", str(DRIVER), "-o", str(driver)]
    subprocess.run([*command, "-ldl"], check=True)
    return driver


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The hash of each result in plain C++."""
    library = tmp_path_factory.mktemp("plain") / "plain.so"
    driver = driver_with(library, find_program("g++"), PLAIN)
    found = subprocess.run([driver, library, "1"], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


@pytest.fixture(scope="module", params=[f"{each}" for each in ARCHITECTURES["aarch64"]])
def instructions(request: pytest.FixtureRequest) -> Instructions:
    return Instructions(request.param)


@pytest.fixture(scope="module")
def library(instructions: Instructions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("arm") / f"{instructions}.so"
    compiler = find_program("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu")
    driver_with(library, compiler, INSTRUCTION_FLAGS[instructions])
    return library


def emulate(library: Path, cpu: str, threads: int) -> subprocess.CompletedProcess[str]:
    emulator = find_program("qemu-aarch64", "qemu-user")
    command = [emulator, "-L", ROOT, "-cpu", cpu, str(library.with_suffix("")), str(library)]
    return subprocess.run([*command, str(threads)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_result_has_the_bits_of_plain_cpp(
    library: Path, instructions: Instructions, expected: list[str], threads: int
) -> None:
    done = emulate(library, CPUS[instructions], threads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
    assert len(set(expected)) == 29


def test_a_cpu_without_the_instructions_stops_there(library: Path) -> None:
    """So what an emulated CPU computes, a real one of its kind computes."""
    lesser = {"neon-dotprod": "cortex-a72", "neon-i8mm": "neoverse-n1"}[library.stem]
    done = emulate(library, lesser, threads=1)
    assert done.returncode != 0
    assert "Illegal instruction" in done.stderr or done.returncode == -4
