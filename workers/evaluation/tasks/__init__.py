"""Tasks: what the answers of a model mean, and what they are worth. One file a task, all of the form in `task.py`."""

from collections.abc import Sequence
from typing import Any

from workers.annotations import TargetKind
from workers.evaluation.decoders.decoder_model import DecoderModel
from workers.evaluation.tasks.choice import Seen, TaskRequest, choose_task
from workers.evaluation.tasks.custom import Custom, load_metric
from workers.evaluation.tasks.decoded import Decoded
from workers.evaluation.tasks.task import Task

__all__ = ["Seen", "Task", "TaskRequest", "innermost", "task_of"]


def task_of(seen: Seen, asked: TaskRequest, labelled: TargetKind | None) -> Task:
    """The task of a model, behind the user's decoder and beside the user's metric where there are any. Raises InvalidRecipe."""
    task: Task
    if asked.decoder_model:
        decoder = DecoderModel(asked.decoder_model, seen.outputs, asked.threads)
        task = Decoded(decoder, [value[0] for value in seen.values], seen.frame)
    else:
        task = choose_task(seen, asked, labelled)
    if asked.metric is None:
        return task
    return Custom(task, load_metric(asked.metric), [output.name for output in seen.outputs], labelled)


def innermost(task: Task, rows: Sequence[Any]) -> tuple[Task, Sequence[Any]]:
    """The task within a decoder and a metric of the user's, with what it has kept of every sample."""
    if isinstance(task, Custom):
        return innermost(task.task, [row[0] for row in rows])
    return innermost(task.task, rows) if isinstance(task, Decoded) else (task, rows)
