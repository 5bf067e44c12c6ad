"""Uploads on record, who sees them, and the pages that list them; on SQLite and on PostgreSQL."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from workers.errors import Conflict, Forbidden, NotFound, QuotaExceeded
from workers.jobs.database.scope import COMMON, Scope
from workers.jobs.job import Failure, Kind, State
from workers.jobs.records import Asset, AssetKind, Request
from workers.jobs.store import Store

MODEL, DATASET = AssetKind.MODEL, AssetKind.DATASET


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def nothing() -> None:
    pass


def add(
    store: Store, name: str, owner: str, kind: AssetKind = MODEL, size: int = 10, place: Callable[[], Any] = nothing
) -> Asset:
    return store.assets.add(kind, digest(f"{owner} {name}"), name, size, owner, place)[0]


def refuse(why: str) -> Callable[[], None]:
    def call() -> None:
        raise OSError(why)

    return call


def test_a_new_upload_is_inspected_once(store: Store, unique: str) -> None:
    first = store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)
    again = store.assets.add(MODEL, digest(unique), "other.onnx", 10, unique, nothing)
    assert (first[1], again[1]) == (True, False)
    assert first[2] is not None
    assert (first[2].kind, first[2].state, again[2]) == (Kind.INSPECT, State.QUEUED, None)
    assert again[0].name == "m.onnx"
    assert again[0].job_id == first[2].id


def test_models_and_datasets_of_the_same_bytes_are_two(store: Store, unique: str) -> None:
    model, dataset = (store.assets.add(kind, digest(unique), "x", 10, unique, nothing) for kind in (MODEL, DATASET))
    assert model[2] is not None
    assert dataset[2] is not None
    assert (model[2].kind, dataset[2].kind, dataset[2].dataset) == (Kind.INSPECT, Kind.INSPECT_DATASET, digest(unique))
    assert store.assets.get(MODEL, digest(unique)).kind == MODEL
    assert store.assets.get(DATASET, digest(unique)).kind == DATASET


def test_a_file_that_cannot_be_put_in_place_leaves_no_row(store: Store, unique: str) -> None:
    with pytest.raises(OSError, match="disk on fire"):
        add(store, "m.onnx", unique, place=refuse("disk on fire"))
    with pytest.raises(NotFound):
        store.assets.get(MODEL, digest(f"{unique} m.onnx"))


@pytest.mark.parametrize(("code", "again"), [("CRASHED", True), ("OUT_OF_MEMORY", True), ("MODEL_UNREADABLE", False)])
def test_an_inspection_that_broke_down_is_tried_again_and_a_verdict_stands(
    store: Store, unique: str, code: str, again: bool
) -> None:
    job = store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)[2]
    assert job is not None
    store.leases.claim(job.id, "w", 30)
    store.leases.fail(job.id, 1, Failure(code, "why", "what helps"))
    found = store.assets.get(MODEL, digest(unique))
    assert found.failure is not None
    assert (found.job_state, found.failure.code) == (State.FAILED, code)
    assert (store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)[2] is not None) == again


def test_an_inspection_that_was_canceled_is_tried_again(store: Store, unique: str) -> None:
    job = store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)[2]
    assert job is not None
    store.jobs.cancel(job.id, 30)
    assert store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)[2] is not None


def test_what_the_inspection_found_is_kept_with_the_upload(store: Store, unique: str) -> None:
    job = store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)[2]
    assert job is not None
    store.leases.claim(job.id, "w", 30)
    store.leases.publish(job.id, 1, [], inspection={"layers": [{"name": "größe"}]})
    assert store.assets.get(MODEL, digest(unique)).inspection == {"layers": [{"name": "größe"}]}
    assert store.assets.add(MODEL, digest(unique), "m.onnx", 10, unique, nothing)[2] is None


# quotas


@pytest.mark.parametrize(("size", "fits"), [(59, True), (60, True), (61, False)])
def test_a_quota_is_for_all_of_an_owners_files(store: Store, unique: str, size: int, fits: bool) -> None:
    add(store, "first", unique, size=40)
    add(store, "of another", unique + "x", size=1000)
    if fits:
        store.assets.add(DATASET, digest(unique), "d", size, unique, nothing, quota_bytes=100)
        assert store.assets.stored_bytes(unique) == 40 + size
    else:
        with pytest.raises(QuotaExceeded, match="40 of 100 bytes are used; 61 more"):
            store.assets.add(DATASET, digest(unique), "d", size, unique, refuse("not to be placed"), quota_bytes=100)
        assert store.assets.stored_bytes(unique) == 40


def test_what_is_stored_already_costs_nothing(store: Store, unique: str) -> None:
    add(store, "first", unique, size=90)
    assert not store.assets.add(MODEL, digest(f"{unique} first"), "first", 90, unique, nothing, quota_bytes=100)[1]


def test_announced_uploads_count(store: Store, unique: str) -> None:
    add(store, "first", unique, size=5)
    upload = store.assets.announce(DATASET, digest(unique), "d.npz", 70, unique)
    assert store.assets.stored_bytes(unique) == 75
    store.assets.forget(upload.id)
    assert store.assets.stored_bytes(unique) == 5


# uploads in parts


def test_an_upload_that_was_begun_is_gone_on_with(store: Store, unique: str) -> None:
    first = store.assets.announce(DATASET, digest(unique), "d.npz", 70, unique)
    assert store.assets.announce(DATASET, digest(unique), "renamed.npz", 70, unique) == first
    assert store.assets.announced(first.id) == first
    others = [
        store.assets.announce(MODEL, digest(unique), "d.npz", 70, unique),
        store.assets.announce(DATASET, digest(unique + "x"), "d.npz", 70, unique),
        store.assets.announce(DATASET, digest(unique), "d.npz", 71, unique),
        store.assets.announce(DATASET, digest(unique), "d.npz", 70, unique + "x"),
    ]
    assert len({first.id, *(other.id for other in others)}) == 5


def test_an_upload_that_is_not_under_way_is_not_found(store: Store, unique: str) -> None:
    store.assets.forget(unique)
    with pytest.raises(NotFound, match=f"no upload {unique}"):
        store.assets.announced(unique)


# who sees them


def test_a_project_sees_its_own_and_what_all_share(store: Store, unique: str) -> None:
    ours, theirs = (store.seen_by(Scope(f"{unique}{name}", everything=False)) for name in "ab")
    mine = add(ours, "mine", unique)
    common = add(store.seen_by(Scope(COMMON, everything=False)), "common", unique)
    assert theirs.assets.get(MODEL, common.sha256) == ours.assets.get(MODEL, common.sha256)
    with pytest.raises(NotFound):
        theirs.assets.get(MODEL, mine.sha256)
    with pytest.raises(NotFound):
        theirs.assets.share(MODEL, mine.sha256)
    ours.assets.share(MODEL, mine.sha256)
    assert theirs.assets.get(MODEL, mine.sha256).name == "mine"
    with pytest.raises(Forbidden):
        theirs.assets.remove(MODEL, mine.sha256, refuse("it is not theirs"))


def test_a_file_stays_while_another_project_has_it(store: Store, unique: str) -> None:
    views = [store.seen_by(Scope(f"{unique}{name}", everything=False)) for name in "ab"]
    for view in views:
        view.assets.add(DATASET, digest(unique), "d", 10, unique, nothing)
    job = store.assets.get(DATASET, digest(unique)).job_id
    assert job is not None
    store.jobs.cancel(job, 0)
    removed: list[int] = []
    views[0].assets.remove(DATASET, digest(unique), lambda: removed.append(0))
    assert removed == []
    with pytest.raises(NotFound):
        views[0].assets.get(DATASET, digest(unique))
    views[1].assets.remove(DATASET, digest(unique), lambda: removed.append(1))
    assert removed == [1]


def test_what_a_job_needs_is_not_removed(store: Store, unique: str) -> None:
    model, decoder, data, judges = (
        add(store, name, unique, kind) for name, kind in (("m", MODEL), ("dec", MODEL), ("d", DATASET), ("e", DATASET))
    )
    for asset in (model, decoder, data, judges):
        assert asset.job_id is not None
        store.jobs.cancel(asset.job_id, 0)
    recipe = {"steps": [], "decoder": decoder.sha256}
    job, _ = store.jobs.submit(Request(Kind.COMPRESS, model.sha256, recipe, data.sha256, judges.sha256), unique)
    for asset in (model, decoder, data, judges):
        with pytest.raises(Conflict, match=f"Job {job.id} needs this {asset.kind}"):
            store.assets.remove(asset.kind, asset.sha256, refuse("a job needs it"))
    store.jobs.cancel(job.id, 0)
    for asset in (model, decoder, data, judges):
        store.assets.remove(asset.kind, asset.sha256, nothing)
        with pytest.raises(NotFound):
            store.assets.get(asset.kind, asset.sha256)


def test_a_job_for_what_is_not_there_is_refused(store: Store, unique: str) -> None:
    model = add(store, "m", unique)
    for request, missing in (
        (Request(Kind.COMPRESS, digest("nowhere")), "model"),
        (Request(Kind.COMPRESS, model.sha256, dataset=digest("nowhere")), "dataset"),
        (Request(Kind.COMPRESS, model.sha256, {"decoder": digest("nowhere"), "steps": []}), "model"),
    ):
        with pytest.raises(NotFound, match=f"There is no {missing} {digest('nowhere')}"):
            store.jobs.submit(request, unique)


# pages


def names(store: Store, owner: str, limit: int) -> list[str]:
    """All pages of what is called after `owner`."""
    found: list[str] = []
    cursor = None
    while True:
        page = store.assets.page(MODEL, cursor, limit, name=owner)
        found += [asset.name for asset in page.items]
        if page.cursor is None:
            return found
        assert len(page.items) == limit
        cursor = page.cursor


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_pages_show_everything_once_the_newest_first(store: Store, unique: str, limit: int) -> None:
    made = [add(store, f"{unique}-{limit}-{number}", unique).name for number in range(5)]
    found = names(store, f"{unique}-{limit}-", limit)
    assert sorted(found) == made
    times = [store.assets.get(MODEL, digest(f"{unique} {name}")).created_at for name in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("part", ["100%", "a_b", "\\", "'; drop", "ÄÖ", "Zz"])
def test_a_part_of_a_name_is_meant_literally(store: Store, unique: str, part: str) -> None:
    add(store, f"{unique} {part} x", unique)
    add(store, f"{unique} 100 axb", unique)
    assert names(store, f"{unique} {part}", 5) == [f"{unique} {part} x"]


def cursor(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    ["!", "é", "abc", cursor([1]), cursor([1, 2, 3]), cursor([None, "x"]), cursor("ab"), cursor({"a": 1, "b": 2}), cursor(7)]
    + [
        cursor([10**400, "x"]),
        cursor([float("nan"), "x"]),
        cursor([float("inf"), "x"]),
        cursor([1, "\0"]),
        cursor([1, "\ud800"]),
    ]
    + [urlsafe_b64encode(b"[" * 100_000).decode()],
)
def test_a_cursor_of_ones_own_making_is_refused(store: Store, given: str) -> None:
    with pytest.raises(NotFound, match="no page at this cursor"):
        store.assets.page(MODEL, given)
