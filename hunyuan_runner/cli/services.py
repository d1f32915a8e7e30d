"""The commands about services: info, check, doctor, serve, keys new."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import signal
import sys
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from hunyuan_runner import api_keys
from hunyuan_runner.cli.connection import (
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    complain,
    complain_of_no_service,
    connected,
)
from hunyuan_runner.cli.diagnosis import diagnose
from hunyuan_runner.cli.display import (
    err,
    finding_table,
    out,
    outcome_table,
    progress,
    rounded,
    show,
    show_json,
)
from hunyuan_runner.cli.examination import examine
from hunyuan_runner.cli.options import ApiKey, Json, Url, chosen_url
from hunyuan_runner.cli.server import require_extra, server_settings
from hunyuan_runner.cli.tables import Facts, Listing
from hunyuan_runner.client import DEFAULT_HOST, DEFAULT_PORT, ServiceUnavailable
from hunyuan_runner.client.address import without_password
from hunyuan_runner.machine.listening import (
    MAX_PORT,
    CannotListen,
    address_of,
    http_url,
    require_free,
)
from hunyuan_runner.machine.platform import unsupported_system

STOP_SECONDS = 30  # for open requests and the job under way when the service stops

KEY_PREFIX = "hy_"  # so that secret scanners recognise a key in a log or a repository


def info(url: Url = "", api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the models, presets and machine of the service."""
    with connected(url, api_key) as client:
        service = client.info()
    if as_json:
        show_json(service.model_dump(mode="json"))
        return
    host = service.host
    about = Facts()
    about.add("service", f"{service.name} {service.versions.get('hunyuan-runner') or ''} at {url}")
    about.add("machine", f"{host.cpu}, {host.cores} cores, {host.memory_bytes / 2**30:.0f} GiB")
    for runner in service.runners:
        if (kernels := runner.kernels) is not None:
            used = f"{kernels.instructions}, attention in {kernels.attention}"
            about.add("kernels", f"{used}: {kernels.reason}")
        for model_id, chosen in runner.models.items():
            computed = f"{model_id} in {chosen.precision}: {chosen.reason}"
            about.add("runner", f"{runner.threads} threads, {computed}")
    about.add("keeps jobs", rounded(service.retention_hours * 3600))
    models = Listing("model", "", "preset", "size", "frames", "fps", "steps")
    for model in service.models:
        state = "default" if model.default else "" if model.installed else "not installed"
        for name, preset in model.presets.items():
            size = f"{preset.width}x{preset.height}"
            numbers = (preset.num_frames, f"{preset.fps:g}", preset.num_inference_steps)
            models.add(model.id, state, name, size, *map(str, numbers))
    show(about)
    out.print()
    show(models)


def check(
    context: typer.Context,
    address: Annotated[
        str, typer.Argument(metavar="[URL]", show_default=False, help="Same as --url.")
    ] = "",
    url: Url = "",
    wait: Annotated[bool, typer.Option("--wait", help="Render a clip and check its file.")] = False,
    api_key: ApiKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Test a service with one request of every kind. Removes what it creates."""
    if address:
        url = chosen_url(context, address)
    if wait:
        require_extra("media")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then too
    try:
        report = examine(url, api_key, wait=wait, rendering=progress)
    except ServiceUnavailable as error:
        complain_of_no_service(error)
        raise typer.Exit(EXIT_REFUSED) from error
    if as_json:
        answer = {
            "url": without_password(url),
            "ok": report.ok,
            "checks": [asdict(o) for o in report.outcomes],
        }
        show_json(answer)
    else:
        show(outcome_table(report.outcomes))
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.ok:
        raise typer.Exit(EXIT_REFUSED)


def doctor(
    host: Annotated[str, typer.Option(help="Address that the service listens on.")] = DEFAULT_HOST,
    port: Annotated[
        int,
        typer.Option(envvar="PORT", min=1, max=MAX_PORT, help="Port that the service listens on."),
    ] = DEFAULT_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Find out whether this machine and its settings are fit for a service. Changes nothing."""
    try:
        address = address_of(host)
    except CannotListen as error:
        complain(error)
        raise typer.Exit(EXIT_REFUSED) from error
    outcomes = list(diagnose(address, port))
    ok = all(outcome.status != "failed" for outcome in outcomes)
    if as_json:
        show_json({"ok": ok, "checks": [asdict(outcome) for outcome in outcomes]})
    else:
        show(finding_table(outcomes))
    if not ok:
        raise typer.Exit(EXIT_REFUSED)


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")
    ] = DEFAULT_HOST,
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=MAX_PORT, help="Port to listen on.")
    ] = DEFAULT_PORT,
) -> None:
    """Run a service on this machine."""
    if problem := unsupported_system():
        complain(problem)
        raise typer.Exit(EXIT_REFUSED)
    settings = server_settings()
    from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder

    try:
        address = address_of(host)
        require_free(address, port)
        data_dir = prepare_data_folder(settings)
    except (DataFolderUnusable, CannotListen) as error:
        complain(error)
        raise typer.Exit(EXIT_REFUSED) from error
    if not (settings.accepted_keys or settings.allow_anonymous or ip_address(address).is_loopback):
        complain(
            f"on {host}, everyone who reaches this machine could use the service. "
            "Set HUNYUAN_API_KEYS (`hunyuan keys new NAME` makes a key), or allow this with "
            "HUNYUAN_ALLOW_ANONYMOUS=true."
        )
        raise typer.Exit(EXIT_REFUSED)

    prompt = '{"prompt": "A cat walks on grass"}'
    url = http_url(address, port)
    err.print(f"Starting on {url}. To try it, in another terminal:", soft_wrap=True)
    route = shlex.quote(f"{url}/api/generate")
    key = " -H 'Authorization: Bearer KEY'" if settings.accepted_keys else ""
    err.print(
        f"  curl -s {route}{key} -H 'Content-Type: application/json' -d '{prompt}'", soft_wrap=True
    )
    defaults = {
        "BENTOML_HOME": str(data_dir / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONSAFEPATH": "1",  # a file queue.py in the current folder is not the module `queue`
    }
    # The service's processes work in the folder that holds the package.
    folders = {
        "HUNYUAN_DATA_DIR": str(data_dir),
        "HUNYUAN_MODELS_DIR": str(settings.models_dir.absolute()),
    }
    command = [sys.executable, "-m", "bentoml", "serve", "hunyuan_runner.service:HunyuanVideo"]
    command += ["--working-dir", str(Path(__file__).parent.parent.parent), "--host", address]
    command += ["--port", str(port), "--timeout-graceful-shutdown", str(STOP_SECONDS)]
    os.execve(sys.executable, command, defaults | os.environ | folders)


def upgrade() -> None:
    """Bring the job database to this version. Services do so when they start."""
    settings = server_settings()
    from hunyuan_runner.jobs.schema import open_database
    from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION, StoreUnusable
    from hunyuan_runner.jobs.unavailable import JobsUnavailable
    from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder

    try:
        prepare_data_folder(settings)
        open_database(settings).dispose()
    except JobsUnavailable as error:
        complain(error)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    except (DataFolderUnusable, StoreUnusable) as error:
        complain(error)
        raise typer.Exit(EXIT_REFUSED) from error
    out.print(f"the job database has version {SCHEMA_VERSION}")


def new_key(
    name: Annotated[
        str, typer.Argument(help="Name of the user: letters, digits, dots, dashes, underscores.")
    ],
    admin: Annotated[
        bool, typer.Option("--admin", help="Allow access to every user's jobs.")
    ] = False,
) -> None:
    """Make an API key. It is shown only once; the service stores its hash."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    entry = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{':admin' if admin else ''}"
    try:
        api_keys.ApiKey.parse(entry)
    except ValueError as error:
        raise typer.BadParameter(
            "must be 1 to 64 letters, digits, dots, dashes or underscores", param_hint="NAME"
        ) from error
    err.print("For the user, as HUNYUAN_API_KEY or in the header Authorization: Bearer:")
    out.print(key, soft_wrap=True)
    err.print("For the service (separate several keys with commas):")
    out.print(f"HUNYUAN_API_KEYS={entry}", soft_wrap=True)
