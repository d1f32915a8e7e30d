"""`make docs`: rewrite the tables of the pages from the code and its OpenAPI document.

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hunyuan_runner.api import bodies
from hunyuan_runner.api.document import GUARDED
from hunyuan_runner.api.errors import CODES
from hunyuan_runner.api.routes import events
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.states import TRANSITIONS
from hunyuan_runner.params import MAX_PIXEL_FRAMES
from hunyuan_runner.settings import Settings
from hunyuan_runner.studio.app import create_app
from tests.matrix import CHECKS, where

API = Path(__file__).with_name("api.md")
SETTINGS = Path(__file__).with_name("settings.md")
ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
PROXIES = Path(__file__).with_name("proxies.md")
MODELS_PAGE = Path(__file__).with_name("models.md")
PAGES = (API, SETTINGS, ARCHITECTURE, PROXIES, MODELS_PAGE)
TABLE = re.compile(r"(<!-- begin (\w+) -->\n)(.*?)(<!-- end \w+ -->)", re.DOTALL)

MAX_NAMES = 3  # an object with more fields than this is shown as "object"

# The first setting of each group, and the group's heading.
SETTING_GROUPS = {
    "data_dir": "Data, models and machines",
    "threads": "Rendering",
    "lease_seconds": "Workers and event streams",
    "api_keys": "Access",
    "max_connections": "Connections",
    "webhook_secret": "Webhooks",
    "log_level": "Logs",
}

Schema = dict[str, Any]


def openapi() -> Schema:
    """The document served at /openapi.json."""
    return create_app().openapi()


def with_tables(page: str, document: Schema) -> str:
    """The page with each of its tables rewritten from this OpenAPI document."""
    return TABLE.sub(lambda match: match[1] + TABLES[match[2]](document) + match[4], page)


def routes(document: Schema) -> str:
    """A table for each tag, without the refusals that all routes with a key share."""
    by_tag: dict[str, list[list[str]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = [status for status in _statuses(operation) if status not in GUARDED]
            answers = ", ".join(map(str, statuses))
            row = [f"`{method.upper()} {path}`", _first_line(operation["description"]), answers]
            by_tag.setdefault(operation["tags"][0], []).append(row)
    return "\n".join(
        f"**{tag}**\n\n{_table(('route', '', 'answers'), rows)}" for tag, rows in by_tag.items()
    )


def fields(document: Schema) -> str:
    """The fields of a request."""
    schema = document["components"]["schemas"]["GenerationRequest"]
    rows = [
        [f"`{name}`", _kinds(document, field)[0], field.get("description", "")]
        for name, field in schema["properties"].items()
    ]
    return _table(("field", "takes", ""), rows)


def job(document: Schema) -> str:
    return _view(document, "JobView")


def estimate(document: Schema) -> str:
    return _view(document, "EstimateView")


def errors(_: Schema) -> str:
    rows = [
        [f"`{code}`", ", ".join(map(str, statuses)), meaning]
        for code, (statuses, meaning) in CODES.items()
    ]
    return _table(("code", "status", ""), rows)


def kinds(document: Schema) -> str:
    """The kinds of events."""
    stream = document["paths"]["/api/jobs/{job_id}/events"]["get"]["responses"]["200"]
    rows = []
    for event in stream["content"]["text/event-stream"]["itemSchema"]["oneOf"]:
        data = event["properties"]["data"]["contentSchema"]
        named = ", ".join(f"`{name}`" for name in data.get("properties", ()))
        name = event["properties"]["event"]["const"]
        rows.append([f"`{name}`", event["description"], named or "[the job](#jobs)"])
    return _table(("event", "", "data"), rows)


def limits(document: Schema) -> str:
    seconds, kibibytes = bodies.BODY_TIMEOUT_SECONDS, bodies.MAX_BODY_BYTES >> 10
    names = ("max_queued", "retention_hours", "max_head_bytes", "max_url_bytes")
    queued, hours, head, url = (Settings.model_fields[name].default for name in names)
    rows = [
        ("body of a request", f"{kibibytes} KiB", "413 `body_too_large`"),
        ("the time to send it", f"{seconds} s", "408 `timeout`"),
        (
            "URL and headers of a request",
            f"`HUNYUAN_MAX_HEAD_BYTES`; default: {head:,}",
            "431 `head_too_large`",
        ),
        ("URL of a request", f"`HUNYUAN_MAX_URL_BYTES`; default: {url:,}", "414 `url_too_long`"),
        ("connections", "`HUNYUAN_MAX_CONNECTIONS`", "503 `too_many_connections`"),
        ("width x height x num_frames", f"{MAX_PIXEL_FRAMES:,}", "422 `too_large`"),
        ("requests, per key", "`HUNYUAN_RATE_LIMIT`; default: no limit", "429 `rate_limited`"),
        (
            "waiting jobs, per key",
            f"`HUNYUAN_MAX_QUEUED`; default: {queued:,}",
            "429 `queue_full`",
        ),
        (
            "room on the disk",
            "`HUNYUAN_DISK_RESERVE_BYTES`; default: 1 GB, or 5 % of a small disk",
            "507 `disk_low`",
        ),
        ("open event streams, per key", f"{events.MAX_STREAMS}", "429 `too_many_streams`"),
        (
            "time that ended jobs are kept",
            f"`HUNYUAN_RETENTION_HOURS`; default: {hours} h",
            "404 `not_found`",
        ),
    ]
    return _table(("", "limit", "beyond it"), rows)


def settings(_: Schema) -> str:
    """A table for each group."""
    groups: dict[str, list[list[str]]] = {}
    heading = ""
    for name, field in Settings.model_fields.items():
        heading = SETTING_GROUPS.get(name, heading)
        row = [f"`HUNYUAN_{name.upper()}`", _default(field.default), field.description or ""]
        groups.setdefault(heading, []).append(row)
    return "\n".join(
        f"**{heading}**\n\n{_table(('variable', 'default', ''), rows)}"
        for heading, rows in groups.items()
    )


def transitions(_: Schema) -> str:
    """Every way in which a job changes its state."""
    rows = []
    for each in TRANSITIONS:
        only = f" while {_codes(each.stages)}" if each.stages else ""
        sources, targets = _codes(each.sources), _codes(each.targets)
        rows.append([each.event, f"{sources or '(none)'}{only}", targets or "(deleted)"])
    return _table(("event", "from", "to"), rows)


def tested(_: Schema) -> str:
    """What is proven of each model, and on what; then what each check means."""
    rows = [[f"`{model}`", *(where(check, model) for check in CHECKS)] for model in MODELS]
    meanings = "".join(f"- **{check}**: {meaning}.\n" for check, meaning in CHECKS.items())
    return f"{_table(('model', *CHECKS), rows)}\n{meanings}"


def nginx(_: Schema) -> str:
    return _file("deploy/nginx/hunyuan.conf", "nginx")


def caddy(_: Schema) -> str:
    return _file("deploy/caddy/Caddyfile", "")


TABLES: Mapping[str, Callable[[Schema], str]] = {
    table.__name__: table
    for table in (
        *(routes, fields, estimate, job, errors, kinds, limits),
        *(settings, transitions, tested, nginx, caddy),
    )
}


def _file(path: str, language: str) -> str:
    return f"```{language}\n{(ROOT / path).read_text()}```\n"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _default(default: object) -> str:
    match default:
        case None | ():
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case Path():
            return f"`./{default.name}`"
    return f"`{default}`"


def _view(document: Schema, name: str) -> str:
    schema = document["components"]["schemas"][name]
    rows = [
        [f"`{name}`", " or ".join(_kinds(document, field)), field.get("description", "")]
        for name, field in schema["properties"].items()
    ]
    return _table(("field", "is", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def _statuses(operation: Schema) -> list[int]:
    """Its statuses, without the one that FastAPI adds to every route with a parameter."""
    return sorted(
        int(status)
        for status, response in operation["responses"].items()
        if status.isdecimal() and "HTTPValidationError" not in str(response)
    )


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _kinds(document: Schema, schema: Schema) -> list[str]:
    """The kinds of values a field takes, each in a few words."""
    if "anyOf" in schema:
        return [kind for option in schema["anyOf"] for kind in _kinds(document, option)]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _kinds(document, document["components"]["schemas"][name])
    if "enum" in schema:
        return [", ".join(f"`{value}`" for value in schema["enum"])]
    match schema["type"]:
        case "null":
            return ["null"]
        case "string":
            return [_string(schema)]
        case "array":
            return [f"list of {_kinds(document, schema['items'])[0]}"]
        case "object":
            return [_object(document, schema)]
        case kind:
            return [f"{kind}{_bounds(schema)}"]


def _string(schema: Schema) -> str:
    if schema.get("format") == "date-time":
        return "time"
    most = schema.get("maxLength")
    return f"text up to {most} characters" if most else "text"


def _object(document: Schema, schema: Schema) -> str:
    if "additionalProperties" in schema and "properties" not in schema:
        values = _kinds(document, schema["additionalProperties"])[0]
        most = schema.get("maxProperties")
        return f"up to {most} entries of {values}" if most else f"object of {values}"
    names = list(schema["properties"])
    return f"`{{{', '.join(names)}}}`" if len(names) <= MAX_NAMES else "object"


def _bounds(schema: Schema) -> str:
    least, above, most = (schema.get(b) for b in ("minimum", "exclusiveMinimum", "maximum"))
    if most is None:
        return ""
    return f" above {above:.0f} to {most:.0f}" if least is None else f" {least:.0f} to {most:.0f}"


def main() -> None:
    document = openapi()
    for page in PAGES:
        page.write_text(with_tables(page.read_text(), document))


if __name__ == "__main__":
    main()
