"""schemathesis over /openapi.json: whatever is asked, the answer is one the document tells of."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartService

EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "15")  # per operation; `make fuzz` asks for more
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
KEY = "hy_key-of-schemathesis"


@pytest.mark.timeout(3600)
def test_every_answer_is_as_the_document_says(start_service: StartService, tmp_path: Path) -> None:
    service = start_service(
        HUNYUAN_LOCAL_RUNNER="false",  # what is asked for need not be rendered
        HUNYUAN_API_KEYS=f"ana:{hashlib.sha256(KEY.encode()).hexdigest()}",
    )
    config = Path(__file__).with_name("schemathesis.toml")
    command = [f"{SCHEMATHESIS}", f"--config-file={config}", "run", f"{service.url}/openapi.json"]
    options = ["--checks", "all", "--max-examples", EXAMPLES, "--seed", "1", "--no-color"]
    options += ["--request-timeout", "60", "--header", f"Authorization: Bearer {KEY}"]
    hooks = {"SCHEMATHESIS_HOOKS": f"{Path(__file__).with_name('schemathesis_hooks.py')}"}
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, env=os.environ | hooks, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in service.log.read_text()
