"""Builds the kernels of engine/cpp/ for an instruction set. The package's build uses this too.

    python -m hunyuan_runner.machine.building [here]

builds all of this machine's architecture into PREBUILT, from where a wheel or an image takes them;
with `here`, those that this machine uses. A library that is missing there is built by this
machine's compiler when the first clip is rendered, which takes some seconds.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hunyuan_runner.machine.host import cpp_compiler, cpu_flags, usable_cores
from hunyuan_runner.machine.instructions import ARCHITECTURES, Instructions, available

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).resolve().parents[1] / "engine" / "cpp"
PREBUILT = SOURCES / "built"
BUILD_SECONDS = 300

# A sum of a product is fused where the source says so, and nowhere else: every instruction set
# computes the same bits.
COMPILER_FLAGS = (
    "-std=c++17",
    "-O3",
    "-ffp-contract=off",
    "-fopenmp",
    "-fPIC",
    "-shared",
    "-s",  # no symbols for debuggers: half of the size
    "-Wno-psabi",
)
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni")
# If GCC 12 orders the instructions before it gives out registers, sums do not fit into these.
_NEON = ("-fno-schedule-insns",)
INSTRUCTION_FLAGS = {
    Instructions.AMX: (*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-int8", "-mamx-bf16"),
    Instructions.AVX512_BF16: (*_AVX512, "-mavx512bf16"),
    Instructions.AVX512: _AVX512,
    Instructions.AVX_VNNI: (*_AVX2, "-mavxvnni"),
    Instructions.AVX2: _AVX2,
    Instructions.NEON_I8MM: (*_NEON, "-march=armv8.2-a+dotprod+i8mm"),
    Instructions.NEON_DOTPROD: (*_NEON, "-march=armv8.2-a+dotprod"),
}


class KernelsUnavailable(Exception):
    """The kernels could not be built, or do not run on this CPU."""


def library_of(instructions: Instructions, folder: Path) -> Path:
    """The library for these instructions: a prebuilt one, or one that is built in `folder`.

    Raises KernelsUnavailable.
    """
    name = library_name(instructions)
    if (prebuilt := PREBUILT / name).exists():
        return prebuilt
    if not (library := folder / name).exists():
        build(library, INSTRUCTION_FLAGS[instructions])
    return library


def can_have(instructions: Instructions) -> bool:
    """Whether the library for these instructions is prebuilt, or there is a compiler for it."""
    return (PREBUILT / library_name(instructions)).exists() or cpp_compiler() is not None


def library_name(instructions: Instructions) -> str:
    """It depends on the source, so that a library of an earlier version is not taken."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(source.read_bytes())
    for flag in (*COMPILER_FLAGS, *INSTRUCTION_FLAGS[instructions]):
        digest.update(f"{flag}\0".encode())
    return f"{instructions}-{digest.hexdigest()[:16]}.so"


def build(library: Path, flags: Sequence[str], source: Path = SOURCES / "kernels.cpp") -> None:
    """Build `library`, which appears only when it is complete. Raises KernelsUnavailable."""
    compiler = cpp_compiler()
    if compiler is None:
        raise KernelsUnavailable("there is no C++ compiler (install g++)")
    logger.info("building %s with %s", library.name, compiler)
    unfinished = library.with_suffix(f".{os.getpid()}.so")
    files = (f"-I{SOURCES}", str(source), "-o", str(unfinished))
    command = [compiler, *COMPILER_FLAGS, *flags, *files]
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_SECONDS)
        unfinished.replace(library)
    except subprocess.CalledProcessError as error:
        raise KernelsUnavailable(f"{compiler} failed: {error.stderr.strip()[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailable(f"{compiler} failed: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def build_all(folder: Path) -> None:
    """Build the kernels for every instruction set of this machine's architecture in `folder`, and
    delete what else is there.

    Raises KernelsUnavailable.
    """
    sets = ARCHITECTURES.get(platform.machine(), ())
    libraries = {folder / library_name(each): INSTRUCTION_FLAGS[each] for each in sets}
    for library in folder.glob("*.so"):
        if library not in libraries:
            library.unlink()
    missing = {library: flags for library, flags in libraries.items() if not library.exists()}
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(build, missing, missing.values()))


def build_here(folder: Path) -> None:
    """Build the kernels that this machine uses in `folder`, unless it cannot have any."""
    for instructions in available(cpu_flags())[:1]:
        try:
            library_of(instructions, folder)
        except KernelsUnavailable as reason:
            logger.warning("clips are computed without kernels, which is slower: %s", reason)


if __name__ == "__main__":
    if sys.argv[1:] == ["here"]:
        build_here(PREBUILT)
    else:
        build_all(PREBUILT)
