"""Benchmarks; see CONTRIBUTING.md."""

import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"  # of several machines; bench.peers writes a part of it
RESULTS = ROOT / "build" / "performance.md"
KERNELS_DIR = Path(tempfile.gettempdir()) / "hunyuan-bench-kernels"
