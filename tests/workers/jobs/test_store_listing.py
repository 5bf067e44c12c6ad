"""The table of jobs for people, on SQLite and on PostgreSQL."""

import pytest

from workers.jobs.job import Kind, State
from workers.jobs.records import AssetKind, Request
from workers.jobs.store import Store
from workers.jobs.store.listing import JobFilter, Order

MODELS = {"alpha.onnx": "a" * 64, "beta.onnx": "b" * 64}


@pytest.fixture
def ids(store: Store) -> dict[str, str]:
    """Three ended jobs and one that waits."""
    for name, sha256 in MODELS.items():
        store.assets.add(AssetKind.MODEL, sha256, name, 1, "me", lambda: None)
    figures = {
        "small": ("alpha.onnx", "inq", {"original_bytes": 100.0, "compressed_bytes": 10.0, "agreement": 0.9, "ratio": 1.0}),
        "true": ("alpha.onnx", "int8", {"original_bytes": 100.0, "compressed_bytes": 50.0, "agreement": 0.99, "ratio": 3.0}),
        "blank": ("beta.onnx", "layerwise_pruning+inq", None),
    }
    ids = {}
    for name, (model, methods, summary) in figures.items():
        ids[name] = submit(store, name, model, methods)
        store.leases.claim(ids[name], "worker", 60)
        store.leases.publish(ids[name], 1, [], summary=summary)
    ids["waiting"] = submit(store, "100%_sure", "beta.onnx", "inq")
    return ids


def submit(store: Store, name: str, model: str, methods: str) -> str:
    recipe = {"steps": [{"method": method} for method in methods.split("+")]}
    job, _ = store.jobs.submit(Request(Kind.COMPRESS, MODELS[model], recipe, name=name), "me")
    return job.id


def test_it_sorts_by_the_zipped_size_that_it_shows(store: Store) -> None:
    store.assets.add(AssetKind.MODEL, MODELS["alpha.onnx"], "alpha.onnx", 1, "me", lambda: None)
    on_disk = {"original_bytes": 100.0, "compressed_bytes": 90.0, "original_zip_bytes": 100.0}
    for name, zipped in (("more", 20.0), ("less", 80.0)):
        job_id = submit(store, name, "alpha.onnx", "inq")
        store.leases.claim(job_id, "worker", 60)
        store.leases.publish(job_id, 1, [], summary=on_disk | {"zip_bytes": zipped, "compressed_bytes": 100.0 - zipped})
    assert names(store, JobFilter(order=Order.SIZE, falling=False)) == ["more", "less"]


def names(store: Store, wanted: JobFilter, **page: int) -> list[str]:
    return [line.job.name for line in store.listing.page(wanted, **page).items]


@pytest.mark.parametrize(
    ("order", "falling", "first"),
    [
        (Order.SIZE, False, ["small", "true"]),
        (Order.SIZE, True, ["true", "small"]),
        (Order.FIDELITY, True, ["true", "small"]),
        (Order.SPEED, True, ["true", "small"]),
        (Order.NAME, False, ["100%_sure", "blank", "small", "true"]),
        (Order.CREATED, True, ["100%_sure", "blank", "true", "small"]),
    ],
)
def test_it_sorts_and_what_has_no_figure_comes_last(
    store: Store, ids: dict[str, str], order: Order, falling: bool, first: list[str]
) -> None:
    found = names(store, JobFilter(order=order, falling=falling))
    assert found[: len(first)] == first
    assert len(found) == 4


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (JobFilter(search="ALPHA"), {"small", "true"}),
        (JobFilter(search="%_"), {"100%_sure"}),
        (JobFilter(method="inq"), {"small", "blank", "100%_sure"}),
        (JobFilter(states=frozenset({State.QUEUED})), {"100%_sure"}),
        (JobFilter(model="b" * 64, method="layerwise_pruning"), {"blank"}),
    ],
)
def test_it_filters(store: Store, ids: dict[str, str], wanted: JobFilter, expected: set[str]) -> None:
    assert set(names(store, wanted)) == expected
    assert store.listing.page(wanted, limit=1).total == len(expected)


def test_an_id_is_found_by_its_beginning(store: Store, ids: dict[str, str]) -> None:
    assert names(store, JobFilter(search=ids["true"][:9].upper())) == ["true"]


def test_pages_follow_each_other(store: Store, ids: dict[str, str]) -> None:
    pages = [names(store, JobFilter(), page=page, limit=3) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 1, 0]
    assert len({name for page in pages for name in page}) == 4


def test_lines_keep_their_order_and_know_their_model(store: Store, ids: dict[str, str]) -> None:
    lines = store.listing.lines([ids["waiting"], "unknown", ids["small"]])
    assert [(line.job.name, line.model_name) for line in lines] == [("100%_sure", "beta.onnx"), ("small", "alpha.onnx")]


def test_milestones_are_states_and_beginnings_of_stages(store: Store, ids: dict[str, str]) -> None:
    assert [event.type for event in store.jobs.milestones(ids["waiting"])] == ["state"]
    assert [event.data["state"] for event in store.jobs.milestones(ids["small"])] == ["QUEUED", "RUNNING", "SUCCEEDED"]
