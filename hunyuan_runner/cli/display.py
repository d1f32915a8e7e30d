"""What people see of jobs in a terminal: progress, tables, and times in round numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from hunyuan_runner.check import Outcome, Report
from hunyuan_runner.client import Alternative, ClipWarning, Estimate, Eta, Job, Status
from hunyuan_runner.params import Stage

PIPED_WIDTH = 200  # columns of a table that goes into a file or another program

STATUS_STYLES: dict[Status, str] = {
    "pending": "yellow",
    "in_progress": "cyan",
    "completed": "green",
    "failed": "red",
    "canceled": "dim",
}

OUTCOME_STYLES = {"ok": "green", "failed": "red", "skipped": "dim"}


out = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(markup=False, highlight=False, stderr=True)


@contextmanager
def progress() -> Iterator[Callable[[Job], None]]:
    """What shows a job while it is followed: a bar on a terminal, else a line for each change."""
    if not err.is_terminal:
        yield _show_changes()
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<11}", markup=False),
        BarColumn(30),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False, style="dim"),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1, detail="")
        yield lambda job: bar.update(
            task, completed=job.progress, description=_doing(job), detail=" · ".join(_detail(job))
        )


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
    """What there is to tell of a job under way."""
    detail = []
    if job.queue_position is not None:
        detail.append(f"{_ordinal(job.queue_position)} in the queue")
    if job.stage is Stage.DENOISING:
        detail.append(f"step {job.step}/{job.num_inference_steps}")
    if job.eta_seconds:
        detail.append(_left(job.eta_seconds))
    if job.attempts > 1:
        detail.append(f"attempt {job.attempts}")
    if job.pausing:
        detail.append("about to pause")
    return detail


def did(job: Job) -> str:
    """How a job ended that brought no video, as in `job 42 …`."""
    return "was canceled" if job.status == "canceled" else job.status


def result(job: Job, path: Path) -> Text:
    """The line about a file that has been written."""
    told = [_size(job), f"{job.params.num_frames} frames at {job.params.fps} fps"]
    told.append(f"seed {job.params.seed}")
    told += [f"rendered in {took}"] if (took := _took(job)) else []
    return Text.assemble((str(path), "bold green"), "  ", (" · ".join(told), "dim"))


def columns(*headers: str) -> Table:
    """An empty table without lines."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=True)
    return table


def job_table(jobs: tuple[Job, ...]) -> Table:
    """A line for each job."""
    table = columns("job", "status", "", "size", "frames", "age", "took", "prompt")
    table.columns[-1].overflow = "ellipsis"
    for job in jobs:
        table.add_row(
            job.job_id,
            Text(job.status, STATUS_STYLES[job.status]),
            "" if job.ended else f"{job.progress:.0%}",
            _size(job),
            str(job.params.num_frames),
            rounded((datetime.now(UTC) - job.created_at).total_seconds()),
            _took(job),
            _one_line(job.params.prompt),
        )
    return table


def outcome_table(report: Report) -> Table:
    """A line for each check of a service, more where one failed."""
    table = columns("check", "", "ms", "")
    table.columns[2].justify = "right"
    table.columns[3].no_wrap = False
    for outcome in report.outcomes:
        status = Text(outcome.status, OUTCOME_STYLES[outcome.status])
        milliseconds = "" if outcome.status == "skipped" else f"{outcome.milliseconds:.1f}"
        table.add_row(outcome.name, status, milliseconds, _why(outcome))
    return table


def _why(outcome: Outcome) -> str:
    """What was expected and what came, line by line; of a check that is ok, nothing."""
    if outcome.status != "failed":
        return outcome.got
    told = {"expected": outcome.expected, "got": outcome.got, "to do": outcome.advice}
    return "\n".join(f"{name}: {_one_line(text)}" for name, text in told.items() if text)


def quote(estimate: Estimate) -> str:
    """In a line, what a clip takes; its wait, too, where it has to wait."""
    told = [f"takes {_between(estimate.seconds)}"]
    if estimate.queue_seconds >= 1:
        told.append(f"after {rounded(estimate.queue_seconds)} in the queue")
    return " · ".join([*told, *_means(estimate)])


def estimate_table(estimate: Estimate, deadline: float | None) -> Table:
    """What a clip takes, whether that will do, and what would."""
    params = estimate.params
    table = facts()
    size = f"{params.width}x{params.height}, {params.num_frames} frames at {params.fps} fps"
    table.add_row("clip", f"{size}, {params.num_inference_steps} steps of {params.model}")
    table.add_row("takes", _between(estimate.seconds))
    if estimate.queue_seconds >= 1:
        table.add_row("waits", f"{rounded(estimate.queue_seconds)} in the queue before")
    table.add_row("memory", _gigabytes(estimate.peak_memory_bytes))
    if estimate.cost is not None:
        table.add_row("costs", _money(estimate.cost))
    if not estimate.fits:
        table.add_row("fits", Text("no: no machine of the service has so much memory", "red"))
    if deadline is not None:
        surely = Text("yes", "green") if estimate.in_time else Text("not for sure", "red")
        table.add_row(f"in {rounded(deadline)}", surely)
    if estimate.warnings:
        table.add_row("warning", _told(estimate.warnings))
    return table


def alternative_table(alternatives: Sequence[Alternative]) -> Table:
    """A line for each."""
    table = columns("instead", "takes", "memory", "costs")
    for one in alternatives:
        cost = "" if one.cost is None else _money(one.cost)
        memory = _gigabytes(one.peak_memory_bytes)
        table.add_row(one.summary, _between(one.seconds), memory, cost)
    return table


def _means(estimate: Estimate) -> list[str]:
    cost = [] if estimate.cost is None else [f"costs {_money(estimate.cost)}"]
    return [_gigabytes(estimate.peak_memory_bytes), *cost]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _money(cost: float) -> str:
    """To the cent; of less than one, as much as matters."""
    return f"{cost:.2f}" if cost >= 1 else f"{cost:.2g}"


def facts() -> Table:
    """An empty list of names and what they stand for."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def details(job: Job) -> Table:
    """All there is to know about one job."""
    params = job.params
    size = f"{_size(job)}, {params.num_frames} frames at {params.fps} fps"
    rows: dict[str, object] = {
        "job": job.job_id,
        "status": Text(job.status, STATUS_STYLES[job.status]),
        "doing": ""
        if job.ended
        else " · ".join([_doing(job), f"{job.progress:.0%}", *_detail(job)]),
        "error": job.error.message if job.error else "",
        "warning": _told(job.warnings),
        "prompt": _one_line(params.prompt),
        "not": _one_line(params.negative_prompt or ""),
        "clip": size,
        "model": f"{job.model}, {params.num_inference_steps} steps, seed {params.seed}",
        "created": _local(job.created_at),
        "ended": _local(job.completed_at),
        "took": _took(job),
        "kept until": _local(job.expires_at),
        "video": job.video_url or "",
        "draft": job.draft_url or "",
    }
    table = facts()
    for name, value in rows.items():
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def warn(warnings: Sequence[ClipWarning]) -> None:
    """A line for each, beside what is printed."""
    for warning in warnings:
        err.print(f"warning: {_one_line(warning.message)}", style="yellow", soft_wrap=True)


def _told(warnings: Sequence[ClipWarning]) -> Text:
    return Text("\n".join(_one_line(warning.message) for warning in warnings), "yellow")


def _size(job: Job) -> str:
    return f"{job.params.width}x{job.params.height}"


def _took(job: Job) -> str:
    if not (job.started_at and job.completed_at):
        return ""
    seconds = (job.completed_at - job.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 100 else rounded(seconds)


def _local(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def _left(eta: Eta) -> str:
    return "almost there" if round(eta.high) == 0 else f"{_between(eta)} left"


def _between(seconds: Eta) -> str:
    """The range in one unit, as in `3–5 s`."""
    size, unit = _unit(seconds.high)
    low, high = round(seconds.low / size), max(1, round(seconds.high / size))
    return f"up to {high} {unit}" if low in (0, high) else f"{low}–{high} {unit}"


def rounded(seconds: float) -> str:
    """As in `3 min`."""
    size, unit = _unit(seconds)
    return f"{round(seconds / size)} {unit}"


def _unit(seconds: float) -> tuple[int, str]:
    """The largest unit of which there are at least two."""
    units = ((86_400, "days"), (3600, "h"), (60, "min"))
    return next((unit for unit in units if seconds >= 2 * unit[0]), (1, "s"))


def _ordinal(position: int) -> str:
    return "next" if position == 1 else f"number {position}"


def _one_line(text: str) -> str:
    """Without line breaks, and without what a terminal would obey."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
