"""A line per stage while a job runs."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from service.terminal.console import messages


class StageProgress:
    """Bars on a terminal, plain lines elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._stages: dict[str, TaskID] = {}
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<11}"),
            BarColumn(24),
            TextColumn("{task.fields[count]:>9}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            console=messages,
            disable=quiet or not messages.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        self._bars.stop()

    def show(self, event: Mapping[str, Any]) -> None:
        """Take an event of the child or of the service; only those of progress change the picture."""
        if event.get("event") != "progress":
            return
        stage, done, total = event["stage"], event.get("done", 0), event.get("total", 0)
        if stage not in self._stages:
            self._finish()
            self._stages[stage] = self._bars.add_task(stage, total=None, count="", detail="")
            if self._bars.disable and not self._quiet:
                messages.print(stage, highlight=False)
        count, detail = f"{done}/{total}" if total else "", event.get("layer") or event.get("message") or ""
        self._bars.update(self._stages[stage], completed=done, total=total or None, count=count, detail=detail)

    def _finish(self) -> None:
        """A new stage begins, so the ones before it are done."""
        for task in self._bars.tasks:
            if not task.finished:
                total = task.total or 1
                self._bars.update(task.id, completed=total, total=total, detail="")
