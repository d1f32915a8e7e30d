"""The files that deploy the service: what reads them would accept them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledJob

from hunyuan_runner.settings import Settings
from tests.conftest import ROOT, find_program

DEPLOY = ROOT / "deploy"
SYSTEMD = sorted((DEPLOY / "systemd").glob("*.service"))
KUBERNETES = [DEPLOY / "kubernetes", DEPLOY / "kubernetes" / "download-model"]
KUBERNETES_VERSION = "1.32"
FILES = [ROOT / "render.yaml", ROOT / "docker-compose.yml", ROOT / "Dockerfile", *SYSTEMD]
FILES += (DEPLOY / "kubernetes").rglob("*.yaml")

# Of a web service in https://render.com/docs/blueprint-spec, which may not be copied here: the
# fields that we use, and the values that they may have.
RENDER_FIELDS: dict[str, object] = {
    "type": {"web"},
    "name": str,
    "runtime": {"docker"},
    "branch": str,
    "dockerfilePath": str,
    "dockerContext": str,
    "plan": {"free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra", "8c-32g"},
    "region": {"oregon", "ohio", "virginia", "frankfurt", "singapore"},
    "healthCheckPath": str,
    "maxShutdownDelaySeconds": range(1, 301),
    "autoDeployTrigger": {"off", "commit", "checksPass"},
    "disk": {"name": str, "mountPath": str, "sizeGB": int},
    "envVars": [{"key": str, "value": str, "generateValue": bool}],
}


def test_render_knows_every_field_of_its_blueprint() -> None:
    blueprint = yaml.safe_load((ROOT / "render.yaml").read_text())
    assert blueprint.keys() == {"services"}
    (service,) = blueprint["services"]
    assert list(misfits(service, RENDER_FIELDS)) == []
    assert (ROOT / service["dockerfilePath"]).is_file()


def misfits(value: Any, expected: Any, path: str = "") -> list[str]:
    """Where `value` has a field that `expected` lacks, or another kind of value."""
    match expected:
        case dict():
            found = [f"{path}.{name}" for name in value.keys() - expected.keys()]
            for name in value.keys() & expected.keys():
                found += misfits(value[name], expected[name], f"{path}.{name}")
            return found
        case [each]:
            return [found for entry in value for found in misfits(entry, each, f"{path}[]")]
        case type():
            return [] if isinstance(value, expected) else [path]
        case _:
            return [] if value in expected else [path]


def test_render_keeps_everything_on_a_disk_that_holds_a_quantised_model() -> None:
    (service,) = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    values = {each["key"]: each.get("value", "") for each in service["envVars"]}
    mount = Path(service["disk"]["mountPath"])
    for folder in ["HUNYUAN_DATA_DIR", "HUNYUAN_MODELS_DIR"]:
        assert Path(values[folder]).is_relative_to(mount)
    assert service["disk"]["sizeGB"] >= 60
    assert service["region"] != "frankfurt"  # the licence of the models


def test_compose_accepts_its_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [*command, ROOT / "docker-compose.yml"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_setting_exists() -> None:
    known = {f"HUNYUAN_{name.upper()}" for name in Settings.model_fields}
    named = {name for path in FILES for name in re.findall(r"HUNYUAN_[A-Z_]+", path.read_text())}
    example = (DEPLOY / "kubernetes" / "secret.env.example").read_text()
    assert named | set(re.findall(r"HUNYUAN_[A-Z_]+", example)) <= known


@pytest.mark.parametrize("unit", SYSTEMD, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_unit_and_finds_it_well_isolated(unit: Path, tmp_path: Path) -> None:
    analyze = find_program("systemd-analyze", "systemd")
    installed = unit.read_text().replace("/opt/hunyuan-runner/.venv/bin", f"{ROOT}/.venv/bin")
    here = tmp_path / unit.name
    here.write_text(installed)
    verified = subprocess.run([analyze, "verify", "--man=no", here], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    judge = [analyze, "security", "--offline=true", "--threshold=30", "--no-pager", str(here)]
    judged = subprocess.run(judge, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("folder", KUBERNETES, ids=lambda folder: folder.name)
def test_kubernetes_accepts_every_manifest(folder: Path, tmp_path: Path) -> None:
    for manifest in rendered(folder, tmp_path):
        if manifest["apiVersion"].startswith("keda.sh/"):
            understood = ScaledJob.model_validate(manifest)
            assert understood.model_dump(by_alias=True, exclude_unset=True, mode="json") == manifest
            manifest = job_of(manifest)
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def rendered(folder: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl, and Debian's is too old for these manifests")
    copy = shutil.copytree(folder, tmp_path / "kubernetes")
    if (example := copy / "secret.env.example").exists():
        example.rename(copy / "secret.env")
    made = subprocess.run([kubectl, "kustomize", copy], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def job_of(scaled: dict[str, Any]) -> dict[str, Any]:
    """The Job that KEDA makes of a ScaledJob."""
    kind = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "runner"}}
    return kind | {"spec": scaled["spec"]["jobTargetRef"]}


def test_every_pod_is_one_that_the_restricted_standard_allows(tmp_path: Path) -> None:
    pods = [pod_of(manifest) for manifest in rendered(KUBERNETES[0], tmp_path)]
    pods = [pod for pod in pods if pod]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["image"].startswith("registry.example.com/")


def test_runners_are_started_by_the_command_that_was_tried(tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    manifests = rendered(KUBERNETES[0], tmp_path)
    (scaled,) = (manifest for manifest in manifests if manifest["kind"] == "ScaledJob")
    (container,) = pod_of(scaled)["containers"]
    assert container["command"] == compose["services"]["runner"]["command"]


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest.get("spec", {})
    template = spec.get("jobTargetRef", spec).get("template", {})
    return dict(template.get("spec", {}))
