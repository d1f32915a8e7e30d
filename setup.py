"""Builds the kernels for every instruction set into a wheel; the rest is in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))

from hunyuan_runner.machine.building import PREBUILT, KernelsUnavailable, build_all

PLACE = PREBUILT.relative_to(Path(__file__).parent.resolve())


class BuildWithKernels(build_py):
    """A machine that installs the wheel needs no compiler."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        try:
            build_all(Path(self.build_lib) / PLACE)
        except KernelsUnavailable as reason:
            self.warn(f"Without kernels, which are then built where they are used: {reason}")


setup(cmdclass={"build_py": BuildWithKernels})
