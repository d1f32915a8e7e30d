"""Starting, stopping and importing the service."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from hunyuan_runner.machine.listening import require_free
from tests.conftest import (
    ROOT,
    Service,
    StartService,
    finish,
    free_port,
    serve,
    submit,
    wait_for,
)

# Steps of two tenths of a second: enough of them to stop the render after the second one.
SLOW = {"width": 192, "height": 128, "num_frames": 33, "num_inference_steps": 24} | {
    "step_cache": "off"
}


def test_a_stopped_service_resumes_its_jobs_when_it_is_started_again(
    start_service: StartService, tmp_path: Path
) -> None:
    data_dir = str(tmp_path / "data")
    first = start_service(HUNYUAN_DATA_DIR=data_dir)
    with httpx.Client(base_url=first.url, timeout=30) as client:
        job = wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
        waiting = submit(client)
    assert first.terminate() == 0

    second = start_service(HUNYUAN_DATA_DIR=data_dir)
    with httpx.Client(base_url=second.url, timeout=30) as client:
        done = finish(client, client.get(f"/api/status/{job['job_id']}").json())
        assert done["status"] == "completed"
        assert done["resumed_from_step"] >= 2
        assert finish(client, waiting)["status"] == "completed"
    assert "Traceback" not in first.log.read_text()


@pytest.mark.slow
def test_make_run_serves_and_writes_nowhere_but_to_the_data_folder(tmp_path: Path) -> None:
    home, data_dir, log = tmp_path / "home", tmp_path / "data", tmp_path / "log"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "HUNYUAN_DATA_DIR": str(data_dir)}
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run", f"PORT={port}"],
            cwd=ROOT,
            env={name: value for name, value in environment.items() if name != "BENTOML_HOME"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(f"http://127.0.0.1:{port}", data_dir, process, log)
    try:
        service.wait_until_ready()
        (command,) = re.findall(r"^ +(curl .*)$", log.read_text(), re.MULTILINE)
        answer = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
        with httpx.Client(base_url=service.url, timeout=30) as client:
            assert finish(client, json.loads(answer.stdout))["status"] == "completed"
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C does
        process.wait(60)
        service.kill()
    assert not list(home.iterdir())


def test_no_process_outlives_a_killed_server_and_its_job_is_resumed(
    start_service: StartService, tmp_path: Path
) -> None:
    ours = {"HUNYUAN_DATA_DIR": str(tmp_path / "data"), "HUNYUAN_LEASE_SECONDS": "3"}
    first = start_service(**ours)
    with httpx.Client(base_url=first.url, timeout=30) as client:
        job = wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
    family = psutil.Process(first.process.pid).children(recursive=True)
    for name in ("--service-name HunyuanVideo", "HunyuanRunner", "hunyuan_runner.engine.child"):
        assert any(name in " ".join(process.cmdline()) for process in family)
    first.process.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    address = urlsplit(first.url)
    require_free(str(address.hostname), address.port or 0)

    second = start_service(**ours)
    with httpx.Client(base_url=second.url, timeout=30) as client:
        done = finish(client, job)
    assert done["status"] == "completed"
    assert done["resumed_from_step"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "port"), [("service:HunyuanVideo", "taken"), ("service:HunyuanRunner", "99999")]
)
def test_a_port_that_cannot_be_used_is_refused_at_the_start(
    entry: str, port: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        if port == "taken":
            port = str(other.getsockname()[1])
        options = ["--host", "127.0.0.1", "--port", port]
        done = subprocess.run(
            [sys.executable, "-m", "bentoml", "serve", entry, *options],
            cwd=ROOT,
            env=os.environ | {"BENTOML_HOME": str(tmp_path), "HUNYUAN_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HUNYUAN_DATA_DIR", __file__, "cannot write to the data folder"),
        ("HUNYUAN_RETENTION_HOURS", "a week", "HUNYUAN_RETENTION_HOURS: "),
        ("PORT", "http", "--port"),
        ("PORT", "65536", "--port"),
        ("PORT", "0", "--port"),
    ],
)
def test_serve_says_in_one_line_why_it_cannot_start(
    variable: str, value: str, message: str
) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hunyuan")), "serve"],
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_data_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file where the folder should be")
    service = serve(tmp_path, "service:HunyuanVideo", {"HUNYUAN_DATA_DIR": str(in_the_way)})
    assert service.process.wait(60) != 0
    log = service.log.read_text()
    assert f"cannot write to the data folder {in_the_way}" in log
    assert "HUNYUAN_DATA_DIR" in log


@pytest.mark.slow
def test_a_wrong_setting_is_named_at_the_start(tmp_path: Path) -> None:
    service = serve(tmp_path, "service:HunyuanVideo", {"HUNYUAN_RETENTION_HOURS": "a week"})
    assert service.process.wait(60) != 0
    assert "retention_hours" in service.log.read_text()


def test_nothing_is_kept_in_bentomls_home(service: Service, client: httpx.Client) -> None:
    # It may be on the data disk. When that is full, writing to a mapped file kills the process.
    assert client.get("/metrics").status_code == 200
    home = service.data_dir.parent / "bentoml"
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_no_process_but_the_engines_child_imports_torch() -> None:
    code = (
        "import sys, service; heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
