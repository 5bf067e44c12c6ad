"""What runs beside the API goes on whatever happens, and shows what went wrong."""

import threading
from collections.abc import Callable

import pytest

from service.periodic_tasks import PeriodicTasks
from workers.errors import Unavailable

PATIENCE_S = 30.0


class Rounds:
    """A task that fails in its own way at first, and works from `good` on."""

    def __init__(self, failure: Exception, good: int) -> None:
        self.failure, self.good, self.count = failure, good, 0
        self.reached = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        if self.count < self.good:
            raise self.failure
        self.reached.set()


def eventually(condition: Callable[[], bool]) -> bool:
    done = threading.Event()
    for _ in range(round(PATIENCE_S / 0.01)):
        if condition():
            return True
        done.wait(0.01)
    return False


def clean(tasks: PeriodicTasks) -> bool:
    try:
        tasks.check()
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("failure", [KeyError("row"), ZeroDivisionError(), Unavailable("the store is away")])
def test_a_task_that_fails_is_done_again(failure: Exception) -> None:
    task = Rounds(failure, good=3)
    tasks = PeriodicTasks({"mend": (0.001, task)})
    with tasks.running():
        assert task.reached.wait(PATIENCE_S)
        assert eventually(lambda: clean(tasks))
    assert tasks.failures == {"mend": 0 if isinstance(failure, Unavailable) else 2}


def test_what_went_wrong_is_told_until_it_goes_well() -> None:
    task = Rounds(KeyError("row"), good=1_000_000)
    tasks = PeriodicTasks({"mend": (0.001, task), "clean": (0.001, lambda: None)})
    with tasks.running():
        assert eventually(lambda: tasks.failures["mend"] > 1)
        with pytest.raises(Unavailable, match="mend: KeyError: 'row'"):
            tasks.check()
        task.good = 0
        assert eventually(lambda: clean(tasks))
    assert tasks.failures["clean"] == 0
