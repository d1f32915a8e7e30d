"""`hunyuan autoscale`: as many instances of a Render service as its queue needs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import typer

from hunyuan_runner.cli.connection import EXIT_REFUSED, complain
from hunyuan_runner.cli.display import err, out
from hunyuan_runner.cli.options import ApiKey, Url
from hunyuan_runner.client import Capacity, HunyuanClient, HunyuanError

RENDER_API = "https://api.render.com/v1"
MOST_INSTANCES = 100  # that Render allows
TIMEOUT_SECONDS = 30


class RenderError(Exception):
    """Render's API refused a request, or did not answer."""


class RenderService:
    """One service at Render: https://api-docs.render.com. Close it."""

    def __init__(self, service_id: str, key: str, api: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._path = f"/services/{service_id}"
        self._http = httpx.Client(base_url=api, headers=headers, timeout=TIMEOUT_SECONDS)

    def instances(self) -> int:
        """How many instances it is set to have. Raises RenderError."""
        service = self._ask("GET", self._path)
        try:
            return int(service["serviceDetails"]["numInstances"])
        except (KeyError, TypeError, ValueError) as error:
            raise RenderError("Render says no number of instances of this service.") from error

    def scale(self, instances: int) -> None:
        """Raises RenderError."""
        self._ask("POST", f"{self._path}/scale", {"numInstances": instances})

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, body: dict[str, int] | None = None) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise RenderError(f"Render does not answer ({type(error).__name__}).") from error
        if answer.status_code == 401:
            raise RenderError("Render refuses the key; check RENDER_API_KEY.")
        if answer.is_error:
            raise RenderError(f"Render answered {answer.status_code} to {method} {path}.")
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise RenderError(f"Render's answer to {method} {path} is not JSON.") from error


@dataclass
class Policy:
    """When to start and stop instances.

    Render chooses which instances it stops, so it may choose one that renders. Therefore none are
    stopped until nothing was queued or rendered for `idle_seconds`.
    """

    least: int
    most: int
    idle_seconds: float
    idle_since: float | None = None  # by the clock of `wanted`

    def wanted(self, capacity: Capacity, instances: int, now: float) -> int:
        """The number of instances to have at the time `now`, in seconds of any clock."""
        if capacity.queued_jobs or capacity.running_jobs:
            self.idle_since = None
            return max(instances, min(max(capacity.runners_wanted, self.least), self.most))
        if self.idle_since is None:
            self.idle_since = now
        is_idle = now - self.idle_since >= self.idle_seconds
        return self.least if is_idle else max(instances, self.least)


def autoscale(
    service: Annotated[str, typer.Argument(help="Id of the runners' service at Render: srv-…")],
    least: Annotated[
        int, typer.Option("--min", min=1, max=MOST_INSTANCES, help="Instances while idle.")
    ] = 1,
    most: Annotated[
        int, typer.Option("--max", min=1, max=MOST_INSTANCES, help="Instances at most.")
    ] = 3,
    target_wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            help="How long a job may wait in the queue; default: as the service is set up.",
        ),
    ] = None,
    idle: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="Stop instances after so long without any job."
        ),
    ] = 600,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How often to look at the queue.")
    ] = 60,
    once: Annotated[bool, typer.Option("--once", help="Look once, then end.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    render_api: Annotated[
        str, typer.Option(envvar="RENDER_API_URL", help="Render's API.", hidden=True)
    ] = RENDER_API,
    url: Url = "",
    api_key: ApiKey = None,
) -> None:
    """Start and stop runners at Render by the queue. RENDER_API_KEY is your key there.

    Render may stop any instance, also one that renders. So runners are only stopped once no job has
    been queued or rendered for --idle seconds. Turn Render's own autoscaling off.
    """
    key = os.environ.get("RENDER_API_KEY", "")
    if not key:
        complain("RENDER_API_KEY is not set. Make a key in the account settings at Render.")
        raise typer.Exit(EXIT_REFUSED)
    if least > most:
        raise typer.BadParameter(f"must be at most --max, which is {most}", param_hint="--min")
    policy = Policy(least, most, 0 if once else idle)
    render = RenderService(service, key, render_api)
    try:
        with HunyuanClient(url, api_key=api_key, retries=0) as client:
            while True:
                try:
                    _look(client, render, policy, target_wait, dry_run)
                except (HunyuanError, RenderError) as error:
                    complain(error)
                    if once:
                        raise typer.Exit(EXIT_REFUSED) from error
                if once:
                    return
                time.sleep(every)
    finally:
        render.close()


def _look(
    client: HunyuanClient,
    render: RenderService,
    policy: Policy,
    target_wait: float | None,
    dry_run: bool,
) -> None:
    """Scale the service if its queue needs it. Raises HunyuanError or RenderError."""
    capacity, instances = client.capacity(target_wait), render.instances()
    wanted = policy.wanted(capacity, instances, time.monotonic())
    line = (
        f"{capacity.queued_jobs} queued ({capacity.queued_seconds:.0f} s), "
        f"{capacity.running_jobs} running, {capacity.runners_wanted} runners wanted: "
    )
    if wanted == instances:
        err.print(f"{line}{instances} instances stay", soft_wrap=True)
        return
    if not dry_run:
        render.scale(wanted)
    did = "would scale" if dry_run else "scaled"
    out.print(f"{line}{did} from {instances} to {wanted} instances", soft_wrap=True)
