"""Tasks: what the answers of a model mean, and what they are worth. One file a task, all of the form in `task.py`."""

from workers.evaluation.tasks.choice import Seen, TaskRequest, choose_task
from workers.evaluation.tasks.task import Task

__all__ = ["Seen", "Task", "TaskRequest", "choose_task"]
