"""Services: run one, see what one is and whether it works, make keys for it."""

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
from pydantic import ValidationError

from hunyuan_runner.cli.connection import (
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    complain,
    complain_of_no_service,
    connected,
)
from hunyuan_runner.cli.display import err, out, outcome_table, progress, rounded, show, show_json
from hunyuan_runner.cli.examination import examine
from hunyuan_runner.cli.options import ApiKey, Json, Url, chosen_url
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

STOP_SECONDS = 30  # that the service gets for answers and a job under way, once it is asked to stop

KEY_PREFIX = "hy_"  # by which a key is known where it should not be, in a log or a repository


def info(url: Url = "", api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the service: its models, their presets and its machine."""
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
        str, typer.Argument(metavar="[URL]", show_default=False, help="As --url.")
    ] = "",
    url: Url = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Have a clip rendered, and look into its file.")
    ] = False,
    api_key: ApiKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """See whether a service works: every kind of request, and nothing left behind."""
    if address:
        url = chosen_url(context, address)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so it cleans up then too
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
        show(outcome_table(report))
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.ok:
        raise typer.Exit(EXIT_REFUSED)


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is every one there is.")
    ] = DEFAULT_HOST,
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=MAX_PORT, help="The port.")
    ] = DEFAULT_PORT,
) -> None:
    """Run the service on this machine."""
    # Only here: whoever asks a service far away needs nothing of what runs one.
    from hunyuan_runner.settings import get_settings
    from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder

    try:
        settings = get_settings()
        address = address_of(host)
        require_free(address, port)
        data_dir = prepare_data_folder(settings)
    except ValidationError as error:
        for problem in error.errors():
            complain(f"HUNYUAN_{str(problem['loc'][0]).upper()}: {problem['msg']}")
        raise typer.Exit(EXIT_REFUSED) from error
    except (DataFolderUnusable, CannotListen) as error:
        complain(error)
        raise typer.Exit(EXIT_REFUSED) from error
    if not (settings.api_keys or settings.allow_anonymous or ip_address(address).is_loopback):
        complain(
            f"on {host} anybody could use this service. Set HUNYUAN_API_KEYS (`hunyuan keys new "
            "NAME` makes one), or HUNYUAN_ALLOW_ANONYMOUS=true if that is wanted."
        )
        raise typer.Exit(EXIT_REFUSED)

    prompt = '{"prompt": "A cat walks on grass"}'
    url = http_url(address, port)
    err.print(f"Starting on {url}. To try it, in another terminal:", soft_wrap=True)
    route = shlex.quote(f"{url}/api/generate")
    key = " -H 'Authorization: Bearer KEY'" if settings.api_keys else ""
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


def new_key(
    name: Annotated[
        str, typer.Argument(help="Whose it is: letters, digits, dots, dashes, underscores.")
    ],
    admin: Annotated[bool, typer.Option("--admin", help="It sees everybody's jobs.")] = False,
) -> None:
    """Make an API key. It is shown this once; the service needs its hash alone."""
    from hunyuan_runner.settings import ApiKey

    key = KEY_PREFIX + secrets.token_urlsafe(32)
    entry = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{':admin' if admin else ''}"
    try:
        ApiKey.parse(entry)
    except ValueError as error:
        raise typer.BadParameter("a name has 1 to 64 letters, digits or ._-") from error
    err.print("The key, for its user (HUNYUAN_API_KEY or Authorization: Bearer):")
    out.print(key, soft_wrap=True)
    err.print("For the service, after a comma if HUNYUAN_API_KEYS has others:")
    out.print(f"HUNYUAN_API_KEYS={entry}", soft_wrap=True)
