"""What a command asks of this machine: paths, recipes, decoders and metrics as the child gets them."""

import hashlib
from pathlib import Path

import pytest

from service.terminal.local import compression, with_decoder, with_metric
from service.terminal.recipes import read_recipe
from service.terminal.remote import short_ids
from workers.errors import InvalidRecipe
from workers.jobs.job import JobTask, Kind
from workers.recipe import Recipe
from workers.recipe.recipe import HEADS

STEPS = [{"method": "inq"}]


def task(folder: Path, recipe: Recipe | None = None, **files: Path | None) -> JobTask:
    paths = {"data": None, "evaluation": None} | files
    made = recipe or read_recipe(None, steps=STEPS, max_drop=0.01)
    return compression(folder / "m.onnx", made, folder / "out", data=paths["data"], evaluation=paths["evaluation"], threads=3)


def test_paths_are_whole_and_the_recipe_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = compression(
        Path("m.onnx"), read_recipe(None, steps=STEPS), Path("out"), data=Path("d.npz"), evaluation=None, threads=None
    )
    assert (made.kind, made.model, made.out, made.data, made.evaluation) == (
        Kind.COMPRESS,
        str(tmp_path / "m.onnx"),
        str(tmp_path / "out"),
        str(tmp_path / "d.npz"),
        None,
    )
    assert Recipe.model_validate(made.recipe) == read_recipe(None, steps=STEPS)


def test_samples_that_a_recipe_needs_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match="no dataset is given"):
        task(tmp_path, read_recipe(None, steps=STEPS, knobs=["calibration.source=dataset"]))
    with pytest.raises(InvalidRecipe, match="needs samples to judge by"):
        task(tmp_path, read_recipe(None, goal="limit"))
    with pytest.raises(InvalidRecipe, match="looks at no data"):
        task(tmp_path, read_recipe(None, goal="data_free"), data=tmp_path / "d.npz")


# decoders


def test_a_decoder_is_a_head_or_a_file(tmp_path: Path) -> None:
    plain = task(tmp_path)
    assert with_decoder(plain, None) is plain
    head = with_decoder(plain, HEADS[0])
    assert (head.decoder, head.recipe and head.recipe["decoder"]) == (None, HEADS[0])
    (tmp_path / "decoder.onnx").write_bytes(b"decoder")
    own = with_decoder(plain, str(tmp_path / "decoder.onnx"))
    assert own.decoder == str(tmp_path / "decoder.onnx")
    assert own.recipe
    assert own.recipe["decoder"] == hashlib.sha256(b"decoder").hexdigest()
    assert Recipe.model_validate(own.recipe)


@pytest.mark.parametrize("decoder", ["yolov99", "", "gone.onnx"])
def test_what_is_neither_is_told_with_the_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRecipe, match="neither a head nor a file") as refused:
        with_decoder(task(tmp_path), decoder)
    assert all(head in refused.value.hint for head in HEADS)


# metrics


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a user works in, with two files of metrics."""
    (tmp_path / "package").mkdir()
    for name in ("scores.py", "package/deep.py"):
        (tmp_path / name).write_text("def mine(outputs, label): return 1.0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_metric_by_name_is_the_constraints(tmp_path: Path) -> None:
    plain = task(tmp_path)
    assert with_metric(plain, None) is plain
    named = with_metric(plain, "top5")
    assert (named.metric, named.recipe and named.recipe["constraint"]["metric"]) == (None, "top5")


@pytest.mark.parametrize(
    ("metric", "file"),
    [
        ("scores:mine", "scores.py"),
        ("scores.py:mine", "scores.py"),
        ("package.deep:mine", "package/deep.py"),
        ("package/deep.py:mine", "package/deep.py"),
        ("json:dumps", None),  # from the path
    ],
)
def test_a_metric_of_ones_own_is_a_function_in_a_file(own: Path, metric: str, file: str | None) -> None:
    made = with_metric(task(own), metric)
    assert made.metric
    place, _, function = made.metric.rpartition(":")
    assert (Path(place).is_absolute(), Path(place).is_file(), function) == (True, True, metric.rpartition(":")[2])
    if file is not None:
        assert place == str(own / file)
    assert made.recipe
    assert made.recipe["constraint"]["metric"] == "custom"
    assert Recipe.model_validate(made.recipe)


@pytest.mark.parametrize(
    "metric", ["gone:mine", "gone.py:mine", "package.gone:mine", ":mine", "..:mine", "scores.deep:mine", "a b:c"]
)
def test_a_module_that_is_not_there_is_refused(own: Path, metric: str) -> None:
    with pytest.raises(InvalidRecipe, match="no module") as refused:
        with_metric(task(own), metric)
    assert "MODULE:FUNCTION" in refused.value.hint


def test_a_metric_needs_a_constraint(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match="the recipe has none"):
        with_metric(task(tmp_path, read_recipe(None, steps=STEPS)), "top5")


# ids


def test_ids_are_as_short_as_they_can_be_told_apart() -> None:
    assert short_ids([]) == {}
    assert short_ids(["0123456789"]) == {"0123456789": "01234567"}
    assert short_ids(["0123456789", "0123456788", "f" * 10]) == {
        "0123456789": "0123456789",
        "0123456788": "0123456788",
        "f" * 10: "f" * 8,
    }
