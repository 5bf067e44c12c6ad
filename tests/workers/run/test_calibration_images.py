"""When fractals become images that the network recognises, and when they stay as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.workers.ir import tiny
from workers.calibration import from_fractals
from workers.calibration.samples import Samples
from workers.errors import MissingExtra, NotTrainable
from workers.ir.reading.importer import Imported, load
from workers.recipe import Recipe
from workers.run import calibration_images
from workers.run.calibration_images import recognised


def recipe(**calibration: Any) -> Recipe:
    return Recipe.model_validate({"steps": [{"method": "uniform"}], "calibration": calibration})


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    return load(tiny.save(tiny.cnn(), tmp_path / "m.onnx"))


def pixels(samples: Samples) -> npt.NDArray[np.uint8]:
    found = samples.images(0, 6)
    assert found is not None
    return found


def made(imported: Imported, folder: Path, wanted: Recipe, told: list[Any] | None = None) -> Samples:
    samples = from_fractals(imported, 6, 0, wanted.preprocessing)
    return recognised(samples, imported, wanted, folder, 1, lambda *done: told.append(done) if told is not None else None)


def test_images_are_made_once_for_a_model_and_its_settings(imported: Imported, tmp_path: Path) -> None:
    told: list[Any] = []
    again: list[Any] = []
    first = made(imported, tmp_path, recipe(), told)
    second = made(imported, tmp_path, recipe(), again)
    assert told[-1] == (6, 6)
    assert again == []
    assert np.array_equal(pixels(first), pixels(second))
    assert not np.array_equal(pixels(first), pixels(made(imported, tmp_path, recipe(seed=1))))


def test_samples_are_fed_with_what_was_made_and_know_where_it_came_from(imported: Imported, tmp_path: Path) -> None:
    plain = from_fractals(imported, 6, 0, recipe().preprocessing)
    found = made(imported, tmp_path, recipe(inversion_steps=5))
    assert found.origins is not None
    assert np.array_equal(found.origins(found.numbers), pixels(plain))
    assert not np.array_equal(pixels(found), pixels(plain))
    assert not np.array_equal(found.batch(0, 6)["in"], plain.batch(0, 6)["in"])
    assert any("5 steps" in note for note in found.notes)


def test_no_steps_leave_fractals_as_they_are(imported: Imported, tmp_path: Path) -> None:
    assert made(imported, tmp_path, recipe(inversion_steps=0)).origins is None
    assert not list(tmp_path.glob("*.images"))


def test_without_torch_a_note_says_what_was_lost_and_how_to_get_it(
    imported: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration_images, "find_spec", lambda name: None)
    found = made(imported, tmp_path, recipe())
    assert found.origins is None
    assert found.notes[-1] == (
        "Calibrated on plain fractals, at which late layers hardly fire: Images that the network recognises are made with "
        "torch, which is not installed. Install it with pip install 'fractune[finetune]'."
    )
    with pytest.raises(MissingExtra):
        made(imported, tmp_path, recipe(inversion_steps=3))


def test_a_model_that_cannot_be_followed_is_calibrated_on_plain_fractals(tmp_path: Path) -> None:
    two = tiny.graph(
        [
            tiny.helper.make_node("Add", ["in", "other"], ["sum"]),
            tiny.helper.make_node("Conv", ["sum", "w"], ["out"], name="only"),
        ],
        {"w": tiny.weight(4, 3, 3, 3)},
        {"in": (1, 3, 16, 16), "other": (1, 3, 16, 16)},
    )
    imported = load(tiny.save(two, tmp_path / "m.onnx"))
    found = made(imported, tmp_path, recipe())
    assert found.origins is None
    assert "takes 2 images" in found.notes[-1]
    with pytest.raises(NotTrainable, match="2 images"):
        made(imported, tmp_path, recipe(inversion_steps=3))
