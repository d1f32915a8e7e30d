"""Benchmarks; see CONTRIBUTING.md."""

import tempfile
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
KERNELS_DIR = Path(tempfile.gettempdir()) / "hunyuan-bench-kernels"
