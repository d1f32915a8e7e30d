"""How jobs are shown in a terminal: progress, tables, and times in round numbers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
)
from rich.text import Text

from hunyuan_runner.cli.outcomes import Outcome
from hunyuan_runner.cli.tables import Cell, Facts, Listing
from hunyuan_runner.client import Alternative, ClipWarning, Estimate, Eta, Job
from hunyuan_runner.client.address import followed
from hunyuan_runner.params import GenerationParams, Stage

SHORTEST_BAR, LONGEST_BAR = 5, 30  # columns
BESIDE_BAR = 62  # columns that the rest of its line takes

STATUS_STYLES: dict[str, str] = {
    "pending": "yellow",
    "paused": "yellow",
    "in_progress": "cyan",
    "completed": "green",
    "failed": "red",
    "canceled": "dim",
}

OUTCOME_STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}

EXIT_PIPE_CLOSED = 141  # the exit code that shells report for SIGPIPE


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Exit silently, as a program does that is ended by SIGPIPE."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_PIPE_CLOSED)


out = _Output(markup=False, highlight=False)
err = Console(markup=False, highlight=False, stderr=True)


def show(table: Listing | Facts) -> None:
    """Print a table: fitted to a terminal, or for a program in full, one line a row."""
    for line in table.lines(out.width if out.file.isatty() else None):
        out.print(line, soft_wrap=True)


def show_json(answer: Any) -> None:
    """Print an answer as JSON, escaped if the encoding of the output lacks a character."""
    text = json.dumps(answer, indent=2, ensure_ascii=False)
    try:
        text.encode(out.encoding)
    except UnicodeEncodeError:
        text = json.dumps(answer, indent=2)
    out.out(text, highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[Job], None]]:
    """Yield a function that shows a job: as a bar on a terminal, else a line for each change."""
    if not err.is_terminal:
        yield _show_changes()
        return
    bar = Progress(*_bar_columns(err.width - BESIDE_BAR), console=err, transient=True)
    with bar:
        task = bar.add_task("", total=1, detail="")
        yield lambda job: bar.update(
            task, completed=job.progress, description=_doing(job), detail=" · ".join(_detail(job))
        )


def _bar_columns(room: int) -> list[ProgressColumn]:
    """The stage of a job, a bar as long as the room allows, and details."""
    if room < SHORTEST_BAR:
        line = "{task.description} {task.percentage:.0f}% {task.fields[detail]}"
        return [TextColumn(line, markup=False)]
    return [
        SpinnerColumn("line" if err.options.ascii_only else "dots"),
        TextColumn("{task.description:<11}", markup=False),
        BarColumn(min(room, LONGEST_BAR)),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False, style="dim"),
    ]


def _show_changes() -> Callable[[Job], None]:
    shown: tuple[object, ...] = ()

    def show(job: Job) -> None:
        nonlocal shown
        state = (job.status, job.stage, job.step, job.queue_position, job.attempts, job.pausing)
        if state != shown:
            shown = state
            line = " · ".join([_doing(job), f"{job.progress:.0%}", *_detail(job)])
            err.print(line, soft_wrap=True)

    return show


def _doing(job: Job) -> str:
    return job.stage or job.status


def _detail(job: Job) -> list[str]:
    """Details of a job that has not ended."""
    detail = []
    if job.queue_position is not None:
        detail.append(f"{_ordinal(job.queue_position)} in the queue")
    if job.stage is Stage.DENOISING:
        detail.append(f"step {job.step}/{job.num_inference_steps}")
    if job.status == "pending" and _lacks_worker(job.warnings):
        detail.append("no worker is running")
    elif job.eta_seconds:
        detail.append(_left(job.eta_seconds))
    if job.attempts > 1:
        detail.append(f"attempt {job.attempts}")
    if job.pausing:
        detail.append("pausing")
    return detail


def did(job: Job) -> str:
    """How a job without a video ended, as in `job 42 was canceled`."""
    return "was canceled" if job.status == "canceled" else job.status


def result(job: Job, path: Path) -> Text:
    """The line about a file that has been saved."""
    facts = [_size(job), _length(job.params)]
    facts.append(f"seed {job.params.seed}")
    facts += [f"rendered in {took}"] if (took := _took(job)) else []
    return Text.assemble((str(path), "bold green"), "  ", (" · ".join(facts), "dim"))


def job_table(jobs: Sequence[Job]) -> Listing:
    """A row for each job."""
    table = Listing(
        *("job", "status", "", "size", "frames", "age", "took", "prompt"),
        text="cut",
        dispensable=("took", "frames", "size", "age", ""),
    )
    for job in jobs:
        table.add(
            job.job_id,
            _status(job),
            "" if job.ended else f"{job.progress:.0%}",
            _size(job),
            str(job.params.num_frames),
            rounded((datetime.now(UTC) - job.created_at).total_seconds()),
            _took(job),
            one_line(job.params.prompt),
        )
    return table


def outcome_table(outcomes: Sequence[Outcome]) -> Listing:
    """A row for each check of a service; several lines if it failed."""
    table = Listing("check", "", "ms", "", text="wrapped")
    for outcome in outcomes:
        status = Text(outcome.status, OUTCOME_STYLES[outcome.status])
        milliseconds = "" if outcome.status == "skipped" else f"{outcome.milliseconds:.1f}"
        table.add(outcome.name, status, milliseconds, _why(outcome))
    return table


def finding_table(outcomes: Sequence[Outcome]) -> Listing:
    """A row for each check of this machine: what was found and, if anything is, what to do."""
    table = Listing("check", "", "", text="wrapped")
    for outcome in outcomes:
        status = Text(outcome.status, OUTCOME_STYLES[outcome.status])
        lines = outcome.got.splitlines() + ([f"to do: {outcome.advice}"] * bool(outcome.advice))
        table.add(outcome.name, status, "\n".join(map(one_line, lines)))
    return table


def _why(outcome: Outcome) -> str:
    """Of a failed check, what was expected, what came and what to do, a line each."""
    if outcome.status != "failed":
        return outcome.got
    why = {"expected": outcome.expected, "got": outcome.got, "to do": outcome.advice}
    return "\n".join(f"{name}: {one_line(text)}" for name, text in why.items() if text)


def quote(estimate: Estimate) -> str:
    """In one line, how long a clip takes, its wait in the queue, its memory and cost."""
    facts = [f"takes {_takes(estimate.seconds)}"]
    if estimate.queue_seconds >= 1:
        facts.append(f"after {rounded(estimate.queue_seconds)} in the queue")
    return " · ".join([*facts, *_means(estimate)])


def estimate_facts(estimate: Estimate, deadline: float | None) -> Facts:
    """Time, memory and cost of a clip, and whether it fits and is in time."""
    params = estimate.params
    facts = Facts()
    size = f"{params.width}x{params.height}, {_length(params)}"
    facts.add("clip", f"{size}, {params.num_inference_steps} steps of {params.model}")
    facts.add("takes", _takes(estimate.seconds))
    if estimate.queue_seconds >= 1:
        facts.add("waits", f"{rounded(estimate.queue_seconds)} in the queue first")
    facts.add("memory", _gigabytes(estimate.peak_memory_bytes))
    if estimate.cost is not None:
        facts.add("costs", _money(estimate.cost))
    if not estimate.fits:
        facts.add("fits", Text("no: no machine of the service has that much memory", "red"))
    if deadline is not None:
        facts.add(f"in {rounded(deadline)}", _verdict(estimate, deadline))
    if estimate.warnings:
        facts.add("warning", _messages(estimate.warnings))
    return facts


def _verdict(estimate: Estimate, deadline: float) -> Text:
    """Whether the clip is finished in time: yes, perhaps or no, by its expected range."""
    wait, seconds = estimate.queue_seconds, estimate.seconds
    if estimate.in_time and _lacks_worker(estimate.warnings):
        return Text("only once a worker is running", "yellow")
    if estimate.in_time:
        return Text("yes", "green")
    if wait + seconds.low <= deadline:
        return Text(f"perhaps: finished in {_between(_later(seconds, wait))}", "yellow")
    if wait >= deadline:
        return Text(f"no: waits about {rounded(wait)} in the queue", "red")
    return Text(f"no: takes about {rounded(wait + seconds.expected)}", "red")


def _later(seconds: Eta, wait: float) -> Eta:
    later = {name: getattr(seconds, name) + wait for name in ("low", "expected", "high")}
    return seconds.model_copy(update=later)


def alternative_table(alternatives: Sequence[Alternative]) -> Listing:
    """A row for each."""
    table = Listing("instead", "takes", "memory", "costs")
    for one in alternatives:
        cost = "" if one.cost is None else _money(one.cost)
        memory = _gigabytes(one.peak_memory_bytes)
        table.add(one_line(one.summary), _between(one.seconds), memory, cost)
    return table


def nothing_instead(estimate: Estimate, deadline: float | None) -> str:
    """Why there is no alternative to a clip that does not fit or is too late."""
    if not estimate.fits:
        return "No smaller clip would fit either."
    if deadline is not None and estimate.queue_seconds >= deadline:
        return "No clip would be finished in time: the wait in the queue alone is longer."
    return "No smaller clip would be finished in time."


def _means(estimate: Estimate) -> list[str]:
    cost = [] if estimate.cost is None else [f"costs {_money(estimate.cost)}"]
    return [_gigabytes(estimate.peak_memory_bytes), *cost]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _money(cost: float) -> str:
    """With two decimals, or two significant digits if below one."""
    return f"{cost:.2f}" if cost >= 1 else f"{cost:.2g}"


def job_facts(job: Job, base_url: str) -> Facts:
    """Everything about a job of the service at this URL."""
    params = job.params
    size = f"{_size(job)}, {_length(params)}"
    rows: dict[str, Cell] = {
        "job": job.job_id,
        "status": _status(job),
        "doing": ""
        if job.ended
        else " · ".join([_doing(job), f"{job.progress:.0%}", *_detail(job)]),
        "error": job.error.message if job.error else "",
        "warning": _messages(job.warnings),
        "prompt": one_line(params.prompt),
        "not": one_line(params.negative_prompt or ""),
        "clip": size,
        "model": f"{job.model}, {params.num_inference_steps} steps, seed {params.seed}",
        "created": _local(job.created_at),
        "ended": _local(job.completed_at),
        "took": _took(job),
        "kept until": _local(job.expires_at),
        "video": followed(job.video_url, base_url) if job.video_url else "",
        "draft": followed(job.draft_url, base_url) if job.draft_url else "",
    }
    facts = Facts()
    for name, value in rows.items():
        if value:
            facts.add(name, value)
    return facts


def _status(job: Job) -> Text:
    return Text(job.status, STATUS_STYLES.get(job.status, ""))


def warn(warnings: Sequence[ClipWarning]) -> None:
    """Print each warning on a line of its own, to stderr."""
    for warning in warnings:
        err.print(f"warning: {one_line(warning.message)}", style="yellow", soft_wrap=True)


def warn_of_no_worker(jobs: Sequence[Job]) -> None:
    """Print once that no worker is running, if a job of the list has this warning."""
    warnings = [warning for job in jobs for warning in job.warnings if _lacks_worker([warning])]
    warn(warnings[:1])


def _lacks_worker(warnings: Sequence[ClipWarning]) -> bool:
    return any(warning.code == "no_worker" for warning in warnings)


def _messages(warnings: Sequence[ClipWarning]) -> Text:
    return Text("\n".join(one_line(warning.message) for warning in warnings), "yellow")


def _size(job: Job) -> str:
    return f"{job.params.width}x{job.params.height}"


def _length(params: GenerationParams) -> str:
    rate = params.fps or 0  # null from a newer service
    return f"{params.num_frames} frames at {rate:g} fps"


def _took(job: Job) -> str:
    if not (job.started_at and job.completed_at):
        return ""
    seconds = (job.completed_at - job.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 100 else rounded(seconds)


def _local(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def _left(eta: Eta) -> str:
    if round(eta.high) == 0:
        return "almost there"
    return f"{_between(eta)} left{' (a guess)' if eta.guess else ''}"


def _takes(seconds: Eta) -> str:
    """The range, and whether it says little."""
    guess = " (a guess: the machine was not measured yet)" if seconds.guess else ""
    return f"{_between(seconds)}{guess}"


def _between(seconds: Eta) -> str:
    """The range in one unit, such as `3–5 s`."""
    size, unit = _unit(seconds.high)
    low, high = round(seconds.low / size), max(1, round(seconds.high / size))
    return f"up to {high} {unit}" if low in (0, high) else f"{low}–{high} {unit}"


def rounded(seconds: float) -> str:
    """Such as `3 min`."""
    size, unit = _unit(seconds)
    return f"{round(seconds / size)} {unit}"


def _unit(seconds: float) -> tuple[int, str]:
    """The largest unit of which the time has at least two: its seconds and its name."""
    units = ((86_400, "days"), (3600, "h"), (60, "min"))
    return next((unit for unit in units if seconds >= 2 * unit[0]), (1, "s"))


def _ordinal(position: int) -> str:
    return "next" if position == 1 else f"number {position}"


def one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
