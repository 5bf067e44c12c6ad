"""From what a child says to rows that clients see."""

from hashlib import sha256
from typing import Any

import pytest

from workers.errors import Unavailable
from workers.jobs import recorder
from workers.jobs.job import Kind, Progress, Stage
from workers.jobs.reconciler import reconcile
from workers.jobs.recorder import Recorder
from workers.jobs.records import AssetKind, Job, Request
from workers.jobs.store import Store
from workers.jobs.summary import FIGURES, summarize


@pytest.fixture
def job(store: Store, unique: str) -> Job:
    model = sha256(unique.encode()).hexdigest()
    store.assets.add(AssetKind.MODEL, model, "m", 1, unique, lambda: None)
    made = store.jobs.submit(Request(Kind.COMPRESS, model, {"steps": []}), unique)[0]
    claimed = store.leases.claim(made.id, "w", 600)
    assert claimed is not None
    return claimed


class Clock:
    """A steady clock that is set by hand."""

    now = 100.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(recorder, "time", clock)
    return clock


def progress(stage: str, done: int, total: int = 10) -> dict[str, Any]:
    return {"event": "progress", "stage": stage, "done": done, "total": total, "layer": None, "message": ""}


def told(store: Store, job: Job) -> list[tuple[str, int]]:
    return [(event.data["stage"], event.data["done"]) for event in store.jobs.events(job.id) if event.type == "progress"]


def test_progress_is_written_now_and_then_and_at_every_turn(store: Store, job: Job, clock: Clock) -> None:
    record = Recorder(store.leases, job.id, job.attempt)
    for done in range(1, 5):
        record(progress("compress", done))
        clock.now += 0.2
    record(progress("compress", 10))  # the end of a stage is never left out
    record(progress("export", 0))
    assert told(store, job) == [("compress", 1), ("compress", 4), ("compress", 10), ("export", 0)]
    assert store.jobs.get(job.id).progress == Progress(Stage.EXPORT, 0, 10)


def test_the_rest_takes_as_long_as_what_is_done_did(store: Store, job: Job, clock: Clock) -> None:
    record = Recorder(store.leases, job.id, job.attempt)
    record(progress("compress", 0))
    assert store.jobs.get(job.id).eta_s is None
    clock.now += 30
    record(progress("compress", 3))
    assert store.jobs.get(job.id).eta_s == pytest.approx(70)
    clock.now += 1
    record(progress("compress", 10))
    assert store.jobs.get(job.id).eta_s is None
    record(progress("verify", 5, 0))
    assert store.jobs.get(job.id).eta_s is None


def test_stages_that_come_again_add_up(store: Store, job: Job, clock: Clock) -> None:
    record = Recorder(store.leases, job.id, job.attempt)
    assert record.stages() == {}
    for stage, seconds in (("import", 1.0), ("compress", 5.0), ("export", 2.0), ("compress", 4.0)):
        record(progress(stage, 0))
        clock.now += seconds
    assert record.stages() == pytest.approx({"import": 1.0, "compress": 9.0, "export": 2.0})


def test_layers_wait_for_a_store_that_is_away_and_keep_their_order(store: Store, job: Job) -> None:
    class Away:
        """The rows of leases, behind a connection that comes and goes."""

        here = False

        def layer(self, *row: Any) -> bool:
            """Record a layer, where that can be done."""
            if not self.here:
                raise Unavailable
            return store.leases.layer(*row)

        def progress(self, *row: Any) -> bool:
            """Record nothing."""
            raise Unavailable

    away: Any = Away()
    record = Recorder(away, job.id, job.attempt)
    for name in ("a", "b"):
        record({"event": "layer", "name": name})
    record(progress("compress", 1))  # is lost, and no harm
    assert store.jobs.layers(job.id) == []
    away.here = True
    record({"event": "layer", "name": "c"})
    assert [layer["name"] for layer in store.jobs.layers(job.id)] == ["a", "b", "c"]
    record.flush()
    assert len(store.jobs.layers(job.id)) == 3


# putting right


def test_a_message_is_sent_for_every_job_that_lacks_one(store: Store, unique: str) -> None:
    model = sha256(unique.encode()).hexdigest()
    store.assets.add(AssetKind.MODEL, model, "m", 1, unique, lambda: None)
    ids = [
        store.jobs.submit(Request(Kind.COMPRESS, model, {"steps": []}, runs_on=f"pool={unique}"), unique)[0].id
        for _ in range(3)
    ]
    sent: list[str] = []

    def mend(depth: int, requeue_s: float = -1.0) -> list[str]:
        sent.clear()
        waiting = {None: 10**6, f"pool={unique}": depth}
        reconcile(
            store, sent.append, lambda runs_on: waiting.get(runs_on, 10**6), max_attempts=3, requeue_s=requeue_s, lease_s=600
        )
        return list(sent)

    assert mend(depth=3) == []  # a message for each
    assert mend(depth=1, requeue_s=600) == []  # they are young
    assert len(mend(depth=1)) == 2
    assert sorted(mend(depth=0)) == sorted(ids)


def test_a_store_that_is_away_is_not_reconciled_and_nothing_breaks() -> None:
    class Away:
        """A store that does not answer."""

        @property
        def leases(self) -> Any:
            """Nobody knows them."""
            raise Unavailable("away")

    away: Any = Away()
    reconcile(away, lambda job: None, lambda runs_on: 0, max_attempts=3, requeue_s=1, lease_s=1)


# figures


def test_a_summary_has_every_figure_and_none_where_there_is_none() -> None:
    assert summarize({}) == dict.fromkeys(FIGURES)
    report = {
        "sparsity": 0.5,
        "size": {"original_bytes": 9},
        "fidelity": {"agreement": {"value": 0.9, "low": None}},
        "benchmark": None,
    }
    found = summarize(report)
    assert (found["sparsity"], found["original_bytes"], found["agreement"], found["agreement_low"], found["ratio"]) == (
        0.5, 9, 0.9, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "report", [{"fidelity": []}, {"fidelity": {"agreement": 3}}, {"size": "large", "benchmark": {"ratio": [1]}}]
)
def test_a_report_of_another_form_gives_no_figures(report: dict[str, Any]) -> None:
    assert summarize(report) == dict.fromkeys(FIGURES)
